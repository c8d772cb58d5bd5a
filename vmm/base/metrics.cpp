#include "vmm/base/metrics.h"

#include <algorithm>
#include <bit>
#include <ctime>
#include <string_view>

#include "vmm/base/assert.h"

namespace wisp {
namespace {

void append_number(std::string& out, const char* name, std::uint64_t value) {
  out += '"';
  out += name;
  out += "\":";
  out += std::to_string(value);
}

}  // namespace

void LatencyAggregate::record_us(std::uint64_t duration_us) {
  // Two recorders may race for an extreme; losing one sample of a statistic is cheaper than a lock on the data path.
  if (sum_us.total() == 0 || duration_us < min_us.value()) {
    min_us.set(duration_us);
  }
  if (duration_us > max_us.value()) {
    max_us.set(duration_us);
  }
  sum_us.add(duration_us);
  const auto width = static_cast<std::size_t>(std::bit_width(duration_us));
  buckets[std::min(width, kLatencyBucketCount - 1)].add();
}

void MetricsRegistry::add_group(std::string name, std::vector<MetricField> fields) {
  Group group;
  group.name = std::move(name);
  put_group(std::move(group), fields);
}

void MetricsRegistry::put_group(Group group, const std::vector<MetricField>& fields) {
  for (const MetricField& field : fields) {
    group.fields.push_back(Field{field});
  }
  const std::lock_guard lock(mutex_);
  const auto same =
      std::find_if(groups_.begin(), groups_.end(), [&](const Group& other) { return other.name == group.name; });
  if (same != groups_.end()) {
    *same = std::move(group);
  } else {
    groups_.push_back(std::move(group));
  }
}

void MetricsRegistry::add_kind(std::string kind, std::vector<MetricField> zero_fields) {
  Group group;
  group.name = std::move(kind);
  group.is_kind = true;
  for (const MetricField& field : zero_fields) {
    WISP_ASSERT(field.gauge == nullptr);  // present values have no sum
  }
  put_group(std::move(group), zero_fields);
}

void MetricsRegistry::add_instance(const std::string& kind, const std::string& id, std::vector<MetricField> fields) {
  Group group;
  group.name = kind + "_" + id;
  group.kind = kind;
  for (const MetricField& field : fields) {
    group.fields.push_back(Field{field});
  }
  const std::lock_guard lock(mutex_);
  const auto after =
      std::find_if(groups_.begin(), groups_.end(), [&](const Group& other) { return other.name == kind; });
  groups_.insert(after == groups_.end() ? after : after + 1, std::move(group));
}

void MetricsRegistry::render_group(std::string& out, Group& group, bool advance) {
  const char* separator = "";
  for (Field& field : group.fields) {
    out += separator;
    separator = ",";
    if (field.source.gauge != nullptr) {
      append_number(out, field.source.name, field.source.gauge->value());
      continue;
    }
    const auto* aggregate = field.source.aggregate;
    const std::uint64_t total = aggregate != nullptr ? aggregate->sum_us.total() : field.source.counter->total();
    const std::uint64_t delta = total - field.flushed;
    if (advance) {
      field.flushed = total;
    }
    if (aggregate == nullptr) {
      append_number(out, field.source.name, delta);
      continue;
    }
    out += '"';
    out += field.source.name;
    out += "\":{";
    append_number(out, "min_us", aggregate->min_us.value());
    out += ',';
    append_number(out, "max_us", aggregate->max_us.value());
    out += ',';
    append_number(out, "sum_us", delta);
    out += '}';
  }
}

void MetricsRegistry::render_kind(std::string& out, const Group& kind) const {
  const char* separator = "";
  for (std::size_t index = 0; index < kind.fields.size(); ++index) {
    std::uint64_t sum = 0;
    std::uint64_t lowest = 0;
    std::uint64_t highest = 0;
    const bool is_aggregate = kind.fields[index].source.aggregate != nullptr;
    for (const Group& group : groups_) {
      if (group.kind != kind.name) {
        continue;
      }
      const Field& field = group.fields[index];
      if (is_aggregate) {
        sum += field.source.aggregate->sum_us.total() - field.flushed;
        const std::uint64_t least = field.source.aggregate->min_us.value();
        lowest = lowest == 0 ? least : std::min(lowest, least);
        highest = std::max(highest, field.source.aggregate->max_us.value());
      } else {
        sum += field.source.counter->total() - field.flushed;
      }
    }
    out += separator;
    separator = ",";
    if (!is_aggregate) {
      append_number(out, kind.fields[index].source.name, sum);
      continue;
    }
    out += '"';
    out += kind.fields[index].source.name;
    out += "\":{";
    append_number(out, "min_us", lowest);
    out += ',';
    append_number(out, "max_us", highest);
    out += ',';
    append_number(out, "sum_us", sum);
    out += '}';
  }
}

void MetricsRegistry::visit(const std::function<void(const std::string&, std::span<const Instance>)>& visitor) {
  const auto instance_of = [](const Group& group, std::string id) {
    Instance instance{std::move(id), {}};
    for (const Field& field : group.fields) {
      instance.fields.push_back(field.source);
    }
    return instance;
  };
  const std::lock_guard lock(mutex_);
  for (auto at = groups_.begin(); at != groups_.end(); ++at) {
    const std::string& kind = at->is_kind ? at->name : at->kind;
    // The instances of a kind come with the kind, or with the first of them when it has no sum.
    const auto shows_kind = [&](const Group& before) {
      return before.kind == kind || (before.is_kind && before.name == kind);
    };
    if (!at->kind.empty() && std::any_of(groups_.begin(), at, shows_kind)) {
      continue;
    }
    std::vector<Instance> instances;
    if (kind.empty()) {
      instances.push_back(instance_of(*at, ""));
    }
    for (const Group& other : groups_) {
      if (!kind.empty() && other.kind == kind) {
        instances.push_back(instance_of(other, other.name.substr(kind.size() + 1)));
      }
    }
    visitor(kind.empty() ? at->name : kind, instances);
  }
}

/// "latency_histograms":{"block_rootfs.read":[counts],…}: all that was ever counted, for every instance and group that
/// times something.
void MetricsRegistry::render_histograms(std::string& out) const {
  out += ",\"latency_histograms\":{";
  const char* separator = "";
  for (const Group& group : groups_) {
    for (const Field& field : group.fields) {
      if (group.is_kind || field.source.aggregate == nullptr) {
        continue;
      }
      const std::string_view name = field.source.name;
      out += separator;
      separator = ",";
      out += '"' + group.name + '.';
      out += name.substr(0, name.rfind("_agg"));
      out += "\":[";
      for (std::size_t index = 0; index < kLatencyBucketCount; ++index) {
        out += (index == 0 ? "" : ",") + std::to_string(field.source.aggregate->buckets[index].total());
      }
      out += ']';
    }
  }
  out += '}';
}

std::string MetricsRegistry::render_flush(const std::string& extra, Histograms histograms) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto now_ms =
      static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;

  std::string out = "{";
  append_number(out, "utc_timestamp_ms", now_ms);
  if (!extra.empty()) {
    out += ',';
    out += extra;
  }
  const std::lock_guard lock(mutex_);
  for (Group& group : groups_) {
    out += ",\"";
    out += group.name;
    out += "\":{";
    if (group.is_kind) {
      // Instances follow their kind in the list, so their counters have not been advanced yet.
      render_kind(out, group);
    } else {
      render_group(out, group, true);
    }
    out += '}';
  }
  if (histograms == Histograms::Shown) {
    render_histograms(out);
  }
  out += "}\n";
  return out;
}

}  // namespace wisp

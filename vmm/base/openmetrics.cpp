#include "vmm/base/openmetrics.h"

#include <cstdio>
#include <string_view>

#include "vmm/base/version.h"

namespace wisp {
namespace {

constexpr std::uint64_t kUsPerSecond = 1'000'000;

enum class Unit { None, Bytes, Seconds };

/// A family's name without the suffix of its samples, and its unit, which the name ends with (OpenMetrics 1.0, "Unit").
struct Family {
  std::string name;
  Unit unit = Unit::None;
};

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) {
    return false;
  }
  text.remove_suffix(suffix.size());
  return true;
}

Family family_of(std::string_view group, const MetricField& field) {
  std::string_view name = field.name;
  const bool group_in_us = take_suffix(group, "_us");
  std::string full = "wisp_" + std::string(group) + "_";
  if (field.aggregate != nullptr) {
    (void)take_suffix(name, "_agg");
    return {full + std::string(name) + "_duration_seconds", Unit::Seconds};
  }
  if (take_suffix(name, "_us") || group_in_us) {
    return {full + std::string(name) + "_seconds", Unit::Seconds};
  }
  // What counts is said by the suffix of the sample.
  if (!take_suffix(name, "_count")) {
    (void)take_suffix(name, "_total");
  }
  full += name;
  return {full, name.ends_with("_bytes") || name == "bytes" ? Unit::Bytes : Unit::None};
}

std::string seconds_text(std::uint64_t microseconds) {
  std::array<char, 40> text{};
  (void)std::snprintf(text.data(), text.size(), "%llu.%06llu",
                      static_cast<unsigned long long>(microseconds / kUsPerSecond),
                      static_cast<unsigned long long>(microseconds % kUsPerSecond));
  return text.data();
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char character : text) {
    if (character == '\\' || character == '"') {
      out += '\\';
    }
    out += character == '\n' ? std::string("\\n") : std::string(1, character);
  }
  return out;
}

class Page {
 public:
  void open(const Family& family, const char* type, std::string_view group, const char* field) {
    family_ = family;
    out_ += "# TYPE " + family.name + ' ' + type + '\n';
    if (family.unit != Unit::None) {
      out_ += "# UNIT " + family.name + (family.unit == Unit::Bytes ? " bytes\n" : " seconds\n");
    }
    out_ += "# HELP " + family.name + " The field " + field + " of the group " + std::string(group) + ".\n";
  }

  void sample(const char* suffix, const std::string& labels, const std::string& value) {
    out_ += family_.name;
    out_ += suffix;
    if (!labels.empty()) {
      out_ += '{' + labels + '}';
    }
    out_ += ' ' + value + '\n';
  }

  /// Bucket i of the aggregate counts what is below 2^i microseconds; the last one has no end, it is "+Inf".
  void histogram(const std::string& labels, const LatencyAggregate& aggregate) {
    const std::string before = labels.empty() ? "" : labels + ",";
    std::uint64_t count = 0;
    for (std::size_t index = 0; index + 1 < kLatencyBucketCount; ++index) {
      count += aggregate.buckets[index].total();
      sample("_bucket", before + "le=\"" + seconds_text(std::uint64_t{1} << index) + '"', std::to_string(count));
    }
    count += aggregate.buckets[kLatencyBucketCount - 1].total();
    sample("_bucket", before + "le=\"+Inf\"", std::to_string(count));
    sample("_count", labels, std::to_string(count));
    sample("_sum", labels, seconds_text(aggregate.sum_us.total()));
  }

  void value(const std::string& labels, const MetricField& field) {
    if (field.aggregate != nullptr) {
      histogram(labels, *field.aggregate);
      return;
    }
    const std::uint64_t number = field.gauge != nullptr ? field.gauge->value() : field.counter->total();
    sample(field.gauge != nullptr ? "" : "_total", labels,
           family_.unit == Unit::Seconds ? seconds_text(number) : std::to_string(number));
  }

  void add_info(const OpenMetricsLabels& labels) {
    out_ += "# TYPE wisp info\n# HELP wisp Versions of the monitor and the id of its instance.\n";
    out_ += "wisp_info{version=\"" + std::string(kWispVersion) + "\",api_version=\"" + kApiVersion +
            "\",instance_id=\"" + escaped(labels.instance_id) + "\"} 1\n";
  }

  std::string finish() { return std::move(out_) + "# EOF\n"; }

 private:
  std::string out_;
  Family family_;
};

const char* type_of(const MetricField& field) {
  return field.aggregate != nullptr ? "histogram" : field.gauge != nullptr ? "gauge" : "counter";
}

}  // namespace

std::string openmetrics_text(MetricsRegistry& registry, const OpenMetricsLabels& labels) {
  Page page;
  page.add_info(labels);
  registry.visit([&page](const std::string& group, std::span<const MetricsRegistry::Instance> instances) {
    // A family's samples stand together: field by field, in each all instances.
    const std::size_t field_count = instances.empty() ? 0 : instances[0].fields.size();
    for (std::size_t index = 0; index < field_count; ++index) {
      const MetricField& first = instances[0].fields[index];
      page.open(family_of(group, first), type_of(first), group, first.name);
      for (const MetricsRegistry::Instance& instance : instances) {
        page.value(instance.id.empty() ? "" : "id=\"" + escaped(instance.id) + '"', instance.fields[index]);
      }
    }
  });
  return page.finish();
}

}  // namespace wisp

// Counters, and the one JSON line that a flush writes.
//
// Whoever counts owns a struct of Counters and a table that names them; the registry knows the tables and renders them:
//
//   struct SerialMetrics { Counter read_count; Counter write_count; };
//   registry.add_group("uart", {{"read_count", &m.read_count}, {"write_count", &m.write_count}});
//
// Counting is a relaxed atomic addition, allowed on every thread. A Counter reports the difference since the previous
// flush; a Gauge reports its present value.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace wisp {

class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  /// All that was ever counted; tests and aggregates read it.
  std::uint64_t total() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

class Gauge {
 public:
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

/// Bucket i of a histogram counts durations below 2^i microseconds that no lower bucket counts; the last one also takes
/// everything longer (half a second and more).
inline constexpr std::size_t kLatencyBucketCount = 21;

/// Smallest, largest and summed duration of one kind of work, in microseconds, and how the durations are spread.
class LatencyAggregate {
 public:
  void record_us(std::uint64_t duration_us);
  std::array<Counter, kLatencyBucketCount> buckets;
  Gauge min_us;
  Gauge max_us;
  Counter sum_us;
};

/// One named field of a group; exactly one of the pointers is set.
struct MetricField {
  const char* name;
  const Counter* counter = nullptr;
  const Gauge* gauge = nullptr;
  const LatencyAggregate* aggregate = nullptr;

  MetricField(const char* field, const Counter* source) : name(field), counter(source) {}
  MetricField(const char* field, const Gauge* source) : name(field), gauge(source) {}
  MetricField(const char* field, const LatencyAggregate* source) : name(field), aggregate(source) {}
};

/// The set of members in a line is part of the interface; histograms are one more, for those who ask.
enum class Histograms { Hidden, Shown };

class MetricsRegistry {
 public:
  /// Adds a group, or replaces the one of that name; its counters must outlive the registry's use. Groups are rendered
  /// in the order of adding.
  void add_group(std::string name, std::vector<MetricField> fields);
  /// Adds one instance of a kind of device. It is rendered as "<kind>_<id>", and the kind itself, a group added before
  /// with add_kind(), as the sum over its instances. A kind that has present values, and so no sum, is not added.
  void add_kind(std::string kind, std::vector<MetricField> zero_fields);
  void add_instance(const std::string& kind, const std::string& id, std::vector<MetricField> fields);

  /// The line: compact JSON with "utc_timestamp_ms", then `extra` (already JSON members, may be empty), then the
  /// groups. Counters restart from here.
  std::string render_flush(const std::string& extra, Histograms histograms = Histograms::Hidden);

  /// The fields of one device, or of a group that there is once (then `id` is empty).
  struct Instance {
    std::string id;
    std::vector<MetricField> fields;
  };
  /// Each group once, each kind of device with its instances, in the order of the line. Nothing restarts.
  void visit(const std::function<void(const std::string& group, std::span<const Instance>)>& visitor);

 private:
  struct Field {
    MetricField source;
    std::uint64_t flushed = 0;
  };
  struct Group {
    std::string name;
    std::string kind;  // of an instance; empty otherwise
    bool is_kind = false;
    std::vector<Field> fields;
  };
  void put_group(Group group, const std::vector<MetricField>& fields);
  static void render_group(std::string& out, Group& group, bool advance);
  void render_kind(std::string& out, const Group& kind) const;
  void render_histograms(std::string& out) const;

  std::mutex mutex_;
  std::vector<Group> groups_;
};

}  // namespace wisp

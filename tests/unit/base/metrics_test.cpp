#include "vmm/base/metrics.h"

#include <catch2/catch.hpp>
#include <regex>
#include <string>

namespace wisp {
namespace {

/// The line without its time stamp.
std::string flush(MetricsRegistry& registry, const std::string& extra = "") {
  const std::string line = registry.render_flush(extra);
  std::smatch parts;
  REQUIRE(std::regex_match(line, parts, std::regex(R"rx(\{"utc_timestamp_ms":\d{13}(.*)\}\n)rx")));
  return parts[1];
}

TEST_CASE("A registry without groups renders the time stamp and the extra members") {
  MetricsRegistry registry;
  CHECK(flush(registry).empty());
  CHECK(flush(registry, R"("id":"vm")") == R"(,"id":"vm")");
}

TEST_CASE("Counters report what was added since the flush before, gauges what they are") {
  MetricsRegistry registry;
  Counter counter;
  Gauge gauge;
  registry.add_group("group", {{"counter", &counter}, {"gauge", &gauge}});
  counter.add(5);
  counter.add();
  gauge.set(9);
  CHECK(flush(registry) == R"(,"group":{"counter":6,"gauge":9})");
  CHECK(flush(registry) == R"(,"group":{"counter":0,"gauge":9})");
  counter.add(2);
  CHECK(flush(registry) == R"(,"group":{"counter":2,"gauge":9})");
  CHECK(counter.total() == 8);
}

TEST_CASE("A latency keeps its extremes and restarts its sum") {
  MetricsRegistry registry;
  LatencyAggregate latency;
  registry.add_group("vcpu", {{"exit_agg", &latency}});
  CHECK(flush(registry) == R"(,"vcpu":{"exit_agg":{"min_us":0,"max_us":0,"sum_us":0}})");
  latency.record_us(30);
  latency.record_us(10);
  latency.record_us(20);
  CHECK(flush(registry) == R"(,"vcpu":{"exit_agg":{"min_us":10,"max_us":30,"sum_us":60}})");
  latency.record_us(15);
  CHECK(flush(registry) == R"(,"vcpu":{"exit_agg":{"min_us":10,"max_us":30,"sum_us":15}})");
}

TEST_CASE("Groups come in the order of adding; adding one again replaces it in its place") {
  MetricsRegistry registry;
  Counter first;
  Counter second;
  Counter replacement;
  registry.add_group("a", {{"x", &first}});
  registry.add_group("b", {{"x", &second}});
  registry.add_group("a", {{"x", &replacement}});
  first.add(1);
  replacement.add(7);
  CHECK(flush(registry) == R"(,"a":{"x":7},"b":{"x":0})");
}

TEST_CASE("A kind of device is the sum over its instances, and is there without any") {
  MetricsRegistry registry;
  Counter none;
  LatencyAggregate no_latency;
  registry.add_kind("block", {{"reads", &none}, {"agg", &no_latency}});
  CHECK(flush(registry) == R"(,"block":{"reads":0,"agg":{"min_us":0,"max_us":0,"sum_us":0}})");

  Counter first;
  Counter second;
  LatencyAggregate first_latency;
  LatencyAggregate second_latency;
  registry.add_instance("block", "a", {{"reads", &first}, {"agg", &first_latency}});
  registry.add_instance("block", "b", {{"reads", &second}, {"agg", &second_latency}});
  first.add(3);
  second.add(4);
  first_latency.record_us(10);
  second_latency.record_us(2);
  const std::string line = flush(registry);
  CHECK_THAT(line, Catch::Matchers::Contains(R"("block":{"reads":7,"agg":{"min_us":2,"max_us":10,"sum_us":12}})"));
  CHECK_THAT(line, Catch::Matchers::Contains(R"("block_a":{"reads":3,)"));
  CHECK_THAT(line, Catch::Matchers::Contains(R"("block_b":{"reads":4,)"));
  CHECK_THAT(flush(registry), Catch::Matchers::Contains(R"("block":{"reads":0,)"));
}

TEST_CASE("Adding a kind again leaves the groups behind it what they are") {
  MetricsRegistry registry;
  Counter none;
  Counter other;
  registry.add_kind("block", {{"reads", &none}});
  registry.add_group("vmm", {{"panics", &other}});
  registry.add_kind("block", {{"reads", &none}});
  Counter reads;
  registry.add_instance("block", "a", {{"reads", &reads}});
  reads.add(2);
  other.add(1);
  CHECK(flush(registry) == R"(,"block":{"reads":2},"block_a":{"reads":2},"vmm":{"panics":1})");
}

}  // namespace
}  // namespace wisp

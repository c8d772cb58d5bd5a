#include "vmm/base/openmetrics.h"

#include <catch2/catch.hpp>
#include <string>

using namespace wisp;

namespace {

bool has_line(const std::string& page, const std::string& line) {
  return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("a page without metrics has the information and the end") {
  MetricsRegistry registry;
  const std::string page = openmetrics_text(registry, {"vm-1"});
  CHECK(has_line(page, "# TYPE wisp info"));
  CHECK(page.find("instance_id=\"vm-1\"} 1\n# EOF\n") != std::string::npos);
}

TEST_CASE("counters have _total, units end the name, gauges have neither suffix") {
  MetricsRegistry registry;
  Counter writes;
  Counter bytes;
  Gauge pause_us;
  writes.add(3);
  bytes.add(512);
  pause_us.set(1'500'000);
  registry.add_group("uart", {{"write_count", &writes}, {"sent_bytes", &bytes}});
  registry.add_group("latencies_us", {{"pause_vm", &pause_us}});
  const std::string page = openmetrics_text(registry, {});
  CHECK(has_line(page, "# TYPE wisp_uart_write counter"));
  CHECK(has_line(page, "wisp_uart_write_total 3"));
  CHECK(has_line(page, "# UNIT wisp_uart_sent_bytes bytes"));
  CHECK(has_line(page, "wisp_uart_sent_bytes_total 512"));
  CHECK(has_line(page, "# TYPE wisp_latencies_pause_vm_seconds gauge"));
  CHECK(has_line(page, "wisp_latencies_pause_vm_seconds 1.500000"));
}

TEST_CASE("instances of a kind are one family with an id each, and the kind's sum is left out") {
  MetricsRegistry registry;
  const Counter zero;
  Counter first;
  Counter second;
  first.add(1);
  second.add(2);
  registry.add_kind("block", {{"read_count", &zero}});
  CHECK(openmetrics_text(registry, {}).find("wisp_block") == std::string::npos);
  registry.add_instance("block", "a", {{"read_count", &first}});
  registry.add_instance("block", "q\"\\\n", {{"read_count", &second}});
  const std::string page = openmetrics_text(registry, {});
  CHECK(has_line(page, "wisp_block_read_total{id=\"a\"} 1"));
  CHECK(has_line(page, "wisp_block_read_total{id=\"q\\\"\\\\\\n\"} 2"));
  CHECK(page.find("# TYPE wisp_block_read counter") == page.rfind("# TYPE wisp_block_read counter"));
}

// Ids have letters that names of metrics must not have.
TEST_CASE("instances of a kind without a sum are one family, too, and their ids stay out of its name") {
  MetricsRegistry registry;
  Counter fails;
  Gauge time_us;
  fails.add(2);
  registry.add_instance("vhost_user_block", "\xc3\xa9", {{"activate_fails", &fails}, {"init_time_us", &time_us}});
  registry.add_instance("vhost_user_block", "b", {{"activate_fails", &fails}, {"init_time_us", &time_us}});
  const std::string page = openmetrics_text(registry, {});
  CHECK(has_line(page, "wisp_vhost_user_block_activate_fails_total{id=\"\xc3\xa9\"} 2"));
  CHECK(has_line(page, "wisp_vhost_user_block_activate_fails_total{id=\"b\"} 2"));
  CHECK(has_line(page, "# TYPE wisp_vhost_user_block_init_time_seconds gauge"));
  const std::string type = "# TYPE wisp_vhost_user_block_activate_fails counter";
  CHECK(page.find(type) == page.rfind(type));
  CHECK(registry.render_flush("", Histograms::Hidden).find("\"vhost_user_block_b\":{") != std::string::npos);
}

TEST_CASE("a latency becomes a histogram whose buckets add up, the longest ones in the last") {
  MetricsRegistry registry;
  LatencyAggregate reads;
  reads.record_us(0);
  reads.record_us(1);
  reads.record_us(10'000'000);
  registry.add_group("vcpu", {{"exit_agg", &reads}});
  const std::string page = openmetrics_text(registry, {});
  CHECK(has_line(page, "# TYPE wisp_vcpu_exit_duration_seconds histogram"));
  CHECK(has_line(page, "wisp_vcpu_exit_duration_seconds_bucket{le=\"0.000001\"} 1"));
  CHECK(has_line(page, "wisp_vcpu_exit_duration_seconds_bucket{le=\"0.000002\"} 2"));
  CHECK(has_line(page, "wisp_vcpu_exit_duration_seconds_bucket{le=\"0.524288\"} 2"));
  CHECK(has_line(page, "wisp_vcpu_exit_duration_seconds_bucket{le=\"+Inf\"} 3"));
  CHECK(has_line(page, "wisp_vcpu_exit_duration_seconds_count 3"));
  CHECK(has_line(page, "wisp_vcpu_exit_duration_seconds_sum 10.000001"));
}

TEST_CASE("reading the page takes nothing from the line of JSON") {
  MetricsRegistry registry;
  Counter counter;
  counter.add(5);
  registry.add_group("uart", {{"write_count", &counter}});
  CHECK(openmetrics_text(registry, {}) == openmetrics_text(registry, {}));
  CHECK(registry.render_flush("").find("\"write_count\":5") != std::string::npos);
  CHECK(registry.render_flush("").find("\"write_count\":0") != std::string::npos);
  CHECK(has_line(openmetrics_text(registry, {}), "wisp_uart_write_total 5"));
}

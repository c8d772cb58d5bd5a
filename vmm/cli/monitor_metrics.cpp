#include "vmm/cli/monitor_metrics.h"

#include <array>
#include <span>
#include <string_view>

#include "vmm/base/log.h"

namespace wisp {
namespace {

/// A group that nothing of this version can count. A name that ends in "_agg" is an aggregate.
struct AbsentGroup {
  const char* name;
  std::span<const char* const> fields;
};

constexpr std::array kBalloon = {"activate_fails",         "inflate_count",          "stats_updates_count",
                                 "stats_update_fails",     "deflate_count",          "event_fails",
                                 "free_page_report_count", "free_page_report_freed", "free_page_report_fails",
                                 "free_page_hint_count",   "free_page_hint_freed",   "free_page_hint_fails"};
constexpr std::array kMmds = {"rx_accepted",
                              "rx_accepted_err",
                              "rx_accepted_unusual",
                              "rx_bad_eth",
                              "rx_invalid_token",
                              "rx_no_token",
                              "rx_count",
                              "tx_bytes",
                              "tx_count",
                              "tx_errors",
                              "tx_frames",
                              "connections_created",
                              "connections_destroyed"};
constexpr std::array kNet = {"activate_fails",
                             "cfg_fails",
                             "no_rx_avail_buffer",
                             "no_tx_avail_buffer",
                             "event_fails",
                             "rx_queue_event_count",
                             "rx_event_rate_limiter_count",
                             "rx_rate_limiter_throttled",
                             "rx_tap_event_count",
                             "rx_bytes_count",
                             "rx_packets_count",
                             "rx_fails",
                             "rx_count",
                             "tap_read_fails",
                             "tap_write_fails",
                             "tap_write_agg",
                             "tx_bytes_count",
                             "tx_malformed_frames",
                             "tx_fails",
                             "tx_count",
                             "tx_packets_count",
                             "tx_queue_event_count",
                             "tx_rate_limiter_event_count",
                             "tx_rate_limiter_throttled",
                             "tx_spoofed_mac_count",
                             "tx_remaining_reqs_count"};
constexpr std::array kVsock = {
    "activate_fails",    "cfg_fails",        "rx_queue_event_fails", "tx_queue_event_fails", "ev_queue_event_fails",
    "muxer_event_fails", "conn_event_fails", "rx_queue_event_count", "tx_queue_event_count", "rx_bytes_count",
    "tx_bytes_count",    "rx_packets_count", "tx_packets_count",     "conns_added",          "conns_killed",
    "conns_removed",     "killq_resync",     "tx_flush_fails",       "tx_write_fails",       "rx_read_fails"};
constexpr std::array kEntropy = {"activate_fails",          "entropy_event_fails", "entropy_event_count",
                                 "entropy_bytes",           "host_rng_fails",      "entropy_rate_limiter_throttled",
                                 "rate_limiter_event_count"};
constexpr std::array kPmem = {
    "activate_fails",          "cfg_fails", "event_fails", "queue_event_count", "rate_limiter_throttled_events",
    "rate_limiter_event_count"};
constexpr std::array kInterrupts = {"triggers", "config_updates"};
constexpr std::array kMemoryHotplug = {
    "activate_fails",       "queue_event_fails", "queue_event_count", "plug_count",   "plug_bytes",
    "plug_fails",           "plug_agg",          "unplug_count",      "unplug_bytes", "unplug_fails",
    "unplug_discard_fails", "unplug_agg",        "state_count",       "state_fails",  "state_agg",
    "unplug_all_count",     "unplug_all_fails",  "unplug_all_agg"};
constexpr std::array kVmm = {"panic_count"};

const std::array kAbsent = {AbsentGroup{"balloon", kBalloon},
                            AbsentGroup{"mmds", kMmds},
                            AbsentGroup{"net", kNet},
                            AbsentGroup{"vsock", kVsock},
                            AbsentGroup{"entropy", kEntropy},
                            AbsentGroup{"pmem", kPmem},
                            AbsentGroup{"interrupts", kInterrupts},
                            AbsentGroup{"memory_hotplug", kMemoryHotplug},
                            AbsentGroup{"vmm", kVmm}};

}  // namespace

void MonitorMetrics::register_all(const MetricsSink& sink) {
  registry.add_group("api_server", {{"process_startup_time_us", &api_server.process_startup_time_us},
                                    {"process_startup_time_cpu_us", &api_server.process_startup_time_cpu_us}});
  machine.register_in(registry);
  signals.register_in(registry);
  registry.add_group("logger", {{"missed_metrics_count", &sink.own_metrics().missed_metrics_count},
                                {"metrics_fails", &sink.own_metrics().metrics_fails},
                                {"missed_log_count", &log::metrics().missed_log_count},
                                {"rate_limited_log_count", &log::metrics().rate_limited_log_count}});
  register_absent_devices();
}

void MonitorMetrics::register_absent_devices() {
  for (const AbsentGroup& group : kAbsent) {
    std::vector<MetricField> fields;
    for (const char* name : group.fields) {
      if (std::string_view(name).ends_with("_agg")) {
        fields.emplace_back(name, &zero_aggregate_);
      } else {
        fields.emplace_back(name, &zero_);
      }
    }
    registry.add_group(group.name, std::move(fields));
  }
}

}  // namespace wisp

#include "vmm/control/metrics_sink.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace wisp {
namespace {

constexpr const char* kConfigureFailed = "Cannot initialize the metrics system due to bad user input: ";

void append_json_string(std::string& out, const std::string& text) {
  out += '"';
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      out += '\\';
      out += character;
    } else if (byte < 0x20) {
      std::array<char, 8> escaped{};
      (void)std::snprintf(escaped.data(), escaped.size(), "\\u%04x", byte);
      out += escaped.data();
    } else {
      out += character;
    }
  }
  out += '"';
}

}  // namespace

Status MetricsSink::configure(const MetricsConfig& config) {
  if (configured()) {
    return configure(config, Fd());
  }
  auto fd = open_line_sink("metrics file", config.metrics_path);
  if (!fd.ok()) {
    return std::move(fd).error().with_prefix(kConfigureFailed);
  }
  return configure(config, std::move(fd).value());
}

Status MetricsSink::configure(const MetricsConfig& config, Fd sink) {
  if (configured()) {
    return Error(ErrorCode::WrongState, std::string(kConfigureFailed) + "Reinitialization of metrics not allowed.");
  }
  std::string extra;
  if (config.emit_id) {
    extra += "\"id\":";
    append_json_string(extra, instance_id_);
  }
  if (!config.properties.empty()) {
    extra += extra.empty() ? "\"properties\":{" : ",\"properties\":{";
    const char* separator = "";
    for (const auto& [key, value] : config.properties) {
      extra += separator;
      separator = ",";
      append_json_string(extra, key);
      extra += ':';
      append_json_string(extra, value);
    }
    extra += '}';
  }
  extra_members_ = std::move(extra);
  histograms_ = config.latency_histograms ? Histograms::Shown : Histograms::Hidden;
  fd_ = std::move(sink);
  torn_ = false;
  return {};
}

Status MetricsSink::flush() {
  if (!configured()) {
    return {};
  }
  // Behind half of a line the reader finds this one on a line of its own.
  const std::string line = (torn_ ? "\n" : "") + registry_.render_flush(extra_members_, histograms_);
  const ssize_t written = ::write(fd_.raw(), line.data(), line.size());
  torn_ = written > 0 ? written < static_cast<ssize_t>(line.size()) : torn_;
  if (written == static_cast<ssize_t>(line.size())) {
    return {};
  }
  own_metrics_.missed_metrics_count.add();
  own_metrics_.metrics_fails.add();
  return Error::host(written < 0 ? errno : ENOSPC, "Metrics error: cannot write the metrics file",
                     "Make room on its file system, or read the FIFO");
}

}  // namespace wisp

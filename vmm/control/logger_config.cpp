#include "vmm/control/logger_config.h"

#include "vmm/base/log.h"

namespace wisp {

Status apply_logger_config(const LoggerConfig& config) {
  if (config.log_path) {
    auto sink = open_line_sink("log file", *config.log_path);
    if (!sink.ok()) {
      return std::move(sink).error().with_prefix("Failed to open target file: ");
    }
    log::set_sink(std::move(sink).value());
  }
  LogSettings settings = log::settings();
  settings.max_level = static_cast<int>(config.level.value_or(LogLevel::Info));
  settings.show_level = config.show_level.value_or(settings.show_level);
  settings.show_origin = config.show_log_origin.value_or(settings.show_origin);
  settings.module_prefix = config.module.value_or(settings.module_prefix);
  log::configure(settings);
  return {};
}

}  // namespace wisp

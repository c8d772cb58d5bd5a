#include "vmm/doctor/report.h"

#include <algorithm>

namespace wisp {
namespace {

constexpr std::size_t kLevelColumns = 9;
constexpr std::size_t kNameColumns = 22;

std::string padded(std::string text, std::size_t columns) {
  text.resize(std::max(text.size() + 1, columns), ' ');
  return text;
}

std::string plural(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

}  // namespace

const char* to_string(Level level) {
  switch (level) {
    case Level::Ok: return "ok";
    case Level::Warning: return "warning";
    case Level::Failure: return "failure";
  }
  return "?";
}

Finding ok(std::string text) {
  return {Level::Ok, std::move(text)};
}

Finding warning(std::string text, std::string remedy) {
  return {Level::Warning, std::move(text), std::move(remedy)};
}

Finding failure(std::string text, std::string remedy) {
  return {Level::Failure, std::move(text), std::move(remedy)};
}

std::size_t HostReport::count(Level level) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(results, [level](const CheckResult& each) { return each.finding.level == level; }));
}

Level HostReport::verdict() const {
  return count(Level::Failure) > 0 ? Level::Failure : count(Level::Warning) > 0 ? Level::Warning : Level::Ok;
}

std::string report_text(const HostReport& report, Detail detail) {
  const std::string indent(kLevelColumns, ' ');
  std::string text;
  for (const CheckResult& each : report.results) {
    text += padded(to_string(each.finding.level), kLevelColumns) + padded(each.name, kNameColumns) + each.finding.text +
            "\n";
    if (!each.finding.remedy.empty()) {
      text += indent + "remedy: " + each.finding.remedy + "\n";
    }
    if (detail == Detail::Verbose) {
      for (const std::string& line : each.finding.details) {
        text += indent + "  " + line + "\n";
      }
    }
  }
  return text + plural(report.results.size(), "check", "checks") + ": " + std::to_string(report.count(Level::Ok)) +
         " ok, " + plural(report.count(Level::Warning), "warning", "warnings") + ", " +
         plural(report.count(Level::Failure), "failure", "failures") + "\n";
}

}  // namespace wisp

#include "api/codec_doctor.h"

#include "api/json_writer.h"
#include "vmm/base/version.h"

namespace wisp::api {

std::string doctor_report_json(const HostReport& report) {
  JsonWriter json;
  json.open_object();
  json.key("version").string(kWispVersion);
  json.key("verdict").string(to_string(report.verdict()));
  json.key("ok").number(report.count(Level::Ok));
  json.key("warnings").number(report.count(Level::Warning));
  json.key("failures").number(report.count(Level::Failure));
  json.key("checks").open_array();
  for (const CheckResult& each : report.results) {
    json.open_object();
    json.key("name").string(each.name);
    json.key("level").string(to_string(each.finding.level));
    json.key("text").string(each.finding.text);
    json.key("remedy").string(each.finding.remedy);
    json.key("details").open_array();
    for (const std::string& line : each.finding.details) {
      json.string(line);
    }
    json.close_array().close_object();
  }
  json.close_array().close_object();
  return json.take();
}

}  // namespace wisp::api

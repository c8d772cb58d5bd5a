#include "api/codec_doctor.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace wisp::api {

TEST_CASE("a doctor's report as JSON has verdict, counts and every check") {
  HostReport report;
  report.results.push_back({"one", ok("is \"well\"")});
  report.results.push_back({"two", failure("is bad", "mend it")});
  report.results[1].finding.details = {"more"};
  const auto json = nlohmann::json::parse(doctor_report_json(report));
  CHECK(json["verdict"] == "failure");
  CHECK(json["ok"] == 1);
  CHECK(json["warnings"] == 0);
  CHECK(json["failures"] == 1);
  CHECK(json["checks"][0]["text"] == "is \"well\"");
  CHECK(json["checks"][1] ==
        nlohmann::json(
            {{"name", "two"}, {"level", "failure"}, {"text", "is bad"}, {"remedy", "mend it"}, {"details", {"more"}}}));
}

}  // namespace wisp::api

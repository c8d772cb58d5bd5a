#include "vmm/doctor/report.h"

#include <catch2/catch.hpp>

#include "vmm/doctor/text.h"

namespace wisp {

TEST_CASE("a report is a line a check, the remedy on the next, details when asked for, and a sum") {
  HostReport report;
  report.results.push_back({"one", ok("is well")});
  report.results.push_back({"two", warning("is odd", "do this")});
  report.results[1].finding.details = {"more"};
  CHECK(report_text(report, Detail::Brief) ==
        "ok       one                   is well\n"
        "warning  two                   is odd\n"
        "         remedy: do this\n"
        "2 checks: 1 ok, 1 warning, 0 failures\n");
  CHECK(report_text(report, Detail::Verbose).find("           more\n") != std::string::npos);
  CHECK(report.verdict() == Level::Warning);
  report.results.push_back({"three", failure("is broken", "mend it")});
  CHECK(report.verdict() == Level::Failure);
}

TEST_CASE("kernel releases are read up to the patch number") {
  using text::KernelVersion;
  CHECK(text::kernel_version("6.1.0-56-cloud-amd64") == KernelVersion{6, 1, 0});
  CHECK(text::kernel_version("5.10") == KernelVersion{5, 10, 0});
  CHECK(text::kernel_version("6.18.44-fc") == KernelVersion{6, 18, 44});
  CHECK(text::kernel_version("6.19-rc1") == KernelVersion{6, 19, 0});
  for (const char* release : {"", "6", "linux", "-6.1"}) {
    CHECK_FALSE(text::kernel_version(release));
  }
  CHECK(KernelVersion{5, 9, 99} < KernelVersion{5, 10, 0});
}

TEST_CASE("lines, words and chosen words of files in /proc and /sys") {
  CHECK(text::words("  a\t b  ").size() == 2);
  CHECK(text::words(" ").empty());
  CHECK(text::lines("a\nb").size() == 2);
  CHECK(text::split("a::b", ':').size() == 3);
  CHECK(text::chosen("always [madvise] never") == "madvise");
  CHECK(text::chosen("no brackets").empty());
  CHECK(text::chosen("] [").empty());
  CHECK(text::number("12") == 12);
  CHECK_FALSE(text::number("12 "));
  CHECK_FALSE(text::number(""));
}

}  // namespace wisp

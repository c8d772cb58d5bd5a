// What `wisp doctor` found, as data and as text.
//
//   warning  swap                2 swap areas are in use: guest memory can end up on a disk
//            remedy: swapoff -a, and remove the swap lines from /etc/fstab
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace wisp {

enum class Level {
  Ok,
  Warning,  ///< wisp works; a feature, speed or safety is lost
  Failure,  ///< wisp does not work
};
const char* to_string(Level level);

struct Finding {
  Level level = Level::Ok;
  std::string text;                       ///< one line
  std::string remedy = {};                ///< what to do; there is one unless all is well
  std::vector<std::string> details = {};  ///< for --verbose
};

Finding ok(std::string text);
Finding warning(std::string text, std::string remedy);
Finding failure(std::string text, std::string remedy);

struct CheckResult {
  std::string name;
  Finding finding;
};

struct HostReport {
  std::vector<CheckResult> results;

  std::size_t count(Level level) const;
  /// The worst level of all.
  Level verdict() const;
};

enum class Detail { Brief, Verbose };
std::string report_text(const HostReport& report, Detail detail);

}  // namespace wisp

#include "vmm/base/result.h"

#include <cstring>

namespace wisp {

Error Error::host(int sys_errno, std::string_view what, std::string_view remedy) {
  std::string text(what);
  text += ": ";
  text += ::strerror(sys_errno);  // NOLINT(concurrency-mt-unsafe): glibc's is safe for known errnos
  text += " (os error ";
  text += std::to_string(sys_errno);
  text += ")";
  if (!remedy.empty()) {
    text += ". ";
    text += remedy;
  }
  Error error(ErrorCode::HostFault, std::move(text));
  error.sys_errno_ = sys_errno;
  return error;
}

}  // namespace wisp

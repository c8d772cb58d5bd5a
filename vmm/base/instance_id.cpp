#include "vmm/base/instance_id.h"

namespace wisp {
namespace {

bool is_id_character(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '-';
}

}  // namespace

Status check_instance_id(const std::string& id) {
  if (id.empty() || id.size() > kMaxInstanceIdBytes) {
    return Error(ErrorCode::InvalidArgument, "Invalid instance ID: its length is " + std::to_string(id.size()) +
                                                 ". Give --id 1 to 64 letters, digits and dashes");
  }
  for (std::size_t position = 0; position < id.size(); ++position) {
    if (!is_id_character(id[position])) {
      return Error(ErrorCode::InvalidArgument, "Invalid instance ID: invalid character at position " +
                                                   std::to_string(position) +
                                                   ". Give --id only ASCII letters, digits and dashes");
    }
  }
  return {};
}

}  // namespace wisp

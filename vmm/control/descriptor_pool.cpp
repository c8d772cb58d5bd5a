#include "vmm/control/descriptor_pool.h"

namespace wisp {

std::string name_of(const DescriptorRef& which) {
  const auto* index = std::get_if<std::uint32_t>(&which);
  return index != nullptr ? "descriptor " + std::to_string(*index)
                          : "descriptor '" + std::get<std::string>(which) + "'";
}

Result<Fd> DescriptorPool::take(const DescriptorRef& which, const std::string& object) {
  const auto* index = std::get_if<std::uint32_t>(&which);
  return index != nullptr ? take_received(*index, object) : take_inherited(std::get<std::string>(which), object);
}

Result<Fd> DescriptorPool::take_received(std::uint32_t index, const std::string& object) {
  const std::size_t count = received_ ? received_->size() : 0;
  if (index >= count) {
    return Error(ErrorCode::NotFound, object + ": descriptor " + std::to_string(index) + " is not there, " +
                                          std::to_string(count) +
                                          " came with the request. Send it along (SCM_RIGHTS); the first one is 0");
  }
  Fd taken = std::move((*received_)[index]);
  if (!taken.valid()) {
    return Error(ErrorCode::InvalidArgument,
                 object + ": descriptor " + std::to_string(index) + " is named twice. Send a duplicate of it (dup)");
  }
  return taken;
}

Result<Fd> DescriptorPool::take_inherited(const std::string& name, const std::string& object) {
  const auto found = inherited_.find(name);
  if (found == inherited_.end()) {
    return Error(ErrorCode::NotFound, object + ": there is no inherited descriptor '" + name +
                                          "', or it is in use already. Start wisp with --inherit-fd " + name + "=N");
  }
  Fd taken = std::move(found->second);
  inherited_.erase(found);
  return taken;
}

}  // namespace wisp

// DescriptorPool: the open files that one request may name, and who has taken which.
//
//   DescriptorPool pool(command.descriptors, inherited);
//   Fd fd = WISP_TRY(pool.take(DescriptorRef(0u), "drive 'rootfs'"));     // each can be had once
//
// What nobody takes is closed with the request that it came with; inherited descriptors stay until they are taken.
#pragma once

#include <map>
#include <string>

#include "vmm/config/descriptor.h"

namespace wisp {

using InheritedDescriptors = std::map<std::string, Fd>;

/// How texts and GET /vm/config call it: "descriptor 0", "descriptor 'disk'".
std::string name_of(const DescriptorRef& which);

class DescriptorPool {
 public:
  /// Both are emptied as descriptors are taken; `inherited` outlives the pool.
  DescriptorPool(ReceivedDescriptors received, InheritedDescriptors& inherited)
      : received_(std::move(received)), inherited_(inherited) {}

  /// `object` is for texts: who wants it.
  Result<Fd> take(const DescriptorRef& which, const std::string& object);

 private:
  Result<Fd> take_received(std::uint32_t index, const std::string& object);
  Result<Fd> take_inherited(const std::string& name, const std::string& object);

  ReceivedDescriptors received_;
  InheritedDescriptors& inherited_;
};

}  // namespace wisp

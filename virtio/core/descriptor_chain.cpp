#include "virtio/core/descriptor_chain.h"

#include <utility>

#include "virtio/core/ring_core.h"
#include "vmm/base/assert.h"

namespace wisp {

DescriptorChain::DescriptorChain(DescriptorChain&& other) noexcept
    : core_(std::exchange(other.core_, nullptr)), head_(other.head_), shape_(other.shape_) {}

DescriptorChain& DescriptorChain::operator=(DescriptorChain&& other) noexcept {
  if (this != &other) {
    drop();
    core_ = std::exchange(other.core_, nullptr);
    head_ = other.head_;
    shape_ = other.shape_;
  }
  return *this;
}

DescriptorChain::~DescriptorChain() {
  drop();
}

void DescriptorChain::drop() {
  if (core_ != nullptr) {
    std::exchange(core_, nullptr)->drop_chain(head_);
  }
}

ChainReader DescriptorChain::reader() const {
  WISP_ASSERT(core_ != nullptr);
  return {core_->memory(), core_->segments(head_).first(shape_.readable_count), shape_.readable_bytes};
}

ChainWriter DescriptorChain::writer() const {
  WISP_ASSERT(core_ != nullptr);
  return {core_->memory(), core_->segments(head_).subspan(shape_.readable_count, shape_.writable_count),
          shape_.writable_bytes};
}

void DescriptorChain::complete(std::uint32_t written_bytes) && {
  WISP_ASSERT(core_ != nullptr);
  std::exchange(core_, nullptr)->complete_chain(head_, written_bytes);
}

void DescriptorChain::put_back() && {
  WISP_ASSERT(core_ != nullptr);
  std::exchange(core_, nullptr)->put_back_chain(head_);
}

void DescriptorChain::abandon() && {
  WISP_ASSERT(core_ != nullptr);
  std::exchange(core_, nullptr)->abandon_chain(head_);
}

}  // namespace wisp

// Replaces the allocation functions of a test program, so that a test can say "this does not allocate". Include it in
// exactly one file of the program.
//
//   const std::uint64_t before = fakes::allocation_count;
//   device.on_queue(0);
//   CHECK(fakes::allocation_count == before);
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "vmm/base/assert.h"

namespace wisp::fakes {

inline std::atomic<std::uint64_t> allocation_count = 0;

inline void* counted_allocation(std::size_t size) {
  ++allocation_count;
  void* memory = std::malloc(size);
  WISP_ASSERT(memory != nullptr);
  return memory;
}

}  // namespace wisp::fakes

void* operator new(std::size_t size) {
  return wisp::fakes::counted_allocation(size);
}
void* operator new[](std::size_t size) {
  return wisp::fakes::counted_allocation(size);
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return wisp::fakes::counted_allocation(size);
}
void* operator new[](std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return wisp::fakes::counted_allocation(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

// GuestPod: the types that may be copied to and from guest memory as a whole.
//
// Trivially copyable, standard layout and without padding, so that no host byte leaks through a hole; and opted in by
// name, because no trait can tell that every bit pattern is a valid value (`bool` and enums pass the others). Opt in
// next to the type, which consists of Le integers and byte arrays only:
//
//   struct Descriptor { Le64 address; Le32 length; Le16 flags; Le16 next; };
//   template <> inline constexpr bool wisp::kIsGuestPod<Descriptor> = true;
#pragma once

#include <type_traits>

#include "vmm/base/endian.h"

namespace wisp {

template <typename T>
inline constexpr bool kIsGuestPod = false;

template <>
inline constexpr bool kIsGuestPod<Le16> = true;
template <>
inline constexpr bool kIsGuestPod<Le32> = true;
template <>
inline constexpr bool kIsGuestPod<Le64> = true;

template <typename T>
concept GuestPod = kIsGuestPod<T> && std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> &&
    std::has_unique_object_representations_v<T>;

}  // namespace wisp

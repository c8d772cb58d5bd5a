// ConnectLine: the one line that a host program says before its bytes reach the guest.
//
//   CONNECT 52\n        keyword in any case, a decimal port, blanks between and behind; at most 32 bytes in all
//
// parse_connect_line looks at what has arrived so far and never asks for more than the line: bytes behind it are the
// guest's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wisp {

/// The longest line, its newline included.
inline constexpr std::size_t kMaxConnectLineBytes = 32;

enum class ConnectLineState : std::uint8_t {
  Incomplete,  ///< no newline yet, and there is room for one
  Malformed,
  Complete,
};

struct ConnectLine {
  ConnectLineState state = ConnectLineState::Incomplete;
  std::uint32_t port = 0;
  std::size_t length_bytes = 0;  ///< of the line, newline included, when it is complete
};

/// `bytes` are the first that arrived, at most kMaxConnectLineBytes of them.
ConnectLine parse_connect_line(std::span<const char> bytes);

}  // namespace wisp

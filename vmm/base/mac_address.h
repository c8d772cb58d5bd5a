// MAC addresses as people write them: "06:00:00:00:00:01".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wisp {

using MacAddress = std::array<std::uint8_t, 6>;

/// Exactly six pairs of hexadecimal digits with colons between them.
std::optional<MacAddress> parse_mac(std::string_view text);
std::string mac_text(const MacAddress& mac);

}  // namespace wisp

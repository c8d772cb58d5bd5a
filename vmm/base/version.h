// The versions that the program reports.
#pragma once

namespace wisp {

inline constexpr const char* kWispVersion = "0.1.0";
/// The Firecracker API that wisp is compatible with; answered by GET /version.
inline constexpr const char* kApiVersion = "1.17.0";

}  // namespace wisp

// Session tokens that the service need not remember (version 2 of the metadata service).
//
// A token is 8 bytes of expiry (milliseconds of the monotonic clock), 8 bytes of serial number and a keyed BLAKE2b MAC
// (libsodium) over the instance id and both, as 64 characters of url-safe base64. The key is random, made at creation
// and never stored: a new process, a restored machine included, knows none of the tokens of another one. The guest can
// hold as many tokens as it likes; the monitor holds none.
//
//   auto tokens = WISP_TRY(TokenAuthority::create("vm-1", clock));
//   std::string token = tokens.issue(60);     // seconds
//   tokens.accepts(token);                    // until 60 s later
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/base/clock.h"
#include "vmm/base/result.h"

namespace wisp::mmds {

inline constexpr std::uint32_t kMinTokenTtlSeconds = 1;
inline constexpr std::uint32_t kMaxTokenTtlSeconds = 21600;
inline constexpr std::size_t kTokenKeyBytes = 32;
inline constexpr std::size_t kTokenLength = 64;

class TokenAuthority {
 public:
  static Result<TokenAuthority> create(std::string instance_id, const Clock& clock);
  TokenAuthority(TokenAuthority&&) = default;
  TokenAuthority& operator=(TokenAuthority&&) = delete;
  ~TokenAuthority();

  /// `ttl_seconds` lies between the two bounds above.
  std::string issue(std::uint32_t ttl_seconds);
  bool accepts(std::string_view token) const;

 private:
  using Key = std::array<unsigned char, kTokenKeyBytes>;
  struct Claim;
  TokenAuthority(std::string instance_id, const Clock& clock, const Key& key)
      : instance_id_(std::move(instance_id)), clock_(&clock), key_(key) {}
  void sign(Claim& claim) const;
  std::string write(Claim& claim) const;

  std::string instance_id_;
  const Clock* clock_;
  Key key_;
  std::uint64_t serial_ = 0;
};

}  // namespace wisp::mmds

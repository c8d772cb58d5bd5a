#include "virtio/mmds/token.h"

#include <sodium.h>
#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <type_traits>

#include "vmm/base/assert.h"
#include "vmm/base/endian.h"
#include "vmm/base/random.h"

namespace wisp::mmds {
namespace {

constexpr std::size_t kMacBytes = 32;
constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kMsPerSecond = 1000;

}  // namespace

/// A token before it becomes text. 48 bytes are 64 characters with no bit to spare, so a token has one spelling only.
struct TokenAuthority::Claim {
  Le64 expiry_ms;
  Le64 serial;
  std::array<unsigned char, kMacBytes> mac{};

  unsigned char* bytes() { return reinterpret_cast<unsigned char*>(this); }
};

Result<TokenAuthority> TokenAuthority::create(std::string instance_id, const Clock& clock) {
  if (sodium_init() < 0) {
    return Error(ErrorCode::HostFault, "The cryptographic library cannot be initialized.");
  }
  Key key;
  (void)WISP_TRY(fill_random(std::as_writable_bytes(std::span(key)), "the metadata service's token key"));
  TokenAuthority authority(std::move(instance_id), clock, key);
  sodium_memzero(key.data(), key.size());
  return authority;
}

TokenAuthority::~TokenAuthority() {
  sodium_memzero(key_.data(), key_.size());
}

void TokenAuthority::sign(Claim& claim) const {
  static_assert(sizeof(Claim) * 4 / 3 == kTokenLength && sizeof(Claim) % 3 == 0 && alignof(Claim) == 1);
  static_assert(std::is_trivially_copyable_v<Claim>);
  crypto_generichash_state state;
  crypto_generichash_init(&state, key_.data(), key_.size(), kMacBytes);
  // The id has no fixed length but what follows has, so no two pairs of id and claim give the same message.
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(instance_id_.data()), instance_id_.size());
  crypto_generichash_update(&state, claim.bytes(), offsetof(Claim, mac));
  crypto_generichash_final(&state, claim.mac.data(), kMacBytes);
}

std::string TokenAuthority::write(Claim& claim) const {
  sign(claim);
  std::array<char, kTokenLength + 1> text{};
  sodium_bin2base64(text.data(), text.size(), claim.bytes(), sizeof(claim), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  return text.data();
}

std::string TokenAuthority::issue(std::uint32_t ttl_seconds) {
  WISP_ASSERT(ttl_seconds >= kMinTokenTtlSeconds && ttl_seconds <= kMaxTokenTtlSeconds);
  Claim claim;
  claim.expiry_ms = clock_->now_ns() / kNsPerMs + ttl_seconds * kMsPerSecond;
  claim.serial = ++serial_;
  return write(claim);
}

bool TokenAuthority::accepts(std::string_view token) const {
  Claim claim;
  std::size_t length = 0;
  if (token.size() != kTokenLength ||
      sodium_base642bin(claim.bytes(), sizeof(claim), token.data(), token.size(), nullptr, &length, nullptr,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
      length != sizeof(claim)) {
    return false;
  }
  // The text is compared, not the MAC: the decoder takes some bytes above 127 for letters, and a token has one
  // spelling.
  const std::string right = write(claim);
  return sodium_memcmp(right.data(), token.data(), kTokenLength) == 0 && clock_->now_ns() / kNsPerMs < claim.expiry_ms;
}

}  // namespace wisp::mmds

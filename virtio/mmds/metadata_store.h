// MetadataStore: the one JSON value that the operator leaves for the guest.
//
//   MetadataStore store(51200);
//   store.put(R"({"ami":"x","net":{"ip":"10.0.0.2"}})");     // PUT /mmds
//   store.merge(R"({"net":null})");                          // PATCH /mmds, RFC 7396
//   store.json();                                            // GET /mmds
//   store.lookup("/ami", MetadataFormat::Imds);              // the guest's GET
//
// Rules: a change is taken as a whole or refused with nothing changed. The limit counts the bytes of the value written
// without blanks. Keys come back sorted; of a key given twice the last one counts; a whole number outside 64 bits and
// "-0" become floating-point. Contents are the operator's, never the guest's, and are still bounded in depth, because
// the writer and the merge recurse.
//
// What lookup() hands out is shared, not copied: JSON is a piece of the store's own text, a string lies in its tree,
// and the listing of one object exists once however many ask for it. It stays good after the store has changed.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"

namespace wisp {

/// Objects and arrays inside each other.
inline constexpr std::size_t kMaxMetadataDepth = 127;
inline constexpr std::size_t kDefaultMetadataLimitBytes = 51200;

enum class MetadataFormat {
  Json,
  Imds,  ///< a string as it is, an object as the list of its keys, nothing else
};

enum class LookupOutcome { Found, NotFound, Unsupported };

/// Text that somebody else owns, kept alive.
struct SharedText {
  std::shared_ptr<const void> owner;
  std::string_view text;
};

struct Lookup {
  LookupOutcome outcome = LookupOutcome::NotFound;
  SharedText body;
};

/// Belongs to the event loop's thread.
class MetadataStore {
 public:
  explicit MetadataStore(std::size_t limit_bytes);
  ~MetadataStore();
  MetadataStore(const MetadataStore&) = delete;
  MetadataStore& operator=(const MetadataStore&) = delete;

  /// Replaces the value. InvalidArgument: not JSON; LimitExceeded: too large.
  Status put(std::string_view json);
  /// Merges into the value. WrongState before the first put().
  Status merge(std::string_view json);
  /// The whole value; "{}" when there is none or it is null.
  std::string json() const;
  bool initialized() const { return initialized_; }

  /// `pointer` is a JSON pointer (RFC 6901), empty for the whole value.
  Lookup lookup(std::string_view pointer, MetadataFormat format) const;

 private:
  struct Document;
  struct Listing;
  Status replace(std::shared_ptr<Document> document);
  SharedText listing_of(const void* node) const;

  std::size_t limit_bytes_;
  bool initialized_ = false;
  std::shared_ptr<const Document> document_;
  mutable std::vector<std::weak_ptr<const Listing>> listings_;  // those that answers in progress hold
};

}  // namespace wisp

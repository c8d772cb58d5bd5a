#include "virtio/mmds/metadata_store.h"

#include <utility>

#include "virtio/mmds/json_document.h"

namespace wisp {

/// A value that never changes again: answers in progress share it.
struct MetadataStore::Document {
  mmds::Json tree;
  std::string text;
};

struct MetadataStore::Listing {
  std::shared_ptr<const Document> document;
  const void* node = nullptr;
  std::string text;
};

namespace {

/// Keys one per line; the name of an object inside ends in a slash.
std::string listing_text(const mmds::Json& object) {
  std::string text;
  for (const auto& [name, value] : object.get_ref<const mmds::Json::object_t&>()) {
    text += name;
    text += value.is_object() ? "/\n" : "\n";
  }
  if (!text.empty()) {
    text.pop_back();
  }
  return text;
}

}  // namespace

MetadataStore::MetadataStore(std::size_t limit_bytes)
    : limit_bytes_(limit_bytes), document_(std::make_shared<Document>(Document{nullptr, "null"})) {}

MetadataStore::~MetadataStore() = default;

Status MetadataStore::put(std::string_view json) {
  auto document = std::make_shared<Document>();
  document->tree = WISP_TRY(mmds::parse_document(json));
  return replace(std::move(document));
}

Status MetadataStore::merge(std::string_view json) {
  if (!initialized_) {
    return Error(ErrorCode::WrongState, "The MMDS data store is not initialized.");
  }
  const mmds::Json patch = WISP_TRY(mmds::parse_document(json));
  auto document = std::make_shared<Document>();
  document->tree = document_->tree;
  document->tree.merge_patch(patch);
  return replace(std::move(document));
}

Status MetadataStore::replace(std::shared_ptr<Document> document) {
  document->text = mmds::write_document(document->tree);
  if (document->text.size() > limit_bytes_) {
    return Error(ErrorCode::LimitExceeded, "The MMDS patch request doesn't fit.");
  }
  document_ = std::move(document);
  initialized_ = true;
  return {};
}

std::string MetadataStore::json() const {
  return document_->tree.is_null() ? "{}" : document_->text;
}

SharedText MetadataStore::listing_of(const void* node) const {
  std::erase_if(listings_, [](const auto& listing) { return listing.expired(); });
  for (const auto& known : listings_) {
    auto listing = known.lock();
    if (listing != nullptr && listing->document == document_ && listing->node == node) {
      return {listing, listing->text};
    }
  }
  auto listing = std::make_shared<Listing>();
  listing->document = document_;
  listing->node = node;
  listing->text = listing_text(*static_cast<const mmds::Json*>(node));
  listings_.push_back(listing);
  return {listing, listing->text};
}

Lookup MetadataStore::lookup(std::string_view pointer, MetadataFormat format) const {
  const mmds::Place place = mmds::follow_pointer(document_->tree, document_->text, pointer);
  if (place.node == nullptr) {
    return {LookupOutcome::NotFound, {}};
  }
  if (format == MetadataFormat::Json) {
    return {LookupOutcome::Found, {document_, place.text}};
  }
  if (place.node->is_string()) {
    return {LookupOutcome::Found, {document_, place.node->get_ref<const std::string&>()}};
  }
  if (place.node->is_object()) {
    return {LookupOutcome::Found, listing_of(place.node)};
  }
  return {LookupOutcome::Unsupported, {}};
}

}  // namespace wisp

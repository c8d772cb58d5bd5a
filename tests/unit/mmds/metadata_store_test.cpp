#include "virtio/mmds/metadata_store.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace wisp {
namespace {

constexpr std::size_t kLarge = 51200;

struct Case {
  std::string before;
  std::string patch;
  std::string after;
};

std::string nested(std::size_t arrays) {
  return R"({"a":)" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
}

std::string found(const MetadataStore& store, std::string_view pointer, MetadataFormat format) {
  const Lookup lookup = store.lookup(pointer, format);
  switch (lookup.outcome) {
    case LookupOutcome::Found: return std::string(lookup.body.text);
    case LookupOutcome::NotFound: return "(not found)";
    case LookupOutcome::Unsupported: break;
  }
  return "(unsupported)";
}

}  // namespace

TEST_CASE("a store that was never put is empty and cannot be patched") {
  MetadataStore store(kLarge);
  CHECK_FALSE(store.initialized());
  CHECK(store.json() == "{}");
  const Status status = store.merge(R"({"a":1})");
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().code() == ErrorCode::WrongState);
  CHECK(status.error().text() == "The MMDS data store is not initialized.");
  CHECK_FALSE(store.initialized());
  CHECK(store.json() == "{}");
}

TEST_CASE("put takes any JSON value, writes numbers and keys in one way") {
  const auto [text, written] = GENERATE(table<std::string, std::string>({
      {R"({"b":1,"a":{"d":1,"c":2}})", R"({"a":{"c":2,"d":1},"b":1})"},
      {R"({"a":1,"a":2})", R"({"a":2})"},
      {"[1,2]", "[1,2]"},
      {R"("x")", R"("x")"},
      {"null", "{}"},
      {" \r\n\t{\"a\": \"b\"}\n\n ", R"({"a":"b"})"},
      {R"({"k":-0})", R"({"k":-0.0})"},
      {R"({"k":-0.0})", R"({"k":-0.0})"},
      {R"({"k":0})", R"({"k":0})"},
      {R"({"k":-9223372036854775808})", R"({"k":-9223372036854775808})"},
      {R"({"k":-9223372036854775809})", R"({"k":-9.223372036854776e+18})"},
      {R"({"k":18446744073709551615})", R"({"k":18446744073709551615})"},
      {R"({"k":18446744073709551616})", R"({"k":1.8446744073709552e+19})"},
      {R"({"k":0.1000000000000000055511151231257827})", R"({"k":0.1})"},
      {R"({"k":0.30000000000000004})", R"({"k":0.30000000000000004})"},
      {R"({"k":"\u0041\n\t\"\\\/\b\f\r"})", R"({"k":"A\n\t\"\\/\b\f\r"})"},
      {R"({"k":"\u0000"})", R"({"k":"\u0000"})"},
      {R"({"k":"déjà 中"})", R"({"k":"déjà 中"})"},
  }));
  MetadataStore store(kLarge);
  REQUIRE(store.put(text).ok());
  CHECK(store.initialized());
  CHECK(store.json() == written);
}

TEST_CASE("what is not JSON is refused and the store stays as it was") {
  const std::string text =
      GENERATE(as<std::string>{}, "", " ", "hello", R"({"a":"b")", R"({"a":1} x)", R"({"a":1}{"a":1})", "{'a':'b'}",
               "\xef\xbb\xbf{\"a\":1}", R"({"k":1e400})", R"({"k":"\ud83d"})", R"({"k":NaN})", R"({"k":Infinity})",
               R"({"k":+1})", R"({"k":0x10})", R"({"k":"\x41"})", R"({"a":1,})", R"({"a":1/* c */})",
               "{\"a\":\"\xff\"}", std::string("{\"a\":1}\0", 8), std::string("{\"a\":\0 1}", 9));
  MetadataStore store(kLarge);
  SECTION("put on nothing") {
    CHECK(store.put(text).error().code() == ErrorCode::InvalidArgument);
    CHECK_FALSE(store.initialized());
    CHECK(store.json() == "{}");
  }
  SECTION("put and patch on something") {
    REQUIRE(store.put(R"({"a":{"b":1}})").ok());
    CHECK(store.put(text).error().code() == ErrorCode::InvalidArgument);
    CHECK(store.merge(text).error().code() == ErrorCode::InvalidArgument);
    CHECK(store.json() == R"({"a":{"b":1}})");
  }
}

TEST_CASE("126 arrays inside an object are taken, more are refused") {
  MetadataStore store(1'000'000);
  CHECK(store.put(nested(126)).ok());
  CHECK(store.merge(nested(126)).ok());
  CHECK(found(store, "/a/0/0", MetadataFormat::Json) == std::string(124, '[') + std::string(124, ']'));
  CHECK_FALSE(store.put(nested(127)).ok());
  CHECK_FALSE(store.merge(nested(127)).ok());
  CHECK_FALSE(store.put(std::string(500'000, '[')).ok());
  CHECK(store.json() == nested(126));
}

TEST_CASE("patch merges as RFC 7396 says") {
  const Case item = GENERATE(values<Case>({
      {R"({"a":{"x":1},"l":[1,2],"s":"t"})", R"({"a":{"y":2},"n":1})",
       R"({"a":{"x":1,"y":2},"l":[1,2],"n":1,"s":"t"})"},
      {R"({"a":{"x":1}})", R"({"zzz":null})", R"({"a":{"x":1}})"},
      {R"({"a":{"x":1}})", R"({"a":5})", R"({"a":5})"},
      {R"({"s":"t"})", R"({"s":{"t":null,"u":1}})", R"({"s":{"u":1}})"},
      {R"({"a":1})", "[1]", "[1]"},
      {R"({"a":1})", "5", "5"},
      {R"({"a":1})", "null", "{}"},
      {R"({"a":1})", "{}", R"({"a":1})"},
      {R"({"l":[1,2]})", R"({"l":[null]})", R"({"l":[null]})"},
      {R"({"s":1})", R"({"new":{"a":null,"b":{"c":null}}})", R"({"new":{"b":{}},"s":1})"},
      {"[1,2]", R"({"a":1})", R"({"a":1})"},
      {"null", R"({"a":1})", R"({"a":1})"},
      // Examples of the RFC's appendix A.
      {R"({"a":"b"})", R"({"a":null})", "{}"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"({"e":null})", R"({"a":1})", R"({"a":1,"e":null})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  }));
  MetadataStore store(kLarge);
  REQUIRE(store.put(item.before).ok());
  REQUIRE(store.merge(item.patch).ok());
  CHECK(store.json() == item.after);
}

TEST_CASE("the limit counts the written bytes, of put and of the merged whole") {
  MetadataStore store(20);
  CHECK(store.put(R"({"a":                       "0123456789"})").ok());
  CHECK(store.put(R"({"a":"0123456789ab"})").ok());
  const Status too_large = store.put(R"({"a":"0123456789abc"})");
  REQUIRE_FALSE(too_large.ok());
  CHECK(too_large.error().code() == ErrorCode::LimitExceeded);
  CHECK(too_large.error().text() == "The MMDS patch request doesn't fit.");
  CHECK(store.json() == R"({"a":"0123456789ab"})");
  CHECK(store.merge(R"({"b":1})").error().code() == ErrorCode::LimitExceeded);
  CHECK(store.json() == R"({"a":"0123456789ab"})");
  CHECK(store.merge(R"({"a":"1","b":1})").ok());
  CHECK(store.json() == R"({"a":"1","b":1})");
}

TEST_CASE("a refused first put leaves the store not initialized") {
  MetadataStore store(0);
  CHECK(store.put("{}").error().code() == ErrorCode::LimitExceeded);
  CHECK_FALSE(store.initialized());
  CHECK(store.merge("{}").error().code() == ErrorCode::WrongState);
}

TEST_CASE("a pointer finds values in JSON and in IMDS text") {
  MetadataStore store(kLarge);
  REQUIRE(store
              .put(R"({"name":"x\ny","net":{"ip":"10.0.0.2","mask":24,"deep":{"k":"v"}},"list":["a",{"b":"}]\"{"},[7]],
    "t":true,"n":null,"f":1.5,"e":{},"sl/ash":"s","til~de":"t","":{"":"blank"}})")
              .ok());
  const auto [pointer, json, imds] = GENERATE(table<std::string, std::string, std::string>({
      {"/name", R"("x\ny")", "x\ny"},
      {"/net", R"({"deep":{"k":"v"},"ip":"10.0.0.2","mask":24})", "deep/\nip\nmask"},
      {"/net/ip", R"("10.0.0.2")", "10.0.0.2"},
      {"/net/mask", "24", "(unsupported)"},
      {"/net/deep/k", R"("v")", "v"},
      {"/list", R"(["a",{"b":"}]\"{"},[7]])", "(unsupported)"},
      {"/list/0", R"("a")", "a"},
      {"/list/1", R"({"b":"}]\"{"})", "b"},
      {"/list/1/b", R"("}]\"{")", "}]\"{"},
      {"/list/2/0", "7", "(unsupported)"},
      {"/list/3", "(not found)", "(not found)"},
      {"/list/-1", "(not found)", "(not found)"},
      {"/list/00", "(not found)", "(not found)"},
      {"/list/+1", "(not found)", "(not found)"},
      {"/list/1x", "(not found)", "(not found)"},
      {"/list/99999999999999999999999", "(not found)", "(not found)"},
      {"/t", "true", "(unsupported)"},
      {"/n", "null", "(unsupported)"},
      {"/f", "1.5", "(unsupported)"},
      {"/e", "{}", ""},
      {"/sl~1ash", R"("s")", "s"},
      {"/til~0de", R"("t")", "t"},
      {"//", R"("blank")", "blank"},
      {"/none", "(not found)", "(not found)"},
      {"/name/more", "(not found)", "(not found)"},
      {"/t/0", "(not found)", "(not found)"},
      {"name", "(not found)", "(not found)"},
      {"/~", "(not found)", "(not found)"},
  }));
  CHECK(found(store, pointer, MetadataFormat::Json) == json);
  CHECK(found(store, pointer, MetadataFormat::Imds) == imds);
}

TEST_CASE("the empty pointer is the whole value; an empty store is null") {
  MetadataStore store(kLarge);
  CHECK(found(store, "", MetadataFormat::Json) == "null");
  CHECK(found(store, "", MetadataFormat::Imds) == "(unsupported)");
  CHECK(found(store, "/a", MetadataFormat::Json) == "(not found)");
  REQUIRE(store.put(R"({"b":{},"a":1})").ok());
  CHECK(found(store, "", MetadataFormat::Json) == R"({"a":1,"b":{}})");
  CHECK(found(store, "", MetadataFormat::Imds) == "a\nb/");
}

TEST_CASE("every value of a document is found where its text lies") {
  const std::string text =
      R"({"a":[1,-2.5,"q\"[{",{"x":{},"y":[]},[[],[{}]]],"b":{"c":{"d":[true,false,null]}},"é":"中"})";
  MetadataStore store(kLarge);
  REQUIRE(store.put(text).ok());
  const nlohmann::json whole = nlohmann::json::parse(text);
  const nlohmann::json flat = whole.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    std::string part = pointer;
    while (!part.empty()) {
      CHECK(found(store, part, MetadataFormat::Json) == whole.at(nlohmann::json::json_pointer(part)).dump());
      part.resize(part.rfind('/'));
    }
  }
}

TEST_CASE("what was looked up is shared, and stays good when the store changes") {
  MetadataStore store(kLarge);
  REQUIRE(store.put(R"({"o":{"a":"1","b":"2"},"p":{}})").ok());
  const Lookup json = store.lookup("/o", MetadataFormat::Json);
  const Lookup again = store.lookup("", MetadataFormat::Json);
  const Lookup listing = store.lookup("/o", MetadataFormat::Imds);
  const Lookup same = store.lookup("/o", MetadataFormat::Imds);
  CHECK(json.body.owner == again.body.owner);
  CHECK(listing.body.text.data() == same.body.text.data());
  REQUIRE(store.put(R"({"o":{"z":"1"}})").ok());
  CHECK(json.body.text == R"({"a":"1","b":"2"})");
  CHECK(listing.body.text == "a\nb");
  CHECK(found(store, "/o", MetadataFormat::Imds) == "z");
}

}  // namespace wisp

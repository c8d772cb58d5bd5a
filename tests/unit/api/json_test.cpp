#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "api/json_value.h"
#include "api/json_writer.h"
#include "api/unicode.h"

using namespace wisp::api;

namespace {

std::string nested(std::size_t arrays) {
  return "{\"a\":" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
}

}  // namespace

TEST_CASE("JSON text of every kind becomes the same value") {
  const std::string text = GENERATE(R"({"a":[1,-2,1.5,true,false,null,"x"],"b":{}})", "[]", "\"x\"", " \t\r\n{} \n");

  const auto json = parse_json(text);

  REQUIRE(json.ok());
  CHECK(json.value() == nlohmann::json::parse(text));
}

TEST_CASE("Text that is not strict JSON is refused with a place") {
  const std::string text = GENERATE(as<std::string>{}, "", "   ", "hello", "{", "{\"a\":1", "{\"a\":1,}", "{'a':1}",
                                    "{\"a\":01}", "{\"a\":+1}", "{\"a\":0x1}", "{\"a\":1/* c */}", "{} x", "{}{}",
                                    "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}", "{\"a\":\"\n\"}", std::string("{}\0{}", 5),
                                    std::string("{\"a\":\"\0\"}", 9), "{\"a\":\"\\ud800\"}", "{\"a\":1e999}", "NaN");
  CAPTURE(text);

  const auto json = parse_json(text);

  REQUIRE_FALSE(json.ok());
  CHECK(json.error().text().find(" at line ") != std::string::npos);
}

TEST_CASE("Syntax errors tell line and column") {
  CHECK(parse_json("{\"a\":\n  x}").error().text() == "syntax error: expected a JSON value at line 2 column 3");
  CHECK(parse_json("{\"a\":").error().text() == "EOF while parsing a value at line 1 column 5");
}

TEST_CASE("A key given twice is refused at every level") {
  const std::string text = GENERATE(R"({"a":1,"a":1})", R"([{"b":{"a":1,"b":2,"a":3}}])");

  const auto json = parse_json(text);

  REQUIRE_FALSE(json.ok());
  CHECK(json.error().text() == "duplicate field `a`");
}

TEST_CASE("Nesting: 126 arrays inside an object pass, 127 do not, and 25000 do no harm") {
  CHECK(parse_json(nested(126)).ok());
  CHECK_FALSE(parse_json(nested(127)).ok());
  CHECK_FALSE(parse_json(nested(25'000)).ok());
  CHECK_FALSE(parse_json(std::string(50'000, '[')).ok());
}

TEST_CASE("The writer keeps the order of keys, sets commas and escapes") {
  JsonWriter json;
  json.open_object().key("z").number(18446744073709551615ULL).key("a").open_array().truth(true).null().close_array();
  json.key("s").string("\"\\\n\x01\x7f é").key("n").optional_string(std::nullopt).close_object();

  CHECK(json.take() == "{\"z\":18446744073709551615,\"a\":[true,null],\"s\":\"\\\"\\\\\\n\\u0001\x7f é\",\"n\":null}");
}

TEST_CASE("The writer puts the replacement character in place of bytes that are not UTF-8") {
  JsonWriter json;
  json.string("a\xff\xc3z");

  CHECK(json.take() == "\"a\xef\xbf\xbd\xef\xbf\xbdz\"");
}

TEST_CASE("UTF-8: over-long forms, surrogates, cut characters and too large values are malformed") {
  const std::string text = GENERATE("\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                    "\xf8\x88\x80\x80\x80", "a\xfe");
  CAPTURE(text);

  CHECK_FALSE(is_utf8(text));
}

TEST_CASE("Ids: letters and digits of any script and underscores, nothing else") {
  CHECK(has_only_id_characters("a_Z09"));
  CHECK(has_only_id_characters("d\xc3\xa9j\xc3\xa0"));  // é, à
  CHECK(has_only_id_characters("\xd9\xa3"));            // an Arabic digit
  CHECK(has_only_id_characters("\xe6\xbc\xa2"));        // a Han character
  const std::string wrong =
      GENERATE("a-b", "a b", "a.b", "a/b", "%61", "a:b", "\xf0\x9f\x98\x80", "\xe2\x82\xac", "\xff");
  CAPTURE(wrong);
  CHECK_FALSE(has_only_id_characters(wrong));
}

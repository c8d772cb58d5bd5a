#include "vmm/base/instance_id.h"

#include <catch2/catch.hpp>

namespace wisp {

TEST_CASE("plan: ids of 1 and 64 characters pass, 0, 65 and foreign characters do not") {
  CHECK(check_instance_id("a").ok());
  CHECK(check_instance_id(std::string(64, 'Z')).ok());
  CHECK_FALSE(check_instance_id("").ok());
  CHECK_FALSE(check_instance_id(std::string(65, 'Z')).ok());
  CHECK_FALSE(check_instance_id("..").ok());
  CHECK_FALSE(check_instance_id("a/b").ok());
  CHECK_FALSE(check_instance_id("a_b").ok());
  CHECK_FALSE(check_instance_id(std::string("a\0b", 3)).ok());
}

}  // namespace wisp

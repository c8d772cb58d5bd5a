// Keeps the log of the code under test out of the report.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include "vmm/base/log.h"

namespace {

struct QuietLog final : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testRunStarting(const Catch::TestRunInfo& /*run*/) override {
    wisp::LogSettings settings;
    settings.max_level = 0;
    wisp::log::configure(settings);
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(QuietLog)

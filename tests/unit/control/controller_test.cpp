#include "vmm/control/controller.h"

#include <catch2/catch.hpp>
#include <vector>

namespace wisp {
namespace {

struct Rig {
  std::unique_ptr<EventLoop> loop = std::move(EventLoop::create()).value();
  MetricsRegistry registry;
  MachineMetrics metrics;
  std::vector<ExitCode> ends;
  VmController controller{*loop, registry, metrics, {}, [this](ExitCode code) { ends.push_back(code); }};

  /// The text of the refusal; empty when it was carried out.
  std::string submit(Command command) {
    std::string text;
    controller.submit(std::move(command), [&](Result<Reply> reply) { text = reply.ok() ? "" : reply.error().text(); });
    return text;
  }
};

LoadSnapshot load_of_nothing() {
  LoadSnapshot load{};
  load.config.state.path = "/no/such/state";
  load.config.memory.path = "/no/such/memory";
  return load;
}

}  // namespace

// Other clients' requests wait in the queue behind a load; a half of a machine must not be started by them.
TEST_CASE("after a load that failed nothing is configured or started, and the process ends") {
  Rig rig;
  CHECK(rig.submit(load_of_nothing()).find("Load snapshot error") == 0);
  CHECK(rig.submit(InstanceStart{}).find("A snapshot could not be loaded") == 0);
  CHECK(rig.submit(PutMachineConfig{}).find("A snapshot could not be loaded") == 0);
  CHECK(rig.submit(load_of_nothing()).find("A snapshot could not be loaded") == 0);
  CHECK(rig.submit(GetInstanceInfo{}).empty());
  rig.loop->run_once(0);
  CHECK(rig.ends == std::vector<ExitCode>{ExitCode::GenericError});
}

TEST_CASE("a load that is refused because a boot was configured ends nothing") {
  Rig rig;
  CHECK(rig.submit(PutMachineConfig{{.vcpu_count = 1, .memory_mib = 64}}).empty());
  CHECK(rig.submit(load_of_nothing()).find("not allowed after configuring boot-specific") != std::string::npos);
  CHECK(rig.submit(PutMachineConfig{{.vcpu_count = 2, .memory_mib = 64}}).empty());
  rig.loop->run_once(0);
  CHECK(rig.ends.empty());
}

}  // namespace wisp

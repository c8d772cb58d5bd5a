#include "api/router.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/api/fake_port.h"

using namespace wisp;
using namespace wisp::api;
using wisp::test::FakePort;

namespace {

struct Api {
  FakePort port;
  ApiMetrics metrics;
  Router router{port, metrics};

  Answer ask(Method method, const std::string& path, const std::string& body = {}) {
    return router.answer({method, path, body});
  }
};

std::string fault(const Answer& answer) {
  return nlohmann::json::parse(answer.body).at("fault_message").get<std::string>();
}

const std::string machine_body = R"({"vcpu_count":2,"mem_size_mib":64})";
const std::string drive_body = R"({"drive_id":"d1","is_root_device":true,"path_on_host":"/x"})";

}  // namespace

TEST_CASE("Each PUT and PATCH route becomes its command and is answered with 204 and no body") {
  const auto [method, path, body, index] = GENERATE(table<Method, std::string, std::string, std::size_t>({
      {Method::Put, "/machine-config", machine_body, Command(PutMachineConfig{}).index()},
      {Method::Patch, "/machine-config", R"({"vcpu_count":2})", Command(PatchMachineConfig{}).index()},
      {Method::Put, "/boot-source", R"({"kernel_image_path":"/k"})", Command(PutBootSource{}).index()},
      {Method::Put, "/drives/d1", drive_body, Command(PutDrive{}).index()},
      {Method::Put, "/logger", "{}", Command(PutLogger{}).index()},
      {Method::Put, "/metrics", R"({"metrics_path":"/m"})", Command(PutMetrics{}).index()},
      {Method::Put, "/serial", "{}", Command(PutSerial{}).index()},
      {Method::Put, "/actions", R"({"action_type":"InstanceStart"})", Command(InstanceStart{}).index()},
      {Method::Patch, "/vm", R"({"state":"Paused"})", Command(PauseVm{}).index()},
  }));
  CAPTURE(path);
  Api api;
  std::size_t seen = 0;
  struct Spy final : CommandPort {
    explicit Spy(std::size_t& out) : seen(out) {}
    Result<Reply> execute(Command command) override {
      seen = command.index();
      return Reply(Unit{});
    }
    std::size_t& seen;
  } spy(seen);
  Router router(spy, api.metrics);

  const Answer answer = router.answer({method, path, body});

  CHECK(answer.status == 204);
  CHECK(answer.body.empty());
  CHECK(seen == index);
}

TEST_CASE("GET / shows id, state, version and name") {
  Api api;
  const auto [state, name] = GENERATE(table<VmState, std::string>(
      {{VmState::NotStarted, "Not started"}, {VmState::Running, "Running"}, {VmState::Paused, "Paused"}}));
  api.port.answer_with(Reply(InstanceInfo{"vm-7", state}));

  const Answer answer = api.ask(Method::Get, "/");

  CHECK(answer.status == 200);
  CHECK(answer.body == R"({"id":"vm-7","state":")" + name + R"(","vmm_version":"0.1.0","app_name":"wisp"})");
}

TEST_CASE("GET /version is answered without the controller") {
  Api api;

  const Answer answer = api.ask(Method::Get, "/version");

  CHECK(answer.body == R"({"firecracker_version":"1.17.0"})");
  CHECK(api.port.command_count() == 0);
  CHECK(api.metrics.get.vmm_version_count.total() == 1);
}

TEST_CASE("GET /vm/config shows all thirteen sections, unset ones as null or empty") {
  Api api;
  FullConfig config;
  config.drives.push_back({"d1", "/x", true, false, std::nullopt, CacheType::Unsafe, IoEngine::Sync});
  api.port.answer_with(Reply(config));

  const Answer answer = api.ask(Method::Get, "/vm/config");

  CHECK(answer.body ==
        R"({"balloon":null,"drives":[{"drive_id":"d1","partuuid":null,"is_root_device":true,"cache_type":"Unsafe",)"
        R"("is_read_only":false,"path_on_host":"/x","rate_limiter":null,"io_engine":"Sync","socket":null}],)"
        R"("boot-source":{"kernel_image_path":"","initrd_path":null,"boot_args":null},"cpu-config":null,"logger":null,)"
        R"("machine-config":{"vcpu_count":1,"mem_size_mib":128,"smt":false,"track_dirty_pages":false,)"
        R"("huge_pages":"None"},"metrics":null,"mmds-config":null,"network-interfaces":[],"vsock":null,)"
        R"("entropy":null,"pmem":[],"memory-hotplug":null})");
}

TEST_CASE("GET /vm/config shows a vhost-user drive with its socket and nulls for what is the back end's") {
  Api api;
  FullConfig config;
  DriveConfig drive;
  drive.drive_id = "d1";
  drive.socket = "/s";
  config.drives.push_back(drive);
  api.port.answer_with(Reply(config));

  const Answer answer = api.ask(Method::Get, "/vm/config");

  CHECK(answer.body.find(R"("cache_type":"Unsafe","is_read_only":null,"path_on_host":null,"rate_limiter":null,)"
                         R"("io_engine":null,"socket":"/s"}])") != std::string::npos);
}

TEST_CASE("Slashes before, behind and doubled in front do not matter, and further tokens are ignored") {
  Api api;
  const std::string path = GENERATE("/machine-config", "//machine-config", "/machine-config/", "/machine-config/x/y");
  CAPTURE(path);

  CHECK(api.ask(Method::Put, path, machine_body).status == 204);
  CHECK(api.port.only<PutMachineConfig>().config.vcpu_count == 2);
}

TEST_CASE("An empty path is the root") {
  Api api;
  api.port.answer_with(Reply(InstanceInfo{}));
  const std::string path = GENERATE("", "/", "///");

  CHECK(api.ask(Method::Get, path).status == 200);
}

TEST_CASE("What cannot be routed is a 400 with a text, and the controller hears nothing of it") {
  const auto [method, path, body, text] = GENERATE(table<Method, std::string, std::string, std::string>({
      {Method::Get, "/foo", "", "Invalid request method and/or path: GET foo."},
      {Method::Get, "/foo/bar", "", "Invalid request method and/or path: GET foo."},
      {Method::Get, "/version?x", "", "Invalid request method and/or path: GET version?x."},
      {Method::Get, "/VERSION", "", "Invalid request method and/or path: GET VERSION."},
      {Method::Get, "/vm", "", "Invalid request method and/or path: GET vm."},
      {Method::Get, "/boot-source", "", "Invalid request method and/or path: GET boot-source."},
      {Method::Put, "/vm/config", "{}", "Invalid request method and/or path: PUT vm."},
      {Method::Put, "/", "{}", "Invalid request method and/or path: PUT ."},
      {Method::Delete, "/foo", "", "Invalid request method and/or path: DELETE foo."},
      {Method::Get, "/version", "{}", "GET request cannot have a body."},
      {Method::Get, "/foo", "{}", "GET request cannot have a body."},
      {Method::Put, "/machine-config", "", "Empty PUT request."},
      {Method::Put, "/foo", "", "Empty PUT request."},
      {Method::Patch, "/vm", "", "Empty PATCH request."},
      {Method::Patch, "/machine-config", "{}", "Empty PATCH request."},
      {Method::Delete, "/drives/d1", "{}", "Empty Delete request."},
      {Method::Put, "/drives", "{}", "The ID cannot be empty."},
      {Method::Put, "/drives/", "{}", "The ID cannot be empty."},
      {Method::Put, "/drives//d1", drive_body, "The ID cannot be empty."},
      {Method::Put, "/drives/a-b", "{}", "API Resource IDs can only contain alphanumeric characters and underscores."},
      {Method::Put, "/drives/d2", drive_body, "The id from the path does not match the id from the body!"},
  }));
  CAPTURE(path);
  Api api;

  const Answer answer = api.ask(method, path, body);

  CHECK(answer.status == 400);
  CHECK(fault(answer) == text);
  CHECK(api.port.command_count() == 0);
}

TEST_CASE("Every device's requests reach the controller as its commands") {
  const auto [method, path, body, expected] = GENERATE(table<Method, std::string, std::string, Command>({
      {Method::Get, "/balloon", "", GetBalloon{}},
      {Method::Get, "/balloon/statistics", "", GetBalloonStatistics{}},
      {Method::Get, "/balloon/hinting/status", "", GetBalloonHinting{}},
      {Method::Get, "/hotplug/memory", "", GetMemoryHotplug{}},
      {Method::Get, "/mmds", "", GetMmds{}},
      {Method::Put, "/balloon", R"({"amount_mib":1,"deflate_on_oom":false})", PutBalloon{}},
      {Method::Put, "/balloon/x", R"({"amount_mib":1,"deflate_on_oom":false})", PutBalloon{}},
      {Method::Put, "/cpu-config", "{}", PutCpuConfig{}},
      {Method::Put, "/entropy", "{}", PutEntropy{}},
      {Method::Put, "/hotplug/memory", R"({"total_size_mib":128})", PutMemoryHotplug{}},
      {Method::Put, "/mmds", "[1]", PutMmds{}},
      {Method::Put, "/mmds/config", R"({"version":"V2","network_interfaces":["e"]})", PutMmdsConfig{}},
      {Method::Put, "/network-interfaces/e", R"({"iface_id":"e","host_dev_name":"t"})", PutNetworkInterface{}},
      {Method::Put, "/pmem/p", R"({"id":"p","path_on_host":"/p"})", PutPmem{}},
      {Method::Put, "/vsock", R"({"guest_cid":3,"uds_path":"/v"})", PutVsock{}},
      {Method::Patch, "/balloon", R"({"amount_mib":1})", PatchBalloon{}},
      {Method::Patch, "/balloon/statistics", R"({"stats_polling_interval_s":1})", PatchBalloonStatistics{}},
      {Method::Patch, "/balloon/hinting/start", "", StartBalloonHinting{}},
      {Method::Patch, "/balloon/hinting/stop", "", StopBalloonHinting{}},
      {Method::Patch, "/drives/d", R"({"drive_id":"d"})", PatchDrive{}},
      {Method::Patch, "/hotplug/memory", R"({"requested_size_mib":0})", PatchMemoryHotplug{}},
      {Method::Patch, "/mmds", "{}", PatchMmds{}},
      {Method::Patch, "/network-interfaces/e", R"({"iface_id":"e"})", PatchNetworkInterface{}},
      {Method::Patch, "/pmem/p", R"({"id":"p"})", PatchPmem{}},
      {Method::Put, "/snapshot/create", R"({"snapshot_path":"/s","mem_file_path":"/m"})", CreateSnapshot{}},
      {Method::Put, "/snapshot/load", R"({"snapshot_path":"/s","mem_file_path":"/m"})", LoadSnapshot{}},
      {Method::Delete, "/drives/d", "", UnplugDevice{}},
      {Method::Delete, "/pmem/p", "", UnplugDevice{}},
      {Method::Delete, "/network-interfaces/e", "", UnplugDevice{}},
  }));
  CAPTURE(path);
  Api api;

  CHECK(api.ask(method, path, body).status == 204);
  CHECK(api.port.last_index() == expected.index());
}

TEST_CASE("What does not fit into the metadata store is a 413") {
  Api api;
  api.port.answer_with(Error(ErrorCode::ContentTooLarge, "too large"));

  CHECK(api.ask(Method::Put, "/mmds", "{}").status == 413);
}

TEST_CASE("Old ways of saying things are answered with a deprecation") {
  const auto [path, body, deprecated] = GENERATE(table<std::string, std::string, bool>({
      {"/mmds/config", R"({"network_interfaces":["e"]})", true},
      {"/mmds/config", R"({"version":"V2","network_interfaces":["e"]})", false},
      {"/vsock", R"({"guest_cid":3,"uds_path":"/v","vsock_id":"x"})", true},
      {"/vsock", R"({"guest_cid":3,"uds_path":"/v"})", false},
  }));
  Api api;

  CHECK(api.ask(Method::Put, path, body).is_deprecated == deprecated);
}

TEST_CASE("A bad body has the prefix that clients look for, and counts as a failure") {
  Api api;

  const Answer answer = api.ask(Method::Put, "/machine-config", R"({"mem_size_mib":64})");

  CHECK(fault(answer) == "An error occurred when deserializing the json body of a request: missing field `vcpu_count`");
  CHECK(api.metrics.put.machine_cfg.count.total() == 1);
  CHECK(api.metrics.put.machine_cfg.fails.total() == 1);
}

TEST_CASE("The controller's refusal reaches the client and counts as a failure") {
  Api api;
  api.port.answer_with(Error(ErrorCode::WrongState, "not \"now\""));

  const Answer answer = api.ask(Method::Put, "/drives/d1", drive_body);

  CHECK(answer.status == 400);
  CHECK(answer.body == R"({"fault_message":"not \"now\""})");
  CHECK(api.metrics.put.drive.fails.total() == 1);
}

TEST_CASE("A refusal is never without words") {
  Api api;
  api.port.answer_with(Error(ErrorCode::Internal, ""));

  CHECK_FALSE(fault(api.ask(Method::Get, "/")).empty());
}

TEST_CASE("cpu_template is deprecated: on success, on the controller's refusal, but not in a bad body") {
  Api api;
  const std::string body = R"({"vcpu_count":2,"mem_size_mib":64,"cpu_template":"None"})";

  CHECK(api.ask(Method::Put, "/machine-config", body).is_deprecated);
  CHECK(api.ask(Method::Patch, "/machine-config", R"({"cpu_template":"None"})").is_deprecated);
  CHECK(api.metrics.deprecated_http_api_calls.total() == 2);
  api.port.answer_with(Error(ErrorCode::WrongState, "after start"));
  CHECK(api.ask(Method::Put, "/machine-config", body).is_deprecated);
  CHECK_FALSE(api.ask(Method::Put, "/machine-config", R"({"cpu_template":"None"})").is_deprecated);
  CHECK_FALSE(api.ask(Method::Put, "/machine-config", machine_body).is_deprecated);
}

TEST_CASE("The metric groups have all names of the interface") {
  ApiMetrics metrics;
  MetricsRegistry registry;
  metrics.register_in(registry);
  metrics.put.drive.fails.add();

  const auto line = nlohmann::json::parse(registry.render_flush(""));

  CHECK(line.at("put_api_requests").size() == 26);
  CHECK(line.at("patch_api_requests").size() == 12);
  CHECK(line.at("get_api_requests").size() == 5);
  CHECK(line.at("deprecated_api").at("deprecated_http_api_calls") == 0);
  CHECK(line.at("put_api_requests").at("drive_fails") == 1);
}

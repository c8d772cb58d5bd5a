// bench_startup: what wisp adds to the physical limit at start. Every figure of wisp is measured in the same loop as
// its floor, run after run in turn, so that noise hits both; the table gives medians and their ratio.
//
//   bench_startup WISP FLOOR ECHO_FLOOR DIRECTORY RUNS     prints one JSON object
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/bench/child.h"
#include "tests/bench/guest_image.h"

namespace {

using wisp::bench::Child;
using wisp::bench::Client;
using wisp::bench::give_up;
using wisp::bench::now_us;

constexpr int kMemoryMib = 128;
constexpr int kRequestsPerRun = 2000;
constexpr int kResidentRuns = 5;
constexpr unsigned kSettleUs = 700'000;

struct Setup {
  std::string wisp;
  std::string floor;
  std::string echo_floor;
  std::string directory;
  int runs = 0;

  std::string file(const char* name) const { return directory + "/" + name; }
};

using Samples = std::map<std::string, std::vector<double>>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(static_cast<double>(values.size() - 1) * share)];
}

void expect_status(int got, int wanted, const char* what) {
  if (got != wanted) {
    give_up(std::string(what) + " was answered with " + std::to_string(got));
  }
}

std::string machine_config() {
  return R"({"vcpu_count":1,"mem_size_mib":)" + std::to_string(kMemoryMib) + "}";
}

void write_config(const Setup& setup) {
  std::ofstream(setup.file("config.json"))
      << R"({"machine-config":)" << machine_config() << R"(,"boot-source":{"kernel_image_path":")"
      << setup.file("guest.elf") << R"("},"drives":[]})";
}

/// Resident KiB of `pid` in mappings other than the guest's memory.
double resident_without_guest_kib(pid_t pid) {
  std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps");
  double total_kib = 0;
  bool is_guest = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    long kib = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
      is_guest = end - start == static_cast<std::uint64_t>(kMemoryMib) << 20U;
    } else if (std::sscanf(line.c_str(), "Rss: %ld", &kib) == 1 && !is_guest) {
      total_kib += static_cast<double>(kib);
    }
  }
  return total_kib;
}

void measure_floor(const Setup& setup, Samples& samples) {
  const Child child({setup.floor, std::to_string(kMemoryMib)});
  samples["floor_first_instruction_us"].push_back(child.wait_for('!') - child.spawned_us());
}

void measure_config_file(const Setup& setup, Samples& samples) {
  ::unlink(setup.file("c.sock").c_str());
  const Child child(
      {setup.wisp, "--api-sock", setup.file("c.sock"), "--level", "Off", "--config-file", setup.file("config.json")});
  samples["config_first_instruction_us"].push_back(child.wait_for('!') - child.spawned_us());
}

/// A settled machine: what only the start needed is given back by then.
void measure_resident(const Setup& setup, Samples& samples) {
  ::unlink(setup.file("m.sock").c_str());
  const Child child(
      {setup.wisp, "--api-sock", setup.file("m.sock"), "--level", "Off", "--config-file", setup.file("config.json")});
  (void)child.wait_for('!');
  ::usleep(kSettleUs);
  samples["resident_kib"].push_back(resident_without_guest_kib(child.pid()));
}

void measure_api(const Setup& setup, Samples& samples) {
  ::unlink(setup.file("a.sock").c_str());
  const Child child({setup.wisp, "--api-sock", setup.file("a.sock"), "--level", "Off"});
  const Client client(setup.file("a.sock"));
  expect_status(client.request("GET", "/", ""), 200, "GET /");
  samples["first_reply_us"].push_back(now_us() - child.spawned_us());
  expect_status(client.request("PUT", "/machine-config", machine_config()), 204, "PUT /machine-config");
  expect_status(client.request("PUT", "/boot-source", R"({"kernel_image_path":")" + setup.file("guest.elf") + "\"}"),
                204, "PUT /boot-source");
  expect_status(client.request("GET", "/machine-config", ""), 200, "GET /machine-config");
  const double start_us = now_us();
  expect_status(client.request("PUT", "/actions", R"({"action_type":"InstanceStart"})"), 204, "InstanceStart");
  samples["start_call_us"].push_back(now_us() - start_us);
  const double first_us = child.wait_for('!');
  samples["start_to_first_instruction_us"].push_back(first_us - start_us);
  samples["api_first_instruction_us"].push_back(first_us - child.spawned_us());
}

void time_each(std::vector<double>& into, const std::function<void()>& action) {
  for (int index = 0; index < kRequestsPerRun; ++index) {
    const double start_us = now_us();
    action();
    into.push_back(now_us() - start_us);
  }
}

void measure_requests(const Setup& setup, Samples& samples) {
  ::unlink(setup.file("r.sock").c_str());
  ::unlink(setup.file("e.sock").c_str());
  const Child server({setup.wisp, "--api-sock", setup.file("r.sock"), "--level", "Off"});
  const Child echo({setup.echo_floor, setup.file("e.sock")});
  const Client api(setup.file("r.sock"));
  const Client floor(setup.file("e.sock"));
  const std::string bytes(100, 'x');
  time_each(samples["echo_us"], [&] { floor.echo(bytes); });
  time_each(samples["request_us"], [&] { (void)api.request("GET", "/machine-config", ""); });
}

double size_kib(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<double>(status.st_size) / 1024 : 0;
}

void print(const Setup& setup, const Samples& samples) {
  std::printf("{\"runs\": %d", setup.runs);
  for (const auto& [name, values] : samples) {
    std::printf(", \"%s\": %.1f", name.c_str(), median(values));
  }
  std::printf(", \"request_p99_us\": %.1f, \"echo_p99_us\": %.1f", percentile(samples.at("request_us"), 0.99),
              percentile(samples.at("echo_us"), 0.99));
  std::printf(", \"wisp_kib\": %.0f, \"jailer_kib\": %.0f}\n", size_kib(setup.wisp), size_kib(setup.wisp + "-jailer"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    give_up("usage: bench_startup WISP FLOOR ECHO_FLOOR DIRECTORY RUNS");
  }
  const Setup setup{argv[1], argv[2], argv[3], argv[4], std::atoi(argv[5])};
  if (!wisp::bench::write_guest_image(setup.file("guest.elf"))) {
    give_up("cannot write the guest image to " + setup.directory);
  }
  write_config(setup);
  Samples samples;
  for (int run = 0; run < setup.runs; ++run) {
    measure_floor(setup, samples);
    measure_config_file(setup, samples);
    measure_api(setup, samples);
  }
  for (int run = 0; run < kResidentRuns; ++run) {
    measure_resident(setup, samples);
  }
  measure_requests(setup, samples);
  print(setup, samples);
  return 0;
}

// bench_restore: what wisp adds to the physical limit when it loads a snapshot. A machine with a drive, a network
// interface and vsock; for each size of memory, runs of wisp and of the bare-KVM floor of as much memory take turns, so
// that noise hits both.
//
//   bench_restore WISP FLOOR DIRECTORY RUNS     prints a table of medians, and of the best runs in brackets
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/bench/child.h"
#include "tests/bench/guest_image.h"

namespace {

using wisp::bench::AfterMark;
using wisp::bench::Child;
using wisp::bench::Client;
using wisp::bench::give_up;
using wisp::bench::now_us;

constexpr const char* kTap = "benchtap0";
constexpr int kDiskBytes = 1 << 20;

struct Setup {
  std::string wisp;
  std::string floor;
  std::string directory;
  int runs = 0;
  bool with_net = false;

  std::string file(const char* name) const { return directory + "/" + name; }
  std::string quoted(const char* name) const { return "\"" + file(name) + "\""; }
};

struct Samples {
  std::vector<double> floor;
  std::vector<double> load;
  std::vector<double> load_to_first;
  std::vector<double> start_to_first;
  std::vector<double> pause;
  std::vector<double> resume;
};

/// A network namespace of our own with one TAP interface; false where this is not allowed.
bool make_network() {
  if (::unshare(CLONE_NEWNET) != 0) {
    return false;
  }
  const int tap = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request{};
  std::strcpy(request.ifr_name, kTap);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  const bool made = tap >= 0 && ::ioctl(tap, TUNSETIFF, &request) == 0 && ::ioctl(tap, TUNSETPERSIST, 1) == 0;
  ::close(tap);
  return made;
}

void expect(const Client& client, const char* method, const char* path, const std::string& body) {
  if (const int status = client.request(method, path, body); status != 204) {
    give_up(std::string(path) + " was answered with " + std::to_string(status));
  }
}

void capture(const Setup& setup, int memory_mib) {
  for (const char* name : {"a.sock", "v.sock", "state", "memory"}) {
    ::unlink(setup.file(name).c_str());
  }
  std::ofstream(setup.file("disk")) << std::string(kDiskBytes, '\0');
  const Child child({setup.wisp, "--api-sock", setup.file("a.sock"), "--level", "Off"});
  const Client client(setup.file("a.sock"));
  expect(client, "PUT", "/machine-config", R"({"vcpu_count":1,"mem_size_mib":)" + std::to_string(memory_mib) + "}");
  expect(client, "PUT", "/boot-source", R"({"kernel_image_path":)" + setup.quoted("guest.elf") + "}");
  expect(client, "PUT", "/drives/d",
         R"({"drive_id":"d","is_root_device":false,"path_on_host":)" + setup.quoted("disk") + "}");
  expect(client, "PUT", "/vsock", R"({"guest_cid":3,"uds_path":)" + setup.quoted("v.sock") + "}");
  if (setup.with_net) {
    expect(client, "PUT", "/network-interfaces/n", R"({"iface_id":"n","host_dev_name":")" + std::string(kTap) + "\"}");
  }
  expect(client, "PUT", "/actions", R"({"action_type":"InstanceStart"})");
  (void)child.wait_for('!');
  expect(client, "PATCH", "/vm", R"({"state":"Paused"})");
  expect(client, "PUT", "/snapshot/create",
         R"({"snapshot_path":)" + setup.quoted("state") + R"(,"mem_file_path":)" + setup.quoted("memory") + "}");
}

void measure_restore(const Setup& setup, Samples& samples) {
  ::unlink(setup.file("a.sock").c_str());
  ::unlink(setup.file("v.sock").c_str());
  const Child child({setup.wisp, "--api-sock", setup.file("a.sock"), "--level", "Off"});
  const Client client(setup.file("a.sock"));
  const double load_us = now_us();
  expect(client, "PUT", "/snapshot/load",
         R"({"snapshot_path":)" + setup.quoted("state") + R"(,"mem_backend":{"backend_type":"File","backend_path":)" +
             setup.quoted("memory") + R"(},"resume_vm":true})");
  samples.load.push_back(now_us() - load_us);
  const double first_us = child.wait_for('!');
  samples.load_to_first.push_back(first_us - load_us);
  samples.start_to_first.push_back(first_us - child.spawned_us());
  const double pause_us = now_us();
  expect(client, "PATCH", "/vm", R"({"state":"Paused"})");
  const double resume_us = now_us();
  expect(client, "PATCH", "/vm", R"({"state":"Resumed"})");
  samples.pause.push_back(resume_us - pause_us);
  samples.resume.push_back(now_us() - resume_us);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double best(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

void print(const std::vector<double>& values) {
  std::printf(" %.0f (%.0f) |", median(values), best(values));
}

void print_ratio(const std::vector<double>& values, const std::vector<double>& floor) {
  std::printf(" %.2f (%.2f) |", median(values) / median(floor), best(values) / best(floor));
}

void measure_size(const Setup& setup, int memory_mib) {
  Samples samples;
  capture(setup, memory_mib);
  for (int run = 0; run < setup.runs; ++run) {
    {
      const Child child({setup.floor, std::to_string(memory_mib)});
      samples.floor.push_back(child.wait_for('!') - child.spawned_us());
    }
    measure_restore(setup, samples);
  }
  std::printf("| %d MiB |", memory_mib);
  print(samples.floor);
  print(samples.load);
  print_ratio(samples.load, samples.floor);
  print(samples.load_to_first);
  print(samples.start_to_first);
  print_ratio(samples.start_to_first, samples.floor);
  print(samples.pause);
  print(samples.resume);
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    give_up("usage: bench_restore WISP FLOOR DIRECTORY RUNS");
  }
  Setup setup{argv[1], argv[2], argv[3], std::atoi(argv[4])};
  setup.with_net = make_network();
  if (!wisp::bench::write_guest_image(setup.file("guest.elf"), AfterMark::Repeat)) {
    give_up("cannot write the guest image to " + setup.directory);
  }
  std::printf("Microseconds, median (best) of %d runs that take turns; drive, vsock%s.\n\n", setup.runs,
              setup.with_net ? ", network" : "; no network interface is allowed here");
  std::printf(
      "| memory | floor | load call | of floor | load to first instruction | process start to it | of floor | "
      "pause | resume |\n|---|---|---|---|---|---|---|---|---|\n");
  for (const int memory_mib : {128, 512, 1024, 4096}) {
    measure_size(setup, memory_mib);
  }
  return 0;
}

// bench_devices: what the devices cost, measured in process and without KVM, against the bare system calls they wrap.
//
//   bench_devices [RUNS [LINE]] > devices.json    # RUNS slices (default 15) of each line whose name begins with LINE
//
// Prints medians as JSON; tests/bench/report.py makes the table. The network part needs root, for a network namespace
// of its own; what cannot be measured is said in "skipped".
#include <cstdio>
#include <cstdlib>

#include "tests/bench/device_rig.h"

namespace wisp::bench {
namespace {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Samples {
  std::vector<double> cpu_ns;
  std::vector<double> wall_ns;

  void take(const std::function<void(Meter&)>& work) {
    Meter meter;
    work(meter);
    cpu_ns.push_back(meter.cpu_ns());
    wall_ns.push_back(meter.wall_ns());
  }
  /// The first slice warms caches up.
  void drop_first() {
    cpu_ns.erase(cpu_ns.begin());
    wall_ns.erase(wall_ns.begin());
  }
};

void measure_line(const Line& line, int runs) {
  static const char* separator = "";
  Samples device;
  Samples bare;
  for (int run = 0; run <= runs; ++run) {
    device.take(line.device);
    bare.take(line.bare);
  }
  device.drop_first();
  bare.drop_first();
  std::printf(
      "%s\n  {\"name\": \"%s\", \"bytes\": %llu, \"cpu_ns\": %.1f, \"wall_ns\": %.1f, \"bare_cpu_ns\": %.1f, "
      "\"bare_wall_ns\": %.1f}",
      separator, line.name.c_str(), static_cast<unsigned long long>(line.request_bytes), median(device.cpu_ns),
      median(device.wall_ns), median(bare.cpu_ns), median(bare.wall_ns));
  std::fflush(stdout);
  separator = ",";
}

int run(int runs, std::string_view only) {
  struct Part {
    const char* name;
    std::string (*bench)(const Measure&);
  };
  const Part parts[] = {{"block", bench_block}, {"vsock", bench_vsock}, {"net", bench_net}};
  std::string skipped;
  std::printf("{\"runs\": %d, \"lines\": [", runs);
  for (const Part& part : parts) {
    if (!only.starts_with(part.name) && !only.empty()) {
      continue;
    }
    const std::string refusal = part.bench([runs, only](const Line& line) {
      if (line.name.starts_with(only)) {
        measure_line(line, runs);
      }
    });
    if (!refusal.empty()) {
      skipped += (skipped.empty() ? "\"" : ", \"") + refusal + "\"";
    }
  }
  std::printf("],\n \"skipped\": [%s]}\n", skipped.c_str());
  return 0;
}

}  // namespace
}  // namespace wisp::bench

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 15;
  if (runs < 1 || argc > 3) {
    std::fprintf(stderr, "usage: bench_devices [RUNS [LINE]]      LINE: the beginning of a name, \"block\" say\n");
    return 2;
  }
  return wisp::bench::run(runs, argc > 2 ? argv[2] : "");
}

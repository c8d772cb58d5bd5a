// Bench of the disk: both engines on one file that is in the page cache, against preadv2/pwritev2 and against io_uring
// with nothing around it, on the same file.
#include <fcntl.h>
#include <liburing.h>
#include <sys/uio.h>

#include <array>
#include <cstdlib>

#include "tests/bench/device_rig.h"
#include "virtio/block/device.h"

namespace wisp::bench {
namespace {

constexpr std::uint64_t kFileBytes = 64U << 20U;
constexpr std::uint32_t kTypeIn = 0, kTypeOut = 1;
constexpr std::uint64_t kStatusBytes = kSmallBuffers + 0x10000;
constexpr std::uint16_t kMaxDepth = 32;
constexpr std::uint32_t kMaxRequest = 64U << 10U;

enum class Order { Random, Sequential };

struct Pattern {
  const char* name;
  std::uint32_t type;
  std::uint32_t bytes;
  Order order;
  std::uint64_t requests;  // of one slice
};

constexpr std::array<Pattern, 3> kPatterns = {{
    {"4 KiB random read", kTypeIn, 4096, Order::Random, 1024},
    {"4 KiB random write", kTypeOut, 4096, Order::Random, 1024},
    {"64 KiB sequential read", kTypeIn, kMaxRequest, Order::Sequential, 256},
}};

/// The offsets of a pattern, the same for whoever asks.
class Offsets {
 public:
  explicit Offsets(const Pattern& pattern) : pattern_(pattern) {}
  std::uint64_t next() {
    const std::uint64_t blocks = kFileBytes / pattern_.bytes;
    state_ = pattern_.order == Order::Random ? state_ * 6364136223846793005U + 1442695040888963407U : state_ + 1;
    return (pattern_.order == Order::Random ? state_ >> 33U : state_) % blocks * pattern_.bytes;
  }

 private:
  const Pattern& pattern_;
  std::uint64_t state_ = 1;
};

class BenchFile {
 public:
  BenchFile() {
    char name[] = "/tmp/wisp-bench-XXXXXX";
    fd_ = Fd(::mkostemp(name, O_CLOEXEC));
    path_ = name;
    const std::vector<std::byte> block(1U << 20U, std::byte{7});
    for (std::uint64_t offset = 0; offset < kFileBytes; offset += block.size()) {
      WISP_ASSERT(::pwrite(fd_.raw(), block.data(), block.size(), static_cast<off_t>(offset)) ==
                  static_cast<ssize_t>(block.size()));
    }
  }
  ~BenchFile() { ::unlink(path_.c_str()); }
  BenchFile(const BenchFile&) = delete;
  BenchFile& operator=(const BenchFile&) = delete;
  const std::string& path() const { return path_; }
  int raw() const { return fd_.raw(); }

 private:
  Fd fd_;
  std::string path_;
};

DriveConfig drive_config(const BenchFile& file, IoEngine engine) {
  DriveConfig config;
  config.drive_id = "bench";
  config.path_on_host = file.path();
  config.io_engine = engine;
  return config;
}

/// A disk and the requests of a driver: header, data and status in an indirect table, as Linux makes them.
class Disk {
 public:
  Disk(const BenchFile& file, IoEngine engine)
      : rig_(std::move(BlockDevice::create(drive_config(file, engine), *loop_)).value(), 0, memory_, *loop_) {}

  void run(const Pattern& pattern, std::uint16_t depth, Meter& meter) {
    Offsets offsets(pattern);
    for (std::uint64_t done = 0; done < pattern.requests; done += depth) {
      for (std::uint16_t slot = 0; slot < depth; ++slot) {
        offer(slot, pattern, offsets.next());
      }
      rig_.kick(0);
      meter.start();
      rig_.run_until_used(0);
      meter.stop(depth);
    }
    WISP_ASSERT(rig_.guest().get(kStatusBytes, 1) == 0);
  }

 private:
  void offer(std::uint16_t slot, const Pattern& pattern, std::uint64_t offset) {
    const std::uint64_t header = kSmallBuffers + slot * std::uint64_t{16};
    rig_.guest().put(header, pattern.type, 4);
    rig_.guest().put(header + 8, offset / kSectorSizeBytes, 8);
    rig_.guest().put(kStatusBytes + slot, 0xee, 1);
    fakes::ChainBuilder builder(rig_.queue(0), slot);
    builder.readable(header, 16);
    builder.add(kBuffers + slot * std::uint64_t{kMaxRequest}, pattern.bytes,
                pattern.type == kTypeIn ? fakes::kWrite : std::uint16_t{0});
    rig_.queue(0).offer(builder.writable(kStatusBytes + slot, 1).build_indirect(DeviceRig::table(0, slot, 3)));
  }

  GuestMemory memory_ = make_touched_memory();
  std::unique_ptr<EventLoop> loop_ = std::move(EventLoop::create()).value();
  DeviceRig rig_;
};

/// The caller's memory for bare requests, touched, in whole pages as the guest's is.
class BareBuffers {
 public:
  BareBuffers() : memory_(static_cast<std::byte*>(std::aligned_alloc(kPageSizeBytes, kBytes))) {
    WISP_ASSERT(memory_ != nullptr);
    std::fill_n(memory_, kBytes, std::byte{1});
  }
  ~BareBuffers() { std::free(memory_); }
  BareBuffers(const BareBuffers&) = delete;
  BareBuffers& operator=(const BareBuffers&) = delete;
  iovec at(std::uint16_t slot, std::uint32_t bytes) const { return {memory_ + slot * std::size_t{kMaxRequest}, bytes}; }

 private:
  static constexpr std::size_t kBytes = kMaxDepth * std::size_t{kMaxRequest};
  std::byte* memory_;
};

void run_bare_sync(int fd, const Pattern& pattern, std::uint16_t depth, Meter& meter) {
  static BareBuffers buffers;
  Offsets offsets(pattern);
  std::array<off_t, kMaxDepth> places{};
  for (std::uint64_t done = 0; done < pattern.requests; done += depth) {
    std::ranges::generate(std::span(places).first(depth), [&] { return static_cast<off_t>(offsets.next()); });
    meter.start();
    for (std::uint16_t slot = 0; slot < depth; ++slot) {
      const iovec vector = buffers.at(slot, pattern.bytes);
      const ssize_t moved = pattern.type == kTypeIn ? ::preadv2(fd, &vector, 1, places[slot], 0)
                                                    : ::pwritev2(fd, &vector, 1, places[slot], 0);
      WISP_ASSERT(moved == static_cast<ssize_t>(pattern.bytes));
    }
    meter.stop(depth);
  }
}

/// A ring as vmm/events/io_ring makes it: one registered file, 256 entries; no event, because nobody sleeps.
class BareRing {
 public:
  explicit BareRing(int fd) {
    io_uring_params params{};
    params.flags = IORING_SETUP_R_DISABLED;
    usable_ = ::io_uring_queue_init_params(256, &ring_, &params) == 0 &&
              ::io_uring_register_files(&ring_, &fd, 1) == 0 && ::io_uring_enable_rings(&ring_) >= 0;
  }
  bool usable() const { return usable_; }

  void run(const Pattern& pattern, std::uint16_t depth, Meter& meter) {
    Offsets offsets(pattern);
    for (std::uint64_t done = 0; done < pattern.requests; done += depth) {
      meter.start();
      for (std::uint16_t slot = 0; slot < depth; ++slot) {
        queue(pattern, slot, offsets.next());
      }
      (void)::io_uring_submit(&ring_);
      for (std::uint16_t slot = 0; slot < depth; ++slot) {
        io_uring_cqe* entry = nullptr;
        WISP_ASSERT(::io_uring_wait_cqe(&ring_, &entry) == 0 && entry->res == static_cast<int>(pattern.bytes));
        ::io_uring_cqe_seen(&ring_, entry);
      }
      meter.stop(depth);
    }
  }

 private:
  void queue(const Pattern& pattern, std::uint16_t slot, std::uint64_t offset) {
    vectors_[slot] = buffers_.at(slot, pattern.bytes);
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    WISP_ASSERT(entry != nullptr);
    if (pattern.type == kTypeIn) {
      ::io_uring_prep_readv(entry, 0, &vectors_[slot], 1, offset);
    } else {
      ::io_uring_prep_writev(entry, 0, &vectors_[slot], 1, offset);
    }
    ::io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
  }

  io_uring ring_{};
  bool usable_ = false;
  BareBuffers buffers_;
  std::array<iovec, kMaxDepth> vectors_{};
};

void bench_engine(const Measure& measure, const BenchFile& file, IoEngine engine, BareRing& ring) {
  const bool sync = engine == IoEngine::Sync;
  Disk disk(file, engine);
  for (const std::uint16_t depth : {std::uint16_t{1}, kMaxDepth}) {
    for (const Pattern& pattern : kPatterns) {
      Line line;
      line.name =
          std::string("block ") + (sync ? "Sync, " : "Async, ") + pattern.name + ", depth " + std::to_string(depth);
      line.request_bytes = pattern.bytes;
      line.device = [&](Meter& meter) { disk.run(pattern, depth, meter); };
      line.bare = [&](Meter& meter) {
        return sync ? run_bare_sync(file.raw(), pattern, depth, meter) : ring.run(pattern, depth, meter);
      };
      measure(line);
    }
  }
}

}  // namespace

std::string bench_block(const Measure& measure) {
  const BenchFile file;
  BareRing ring(file.raw());
  bench_engine(measure, file, IoEngine::Sync, ring);
  if (!ring.usable()) {
    return "block Async: this host refuses io_uring";
  }
  bench_engine(measure, file, IoEngine::Async, ring);
  return "";
}

}  // namespace wisp::bench

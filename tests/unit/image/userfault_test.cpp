#include "snapshot/image/userfault.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <array>
#include <future>
#include <thread>

#include "snapshot/image/handler_guard.h"
#include "tests/unit/image/handler_rig.h"
#include "tests/unit/image/image_rig.h"

namespace wisp {

struct KernelIoKeyForTests {
  static KernelIoKey key() { return {}; }
};

namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using handler_rig::Conduct;
using handler_rig::file_byte;
using handler_rig::kPage;
using handler_rig::TestHandler;
using image_rig::TempDir;

constexpr std::uint64_t kLowBytes = 16 * kPage;
constexpr std::uint64_t kHighStart = 1024 * 1024;
constexpr std::uint64_t kHighBytes = 8 * kPage;

std::vector<RegionPlan> two_regions() {
  return {{.range = {GuestAddress(0), kLowBytes}}, {.range = {GuestAddress(kHighStart), kHighBytes}}};
}

/// The reason is printed once per test case that cannot run here.
bool can_run(const TempDir& dir) {
  const TestHandler handler(dir.file("probe"), Conduct::HoldStill);
  const auto source = UserfaultMemory::create(two_regions(), PageBacking::Normal, handler.path());
  if (source.ok()) {
    return true;
  }
  WARN("SKIP: " << source.error().text());
  return false;
}

UserfaultMemory make(const TestHandler& handler, PageBacking backing = PageBacking::Normal) {
  auto source = UserfaultMemory::create(two_regions(), backing, handler.path());
  REQUIRE(source.ok());
  return std::move(source).value();
}

std::uint64_t host_address(const GuestMemory& memory, std::size_t region) {
  return reinterpret_cast<std::uintptr_t>(
      memory.lend_range(memory.region_range(region), KernelIoKeyForTests::key())->iov_base);
}

std::uint8_t byte_at(const GuestMemory& memory, std::uint64_t address) {
  std::array<std::byte, 1> value{};
  memory.readable(GuestAddress(address), 1)->copy_to(value);
  return std::to_integer<std::uint8_t>(value[0]);
}

bool reads_as_file(const GuestMemory& memory, std::uint64_t address, std::uint64_t length, std::uint64_t offset) {
  std::vector<std::byte> bytes(length);
  memory.readable(GuestAddress(address), length)->copy_to(bytes);
  for (std::uint64_t index = 0; index < length; ++index) {
    if (bytes[index] != file_byte(offset + index)) {
      return false;
    }
  }
  return true;
}

bool reads_as_zeros(const GuestMemory& memory, std::uint64_t address, std::uint64_t length) {
  std::vector<std::byte> bytes(length);
  memory.readable(GuestAddress(address), length)->copy_to(bytes);
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

std::string region_text(std::uint64_t host, std::uint64_t size, std::uint64_t offset) {
  return "{\"base_host_virt_addr\":" + std::to_string(host) + ",\"size\":" + std::to_string(size) +
         ",\"offset\":" + std::to_string(offset) + ",\"page_size\":4096,\"page_size_kib\":4096}";
}

// ---------------------------------------------------------------------------------------------------------------------
// The hand-over.

TEST_CASE("The handler gets one array that names each region, and one descriptor, and nothing else") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::Serve);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  handler.wait_for_hand_over();
  CHECK(handler.text() == "[" + region_text(host_address(memory, 0), kLowBytes, 0) + "," +
                              region_text(host_address(memory, 1), kHighBytes, kLowBytes) + "]");
  CHECK(handler.descriptor_count() == 1);
  CHECK(handler.unread_bytes() == 0);
  CHECK((::fcntl(source.userfault().raw(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(source.userfault().raw(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(source.handler_socket().raw(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE(
    "Every page of every region is what the handler brings for its offset, and only touched pages are asked for") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::Serve);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  CHECK(reads_as_file(memory, kHighStart + 3 * kPage, kPage, kLowBytes + 3 * kPage));
  CHECK(handler.served_count() == 1);
  CHECK(reads_as_file(memory, 0, kLowBytes, 0));
  CHECK(reads_as_file(memory, kHighStart, kHighBytes, kLowBytes));
  CHECK(handler.served_count() == (kLowBytes + kHighBytes) / kPage);
}

TEST_CASE("The hot-pluggable region, unplugged blocks included, is handed over and has its contents when plugged") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  constexpr std::uint64_t kBlock = 2 * 1024 * 1024;
  constexpr std::uint64_t kStart = 4 * kBlock;
  auto regions = two_regions();
  regions.push_back({.range = {GuestAddress(kStart), 2 * kBlock}, .block_size_bytes = kBlock});
  TestHandler handler(dir.file("s"), Conduct::Serve);
  auto source = UserfaultMemory::create(regions, PageBacking::Normal, handler.path());
  REQUIRE(source.ok());
  const GuestMemory memory = source.value().take_memory();
  REQUIRE(memory.plug_blocks({GuestAddress(kStart), kBlock}, BlockContents::Kept));
  CHECK(reads_as_file(memory, kStart + 5 * kPage, kPage, kLowBytes + kHighBytes + 5 * kPage));
  REQUIRE(memory.plug_blocks({GuestAddress(kStart + kBlock), kBlock}, BlockContents::Zeroed));
  CHECK(reads_as_zeros(memory, kStart + kBlock, kPage));
}

TEST_CASE("Pages that are discarded, touched before or not, read as zeros, and their neighbours as the file") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::Serve);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  REQUIRE(reads_as_file(memory, 4 * kPage, kPage, 4 * kPage));
  const Discarded discarded = memory.discard({GuestAddress(4 * kPage), 2 * kPage});
  CHECK(discarded.done());
  CHECK(discarded.freed_bytes == 2 * kPage);
  CHECK(reads_as_zeros(memory, 4 * kPage, 2 * kPage));
  CHECK(handler.removed_bytes() == 2 * kPage);
  CHECK(reads_as_file(memory, 3 * kPage, kPage, 3 * kPage));
  CHECK(reads_as_file(memory, 6 * kPage, kPage, 6 * kPage));
  memory.writable(GuestAddress(4 * kPage), 1)->fill(std::byte{7});
  CHECK(byte_at(memory, 4 * kPage) == 7);
}

TEST_CASE("Memory of 2 MiB pages comes in 2 MiB pages") {
  const TempDir dir;
  constexpr std::uint64_t kHuge = 2 * 1024 * 1024;
  const std::vector<RegionPlan> regions = {{.range = {GuestAddress(0), 2 * kHuge}}};
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::Serve);
  auto source = UserfaultMemory::create(regions, PageBacking::Huge2M, handler.path());
  if (!source.ok()) {
    CHECK_THAT(source.error().text(), Contains("nr_hugepages"));
    WARN("SKIP: " << source.error().text());
    return;
  }
  const GuestMemory memory = source.value().take_memory();
  CHECK(reads_as_file(memory, kHuge + 5 * kPage, kPage, kHuge + 5 * kPage));
  CHECK(handler.served_count() == 1);
  CHECK_THAT(handler.text(), Contains("\"page_size\":2097152,\"page_size_kib\":2097152"));
  CHECK(memory.discard({GuestAddress(kHuge), kHuge}).done());
  CHECK(reads_as_zeros(memory, kHuge, kHuge));
  CHECK(reads_as_file(memory, 0, kPage, 0));
}

// ---------------------------------------------------------------------------------------------------------------------
// What is refused.

TEST_CASE("A handler that cannot be reached is an error that says which path, and no machine waits") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  image_rig::put_file(dir.file("plain"), "x");
  REQUIRE(::mkfifo(dir.file("fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink("loop", dir.file("loop").c_str()) == 0);
  const std::array<std::string, 9> paths = {dir.file("missing"),
                                            dir.file("plain"),
                                            dir.file("fifo"),
                                            dir.file("loop"),
                                            dir.file("plain") + "/below",
                                            dir.file(""),
                                            "",
                                            dir.file(std::string(200, 'x')),
                                            dir.file(std::string("nul\0byte", 8))};
  for (const std::string& path : paths) {
    CAPTURE(path);
    const auto source = UserfaultMemory::create(two_regions(), PageBacking::Normal, path);
    REQUIRE_FALSE(source.ok());
    CHECK_THAT(source.error().text(), StartsWith("Failed to connect to UDS Unix stream: "));
  }
  const auto missing = UserfaultMemory::create(two_regions(), PageBacking::Normal, dir.file("missing"));
  CHECK_THAT(missing.error().text(),
             Contains("No such file or directory (os error 2)") && Contains(dir.file("missing")));
}

TEST_CASE("A socket on which nobody listens, or of another type, is refused") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    CAPTURE(type);
    const std::string path = dir.file("socket" + std::to_string(type));
    const Fd bound = handler_rig::bind_socket(path, type);
    const auto source = UserfaultMemory::create(two_regions(), PageBacking::Normal, path);
    REQUIRE_FALSE(source.ok());
    CHECK_THAT(source.error().text(), StartsWith("Failed to connect to UDS Unix stream: "));
  }
}

TEST_CASE("A layout that memory cannot be made of is refused before a handler is looked for") {
  const auto refusal = [](std::vector<RegionPlan> regions, PageBacking backing) {
    const auto source = UserfaultMemory::create(regions, backing, "/nowhere");
    return source.ok() ? std::string() : source.error().text();
  };
  CHECK_THAT(refusal({}, PageBacking::Normal), Contains("memory regions are not valid"));
  CHECK_THAT(refusal({{.range = {GuestAddress(1), kPage}}}, PageBacking::Normal), Contains("not made of whole pages"));
  CHECK_THAT(refusal(two_regions(), PageBacking::Huge2M), Contains("2 MiB pages"));
}

// ---------------------------------------------------------------------------------------------------------------------
// Handlers that fail.

TEST_CASE("A handler that closes its end is told once, on the loop") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::HoldStill);
  const UserfaultMemory source = make(handler);
  handler.wait_for_hand_over();
  auto loop = EventLoop::create();
  REQUIRE(loop.ok());
  int told = 0;
  auto watch = HandlerWatch::create(*loop.value(), source.handler_socket(), [&told] { ++told; });
  REQUIRE(watch.ok());

  handler.say("junk");  // not what a handler does; it is no hang-up
  loop.value()->run_once(0);
  CHECK(told == 0);

  handler.hang_up();
  loop.value()->run_once(-1);
  loop.value()->run_once(0);
  CHECK(told == 1);
}

TEST_CASE(
    "A handler that hangs up before it has read anything is seen as gone; the watch may end in its own callback") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::CloseAtOnce);
  const auto source = UserfaultMemory::create(two_regions(), PageBacking::Normal, handler.path());
  if (!source.ok()) {  // it was faster than our message
    CHECK_THAT(source.error().text(), Contains("cannot send the userfaultfd"));
    return;
  }
  auto loop = EventLoop::create();
  REQUIRE(loop.ok());
  std::unique_ptr<HandlerWatch> watch;
  auto made = HandlerWatch::create(*loop.value(), source.value().handler_socket(), [&watch] { watch.reset(); });
  REQUIRE(made.ok());
  watch = std::move(made).value();
  loop.value()->run_once(-1);
  CHECK(watch == nullptr);
}

TEST_CASE("A page that a dead handler owes is waited for; it never becomes zeros") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::HoldStill);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  handler.wait_for_hand_over();
  std::promise<std::uint8_t> seen;
  std::thread reader([&] { seen.set_value(byte_at(memory, 2 * kPage)); });
  handler_rig::wait_for_message(source.userfault());
  handler.hang_up();  // the handler's copies of both descriptors are closed
  auto value = seen.get_future();
  CHECK(value.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  handler_rig::bring_page(source.userfault(), host_address(memory, 0) + 2 * kPage, std::byte{0x5a});
  CHECK(value.get() == 0x5a);
  reader.join();
}

/// A loop that runs on a thread of its own, as the monitor's does.
class RunningLoop {
 public:
  RunningLoop() : loop_(std::move(EventLoop::create()).value()), thread_([this] { loop_->run(); }) {}
  RunningLoop(const RunningLoop&) = delete;
  RunningLoop& operator=(const RunningLoop&) = delete;
  ~RunningLoop() {
    loop_->stop();
    thread_.join();
  }
  EventLoop& loop() { return *loop_; }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

HandlerGuardOptions quick(std::promise<HandlerLoss>& loss) {
  return {.period_ms = 5,
          .gone_limit_ms = 10,
          .stall_limit_ms = 20,
          .confine = {},
          .loop_is_stuck = [&loss](HandlerLoss what) { loss.set_value(what); }};
}

TEST_CASE("The guard sees a loop whose discard waits for a handler that reads nothing") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::HoldStill);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  handler.wait_for_hand_over();
  std::promise<HandlerLoss> loss;
  std::promise<Discarded> discarded;
  RunningLoop running;
  auto guard = HandlerGuard::create(source, running.loop(), quick(loss));
  REQUIRE(guard.ok());
  running.loop().post([&] { discarded.set_value(memory.discard({GuestAddress(0), kPage})); });
  CHECK(loss.get_future().get() == HandlerLoss::Stalled);
  CHECK(handler_rig::take_message(source.userfault()).event == UFFD_EVENT_REMOVE);  // frees the loop
  CHECK(discarded.get_future().get().done());
}

TEST_CASE("The guard sees a loop that touches a page whose handler is gone, or has read the fault and forgotten it") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  const bool hangs_up = GENERATE(true, false);
  CAPTURE(hangs_up);
  TestHandler handler(dir.file("s"), Conduct::HoldStill);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  handler.wait_for_hand_over();
  std::promise<HandlerLoss> loss;
  std::promise<std::uint8_t> seen;
  RunningLoop running;
  running.loop().post([&] { seen.set_value(byte_at(memory, kPage)); });
  CHECK(handler_rig::take_message(source.userfault()).event == UFFD_EVENT_PAGEFAULT);
  auto guard = HandlerGuard::create(source, running.loop(), quick(loss));
  REQUIRE(guard.ok());
  if (hangs_up) {
    handler.hang_up();
  }
  CHECK(loss.get_future().get() == (hangs_up ? HandlerLoss::Gone : HandlerLoss::Stalled));
  handler_rig::bring_page(source.userfault(), host_address(memory, 0) + kPage, std::byte{1});
  CHECK(seen.get_future().get() == 1);
}

TEST_CASE("A guard leaves a loop alone that answers while another thread waits for its page") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  constexpr int kAnswers = 20;
  TestHandler handler(dir.file("s"), Conduct::HoldStill);
  UserfaultMemory source = make(handler);
  const GuestMemory memory = source.take_memory();
  handler.wait_for_hand_over();
  auto loop = EventLoop::create();
  REQUIRE(loop.ok());
  std::thread vcpu([&] { (void)byte_at(memory, 0); });
  handler_rig::wait_for_message(source.userfault());
  std::atomic<int> losses = 0;
  auto guard = HandlerGuard::create(source, *loop.value(),
                                    {.period_ms = 5,
                                     .gone_limit_ms = 10'000,
                                     .stall_limit_ms = 10'000,
                                     .confine = {},
                                     .loop_is_stuck = [&losses](HandlerLoss) { ++losses; }});
  REQUIRE(guard.ok());
  for (int answer = 0; answer < kAnswers; ++answer) {
    loop.value()->run_once(-1);  // returns because the guard has asked
  }
  guard.value().reset();
  CHECK(losses == 0);
  handler_rig::bring_page(source.userfault(), host_address(memory, 0), std::byte{1});
  vcpu.join();
}

TEST_CASE("A guard whose machine is idle never wakes the loop and ends when it is told to") {
  const TempDir dir;
  if (!can_run(dir)) {
    return;
  }
  TestHandler handler(dir.file("s"), Conduct::HoldStill);
  const UserfaultMemory source = make(handler);
  handler.wait_for_hand_over();
  auto loop = EventLoop::create();
  REQUIRE(loop.ok());
  std::promise<HandlerLoss> loss;
  int confined = 0;
  HandlerGuardOptions options = quick(loss);
  options.confine = [&confined] { ++confined; };
  {
    auto guard = HandlerGuard::create(source, *loop.value(), std::move(options));
    REQUIRE(guard.ok());
    handler.hang_up();
  }
  CHECK(confined == 1);
  CHECK(loss.get_future().wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
}

// ---------------------------------------------------------------------------------------------------------------------
// The handler program that the integration tests use. Hidden: ctest runs it with the program's path.

TEST_CASE("The handler program serves a memory file, zeros for removed pages, and ends with the monitor",
          "[.handler_program]") {
  const TempDir dir;
  const char* const program = std::getenv("WISP_UFFD_HANDLER");
  REQUIRE(program != nullptr);
  if (!can_run(dir)) {
    return;
  }
  std::string contents(kLowBytes + kHighBytes, '\0');
  for (std::uint64_t index = 0; index < contents.size(); ++index) {
    contents[index] = static_cast<char>(file_byte(index));
  }
  image_rig::put_file(dir.file("mem"), contents);
  const std::string command = std::string(program) + " '" + dir.file("s") + "' '" + dir.file("mem") + "'";
  std::FILE* const output = ::popen(command.c_str(), "r");
  REQUIRE(output != nullptr);
  std::array<char, 128> line{};
  REQUIRE(std::fgets(line.data(), line.size(), output) != nullptr);
  CHECK(std::string(line.data()) == "listening\n");
  {
    auto source = UserfaultMemory::create(two_regions(), PageBacking::Normal, dir.file("s"));
    REQUIRE(source.ok());
    const GuestMemory memory = source.value().take_memory();
    REQUIRE(memory.discard({GuestAddress(kPage), kPage}).done());
    CHECK(reads_as_file(memory, 0, kPage, 0));
    CHECK(reads_as_zeros(memory, kPage, kPage));
    CHECK(reads_as_file(memory, kHighStart, kHighBytes, kLowBytes));
  }
  REQUIRE(std::fgets(line.data(), line.size(), output) != nullptr);
  CHECK(std::string(line.data()) == "serving 2 regions\n");
  REQUIRE(std::fgets(line.data(), line.size(), output) != nullptr);
  CHECK(std::string(line.data()) == "served 9 copied, 1 zeroed, 1 removed\n");
  CHECK(::pclose(output) == 0);
}

}  // namespace
}  // namespace wisp

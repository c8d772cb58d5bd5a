// A vsock device between a hostile guest and odd host programs. The input is a series of steps: packets that are right
// or damaged, in chains that are cut anywhere, receive buffers of odd sizes, programs that connect, say pieces of their
// line, write, stop reading, close; time, pauses, resets, rings that break.
//
// Both sides write the bytes 0, 1, 2, ... of each stream. Whatever happens: every chain comes back once, none is held,
// what arrives of a stream is what was sent, in order, without a gap; connections and descriptors stay within their
// limits, the heap does not grow, and no byte outside the buffers changes.
#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fakes/fuzz_input.h"
#include "tests/unit/vsock/vsock_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

constexpr std::uint64_t kForbidden = 0x4c000, kForbiddenBytes = 0x4000;  // no buffer ever lies here
constexpr std::uint64_t kTxArea = 0x20000, kTxTables = 0x40000;
constexpr std::uint32_t kTxSlotBytes = 0x8000, kRxSlotBytes = 0x8000;
constexpr std::size_t kTxSlots = 2, kRxSlots = 4, kTxDescriptors = 8, kRxDescriptors = 4;
constexpr std::size_t kMaxSteps = 120, kPrograms = 12, kPeers = 16, kListenerPeers = 4;
constexpr std::size_t kMaxHeapGrowthBytes = 64U << 10U;
constexpr unsigned kPatternPeriod = 251;  // a prime: no power of two that is lost goes unnoticed

char pattern(std::uint64_t position) {
  return static_cast<char>(position % kPatternPeriod);
}
void check_pattern(std::string_view bytes, std::uint64_t& position) {
  for (const char byte : bytes) {
    WISP_ASSERT(byte == pattern(position));
    ++position;
  }
}
std::string make_pattern(std::uint64_t position, std::size_t count) {
  std::string bytes(count, '\0');
  std::ranges::generate(bytes, [&] { return pattern(position++); });
  return bytes;
}

/// What the guest knows of one stream.
struct Peer {
  std::uint32_t guest_port = 0, host_port = 0;
  std::uint64_t sent = 0, received = 0;
};

/// A host program.
struct Program {
  Fd socket;
  std::string line_left = {};  // of its CONNECT line
  bool told_ok = false;        // the line "OK ..." was read, or none comes
  bool stray = false;          // it never says a good line
  std::uint64_t sent = 0, received = 0;
};

struct Buffer {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
};

class Scene {
 public:
  explicit Scene(FuzzInput& input) : in_(input) {
    rig.memory_view().fill(kForbidden, kForbiddenBytes, 0x5a);
    listeners_ = {listen_at(rig.path(1)), listen_at(rig.path(2))};
    for (std::uint32_t port = 0; port < kListenerPeers; ++port) {
      peers_[port] = {100 + port / 2, 1 + port % 2};
    }
    for (auto& each : rx_buffers_) {
      each.reserve(kRxDescriptors);
    }
    heap_bytes_ = __sanitizer_get_current_allocated_bytes();
  }

  void run();

 private:
  struct Rig : VsockRig {
    Rig() : VsockRig(kFeatures | (std::uint64_t{3} << 28U)) {}  // indirect descriptors, event index
    GuestView memory_view() const { return GuestView(memory); }
  };

  struct Transmit {
    std::uint16_t head = 0;
    std::uint32_t readable_bytes = 0;
  };

  void step();
  Packet make_packet(std::uint8_t choice);
  void send();
  Peer* find_peer(std::uint32_t guest_port, std::uint32_t host_port);
  Transmit build_transmit(std::size_t slot, std::uint32_t size_bytes);
  void post_receive(std::size_t slot);
  void post_roomy_buffers();
  void collect();
  void hear_packet(std::span<const std::byte> bytes);
  void host_connects();
  void host_accepts();
  void host_writes(Program& program);
  void host_reads(Program& program, std::size_t limit);
  void restart();
  void break_ring();
  void finish();
  void check() const;

  FuzzInput& in_;
  Rig rig;
  std::array<Fd, 2> listeners_;
  std::array<Peer, kPeers> peers_;
  std::array<Program, kPrograms> programs_;
  std::array<std::vector<Buffer>, kRxSlots> rx_buffers_;  // empty: the slot is the driver's
  std::array<bool, kTxSlots> tx_busy_{};
  std::size_t next_peer_ = kListenerPeers;
  std::size_t next_program_ = 0;
  std::size_t heap_bytes_ = 0;
};

/// A chain of the slot's first `size_bytes`, cut into buffers as the input says.
Scene::Transmit Scene::build_transmit(std::size_t slot, std::uint32_t size_bytes) {
  ChainBuilder builder(rig.tx, static_cast<std::uint16_t>(slot * kTxDescriptors));
  std::uint64_t address = kTxArea + slot * kTxSlotBytes;
  std::uint32_t left = size_bytes;
  const std::uint8_t cuts = in_.byte();
  for (std::size_t index = 0; index < (cuts & 7U) && left > 1; ++index) {
    const std::uint32_t part = 1 + in_.word() % (left - 1);
    builder.readable(address, part);
    address += part;
    left -= part;
  }
  std::uint32_t readable_bytes = size_bytes;
  if ((cuts & 0xc0U) == 0xc0U) {
    builder.readable(~std::uint64_t{0} - 3, left);  // nowhere: a defect of the whole chain
    readable_bytes = 0;
  } else if ((cuts & 0xc0U) == 0x80U) {
    builder.writable(address, left);
    readable_bytes -= left;
  } else {
    builder.readable(address, left);
  }
  return {(cuts & 0x20U) != 0 ? builder.build_indirect(kTxTables + slot * 0x1000) : builder.build(), readable_bytes};
}

/// A packet of the stream that `choice` names, or one that is damaged.
Packet Scene::make_packet(std::uint8_t choice) {
  const Peer& peer = peers_[choice % kPeers];
  const std::uint8_t credit = in_.byte();
  Packet packet{.src_port = peer.guest_port, .dst_port = peer.host_port};
  packet.op = static_cast<std::uint16_t>(in_.byte() % 9U);
  packet.flags = packet.op == kOpShutdown ? credit >> 6U : 0;
  packet.buf_alloc = (credit & 1U) != 0 ? in_.word() : 0x40000;
  packet.fwd_cnt = (credit & 2U) != 0 ? in_.dword() : static_cast<std::uint32_t>(peer.received);
  switch (choice / kPeers) {
    case 1: packet.src_cid = in_.take(8); break;
    case 2: packet.dst_cid = in_.take(8); break;
    case 3: packet.type = in_.word(); break;
    case 4: packet.dst_port = in_.dword(); break;
    default: break;
  }
  return packet;
}

void Scene::send() {
  const auto slot = static_cast<std::size_t>(std::ranges::find(tx_busy_, false) - tx_busy_.begin());
  if (slot == kTxSlots) {
    return;
  }
  Packet packet = make_packet(in_.byte());
  Peer* const peer = find_peer(packet.src_port, packet.dst_port);
  if (peer == nullptr && packet.op == kOpRw) {
    packet.op = kOpCredit;  // nobody keeps count of this stream
  }
  const std::uint8_t length_kind = in_.byte();
  const std::uint32_t data_bytes = packet.op == kOpRw ? in_.word() % (kTxSlotBytes - 64) : length_kind % 4U;
  const std::uint32_t claimed = length_kind == 1 ? in_.dword() : data_bytes;
  const std::uint64_t where = kTxArea + slot * kTxSlotBytes;
  rig.write_header(where, packet, claimed);
  const std::string data = make_pattern(peer == nullptr ? 0 : peer->sent, data_bytes);
  rig.memory_view().put_bytes(where + 44, std::as_bytes(std::span(data)));
  const Transmit built = build_transmit(slot, length_kind == 2 ? in_.byte() % 44U : 44 + data_bytes);
  // What the device must take for a packet of this stream. Any other is dropped whole, or ends the stream.
  const bool right = packet.src_cid == 3 && packet.dst_cid == 2 && packet.type == 1 && built.readable_bytes >= 44 &&
                     claimed <= built.readable_bytes - 44;
  if (right && packet.op == kOpRequest && peer != nullptr) {
    peer->sent = 0;  // what is heard goes on until the device has seen this, and begins anew with its answer
  } else if (right && packet.op == kOpRw) {
    peer->sent += claimed;
  }
  tx_busy_[slot] = true;
  rig.tx.offer(built.head);
}

Peer* Scene::find_peer(std::uint32_t guest_port, std::uint32_t host_port) {
  const auto peer = std::ranges::find_if(
      peers_, [&](const Peer& each) { return each.guest_port == guest_port && each.host_port == host_port; });
  return peer == peers_.end() ? nullptr : &*peer;
}

void Scene::post_receive(std::size_t slot) {
  if (!rx_buffers_[slot].empty()) {
    return;
  }
  ChainBuilder builder(rig.rx, static_cast<std::uint16_t>(slot * kRxDescriptors));
  std::uint64_t address = kHighStart + slot * kRxSlotBytes;
  const std::uint8_t shape = in_.byte();
  for (std::size_t index = 0; index <= shape % kRxDescriptors; ++index) {
    const std::uint32_t length = (shape & 0x80U) != 0 ? 1 + in_.byte() % 60U : 44 + in_.word() % 0x1f00U;
    builder.writable((shape & 0x70U) == 0x70U && index == 1 ? 0 : address, length);
    rx_buffers_[slot].push_back({address, length});
    address += length;
  }
  rig.rx.offer(builder.build());
}

void Scene::post_roomy_buffers() {
  for (std::size_t slot = 0; slot < kRxSlots; ++slot) {
    if (rx_buffers_[slot].empty()) {
      const Buffer buffer{kHighStart + slot * kRxSlotBytes, 0x1000};
      rx_buffers_[slot].push_back(buffer);
      const auto head = static_cast<std::uint16_t>(slot * kRxDescriptors);
      rig.rx.offer(ChainBuilder(rig.rx, head).writable(buffer.address, buffer.length).build());
    }
  }
}

void Scene::hear_packet(std::span<const std::byte> bytes) {
  const auto read = [&](std::size_t at, std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t index = width; index-- > 0;) {
      value = (value << 8U) | static_cast<std::uint64_t>(bytes[at + index]);
    }
    return static_cast<std::uint32_t>(value);
  };
  const std::uint32_t host_port = read(16, 4), guest_port = read(20, 4), op = read(30, 2);
  WISP_ASSERT(read(24, 4) == bytes.size() - 44);
  WISP_ASSERT(op >= kOpRequest && op <= kOpCreditRequest && (op == kOpRw || bytes.size() == 44));
  Peer* peer = find_peer(guest_port, host_port);
  if (op == kOpRequest) {
    if (peer == nullptr) {
      peer = &peers_[next_peer_];
      next_peer_ = next_peer_ + 1 == kPeers ? kListenerPeers : next_peer_ + 1;
    }
    *peer = {guest_port, host_port};
  }
  if (op == kOpResponse && peer != nullptr) {
    peer->received = 0;
  }
  if (op == kOpRw && peer != nullptr) {
    check_pattern({reinterpret_cast<const char*>(bytes.data()) + 44, bytes.size() - 44}, peer->received);
  }
}

void Scene::collect() {
  while (const auto used = rig.tx.take_used()) {
    WISP_ASSERT(used->length == 0 && used->id % kTxDescriptors == 0 && used->id / kTxDescriptors < kTxSlots);
    WISP_ASSERT(std::exchange(tx_busy_[used->id / kTxDescriptors], false));
  }
  while (const auto used = rig.rx.take_used()) {
    WISP_ASSERT(used->id % kRxDescriptors == 0 && used->id / kRxDescriptors < kRxSlots);
    std::vector<Buffer>& buffers = rx_buffers_[used->id / kRxDescriptors];
    WISP_ASSERT(!buffers.empty());
    std::uint32_t room = 0;
    for (const Buffer& each : buffers) {
      room += each.length;
    }
    WISP_ASSERT(used->length <= room && (used->length == 0 || used->length >= 44));
    if (used->length > 0) {
      hear_packet(rig.memory_view().bytes(buffers[0].address, used->length));
    }
    buffers.clear();
  }
}

void Scene::host_connects() {
  Program& program = programs_[next_program_++ % kPrograms];
  program = {connect_client(rig.path())};
  const std::uint8_t kind = in_.byte();
  program.stray = kind >= 224;
  static constexpr const char* kStrays[] = {"CONNECT\n", "CONNECT 77777777777\n", "CONNECT 5 6\n", "\n"};
  program.line_left = program.stray ? kStrays[kind % 4U] : "CONNECT " + std::to_string(kind % 5U) + "\n";
}

void Scene::host_accepts() {
  Fd socket(::accept4(listeners_[in_.byte() % 2U].raw(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.valid()) {
    programs_[next_program_++ % kPrograms] = {std::move(socket), {}, true};
  }
}

void Scene::host_writes(Program& program) {
  const std::uint16_t count = in_.word();
  if (!program.socket.valid()) {
    return;
  }
  if (!program.line_left.empty()) {
    const std::size_t length = (count & 0x80U) != 0 ? 1 : program.line_left.size();
    program.line_left.erase(0, say(program.socket, program.line_left.substr(0, length)));
  } else if (!program.stray) {
    program.sent += say(program.socket, make_pattern(program.sent, count));
  }
}

void Scene::host_reads(Program& program, std::size_t limit) {
  if (!program.socket.valid()) {
    return;
  }
  std::string bytes = hear(program.socket, limit).value_or("");
  if (!program.told_ok && !bytes.empty()) {
    WISP_ASSERT(!program.stray && (limit < 3 || bytes.starts_with("OK ") || program.received != 0));
    const std::size_t end = bytes.find('\n');
    program.told_ok = end != std::string::npos;
    program.received = program.told_ok ? 0 : 1;  // a piece of the line was seen
    bytes.erase(0, program.told_ok ? end + 1 : bytes.size());
  }
  if (program.told_ok) {
    check_pattern(bytes, program.received);
  }
}

void Scene::restart() {
  rig.device->reset();
  for (FakeQueue* queue : {&rig.rx, &rig.tx, &rig.event}) {
    queue->start_over();
  }
  std::ranges::for_each(rx_buffers_, [](auto& each) { each.clear(); });
  tx_busy_.fill(false);
  const std::uint8_t kind = in_.byte();
  if ((kind & 1U) != 0) {
    StateWriter out;
    rig.device->save(out);
    std::vector<std::byte> state(out.data().begin(), out.data().end());
    if ((kind & 2U) != 0 && !state.empty()) {
      state[in_.byte() % state.size()] ^= std::byte{in_.byte()};
    }
    StateReader in("vsock", state);
    (void)rig.device->restore(in);
  }
  rig.activate(*rig.device, VsockRig::kFeatures | std::uint64_t{(kind & 4U) != 0 ? 3U : 1U} << 28U);
  for (std::uint16_t head = 0; head < 4; ++head) {
    rig.event.put_descriptor(head, 0x48000 + head * 16U, 8, kWrite, 0);
    rig.event.offer(head);
  }
  rig.kick(2);
  (void)rig.event.take_used();
  rig.event.offer(0);
  rig.kick(2);
}

void Scene::break_ring() {
  FakeQueue& queue = (in_.byte() & 1U) != 0 ? rig.rx : rig.tx;
  queue.set_available_index(static_cast<std::uint16_t>(queue.available_index() + 17));
  rig.kick(0);
  rig.kick(1);
  restart();
}

void Scene::step() {
  const std::uint8_t what = in_.byte();
  Program& program = programs_[(what >> 4U) % kPrograms];
  switch (what % 16U) {
    case 0:
    case 1:
    case 2: send(); break;
    case 3: post_receive((what >> 4U) % kRxSlots); break;
    case 4: post_roomy_buffers(); break;
    case 5: host_connects(); break;
    case 6: host_accepts(); break;
    case 7:
    case 8: host_writes(program); break;
    case 9: host_reads(program, 1U + in_.word()); break;
    case 10: (void)(program.socket.valid() && ::shutdown(program.socket.raw(), (what >> 4U) % 2) != 0); break;
    case 11: program.socket.reset(); break;
    case 12: rig.clock.now += in_.word() * std::uint64_t{1'000'000}; break;
    case 13:
      rig.device->quiesce();
      rig.clock.now += in_.byte() * std::uint64_t{100'000'000};
      rig.device->resume();
      rig.kick(0);
      break;
    case 14: return in_.byte() < 64 ? break_ring() : void();
    default: return in_.byte() < 64 ? restart() : void();
  }
  rig.kick(what / 64U % 2U);
}

void Scene::check() const {
  for (std::size_t index = 0; index < 3; ++index) {
    const VirtQueue* queue = rig.device->queue(index);
    WISP_ASSERT(queue != nullptr && queue->in_flight_count() == 0 && queue->dropped_chain_count() == 0);
  }
  WISP_ASSERT(rig.device->connection_count() <= kMaxVsockConnections);
}

/// A driver that takes everything gets all of its packets back, however many resets were owed.
void Scene::finish() {
  for (int round = 0; round < 200 && rig.tx.used_index() != rig.tx.available_index(); ++round) {
    post_roomy_buffers();
    rig.kick(0);
    collect();
  }
  WISP_ASSERT(rig.tx.used_index() == rig.tx.available_index());
  WISP_ASSERT(rig.memory_view().holds(kForbidden, kForbiddenBytes, 0x5a));
  WISP_ASSERT(__sanitizer_get_current_allocated_bytes() < heap_bytes_ + kMaxHeapGrowthBytes);
}

void Scene::run() {
  for (std::size_t count = 0; count < kMaxSteps && !in_.empty(); ++count) {
    step();
    collect();
    check();
  }
  rig.kick(1);
  collect();
  finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  silence_log();
  FuzzInput input(data, size);
  Scene scene(input);
  scene.run();
  return 0;
}

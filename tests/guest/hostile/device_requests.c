// Malformed requests of each kind of device, in good rings.
#include "hostile/device_attacks.h"
#include "runtime/balloon.h"
#include "runtime/mem.h"
#include "runtime/net.h"
#include "runtime/pmem.h"
#include "runtime/vsock.h"

enum { FRAME = NET_HEADER_SIZE, MANY = 255, BIG = 1 << 20, BIG_PLACE = 0x2000000, NET_FRAME = NET_HEADER_SIZE + 100 };
enum { GSO_TCP4 = 1, GSO_UNKNOWN = 0x42, NEEDS_CHECKSUM = 1 };

// One readable buffer with `size` bytes at request_area.readable.
static void readable(struct virtio_device* queue, uint32_t size) {
  virtio_lay_out(queue, request_area.readable, size, 0, 0);
}
static void readable_big(struct virtio_device* queue, uint32_t size) {
  virtio_lay_out(queue, (const void*)BIG_PLACE, size, 0, 0);
}

// --- net: transmit
static void tx_empty_header(struct virtio_device* queue) {
  readable(queue, NET_HEADER_SIZE);
}
static void tx_half_header(struct virtio_device* queue) {
  readable(queue, 5);
}
static void tx_runt(struct virtio_device* queue) {
  readable(queue, NET_HEADER_SIZE + 13);
}
static void tx_too_long(struct virtio_device* queue) {
  readable_big(queue, 65563);
}
static void tx_huge(struct virtio_device* queue) {
  readable_big(queue, BIG);
}
// A frame for the metadata service that is as long as a frame can be.
static void tx_service_long(struct virtio_device* queue) {
  uint8_t* const frame = (uint8_t*)BIG_PLACE;
  memset(frame, 0, 128);
  memset(frame + FRAME, 0xff, MAC_SIZE);
  frame[FRAME + 12] = 8;
  frame[FRAME + 14] = 0x45;
  memcpy(frame + FRAME + 30, (const uint8_t[]){169, 254, 169, 254}, 4);
  readable_big(queue, 65562);
}
static struct net_header* header_for(struct virtio_device* queue) {
  memset(request_area.readable, 0, NET_FRAME);
  memset(request_area.readable + FRAME, 0xff, MAC_SIZE);
  request_area.readable[FRAME + 12] = 8;
  request_area.readable[FRAME + 14] = 0x45;
  readable(queue, NET_FRAME);
  return (struct net_header*)request_area.readable;
}
static void tx_checksum_outside(struct virtio_device* queue) {
  *header_for(queue) =
      (struct net_header){.flags = NEEDS_CHECKSUM, .checksum_start = 0xffff, .checksum_offset = 0xffff};
}
static void tx_checksum_at_end(struct virtio_device* queue) {
  *header_for(queue) = (struct net_header){.flags = NEEDS_CHECKSUM, .checksum_start = 90, .checksum_offset = 9};
}
static void tx_gso_not_negotiated(struct virtio_device* queue) {
  *header_for(queue) =
      (struct net_header){.flags = NEEDS_CHECKSUM, .gso_type = GSO_TCP4, .gso_size = 10, .checksum_start = 34};
}
static void tx_gso_unknown(struct virtio_device* queue) {
  *header_for(queue) = (struct net_header){.gso_type = GSO_UNKNOWN, .gso_size = 1};
}
static void tx_gso_no_size(struct virtio_device* queue) {
  *header_for(queue) = (struct net_header){.gso_type = GSO_TCP4, .header_length = 0xffff};
}
// TCP to the metadata service whose header claims more than the frame has (Firecracker #5739, CVE-2026-9539).
static void tx_service_tcp_options(struct virtio_device* queue) {
  header_for(queue);
  uint8_t* const ip = request_area.readable + FRAME + 14;
  ip[3] = 44;
  ip[9] = 6;
  memcpy(ip + 16, (const uint8_t[]){169, 254, 169, 254}, 4);
  ip[23] = 80;
  ip[32] = 0xf0;
  ip[33] = 0x22;  // SYN, URG
  ip[38] = 0xff;
  ip[40] = 2;  // an MSS option of no length
  ip[41] = 0;
}
static void tx_service_ip_length(struct virtio_device* queue) {
  tx_service_tcp_options(queue);
  request_area.readable[FRAME + 14] = 0x4f;
  request_area.readable[FRAME + 16] = 0xff;
}

// --- net: receive
static void rx_small(struct virtio_device* queue) {
  virtio_lay_out(queue, 0, 0, request_area.writable, NET_HEADER_SIZE - 1);
}
static void rx_header_only(struct virtio_device* queue) {
  virtio_lay_out(queue, 0, 0, request_area.writable, NET_HEADER_SIZE);
}

// --- vsock
static struct vsock_header* packet_for(struct virtio_device* queue, uint32_t size) {
  const struct vsock_header good = {.source_cid = virtio_config64(queue, 0),
                                    .target_cid = VSOCK_HOST_CID,
                                    .source_port = 7,
                                    .target_port = 8,
                                    .type = VSOCK_TYPE_STREAM,
                                    .operation = VSOCK_DATA};
  memcpy(request_area.readable, &good, sizeof good);
  readable(queue, size);
  return (struct vsock_header*)request_area.readable;
}
static void vsock_short(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header) - 1);
}
static void vsock_length_beyond(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header) + 10)->length = 11;
}
static void vsock_length_huge(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header) + 10)->length = 0xffffffff;
}
static void vsock_length_64k(struct virtio_device* queue) {
  packet_for(queue, 0)->length = 65537;
  memcpy((void*)BIG_PLACE, request_area.readable, sizeof(struct vsock_header));
  readable_big(queue, BIG);
}
static void vsock_foreign_source(struct virtio_device* queue) {
  struct vsock_header* const header = packet_for(queue, sizeof(struct vsock_header));
  header->source_cid = 77;
  header->operation = VSOCK_REQUEST;
}
static void vsock_foreign_target(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header))->target_cid = 1ULL << 40;
}
static void vsock_unknown_type(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header))->type = 0xffff;
}
static void vsock_unknown_operation(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header))->operation = 0xffff;
}
static void vsock_request_nobody(struct virtio_device* queue) {
  packet_for(queue, sizeof(struct vsock_header))->operation = VSOCK_REQUEST;
}
// State on the host for every port that a guest can name (mvm audit): the transmit queue stops instead, at 128 resets
// that the guest does not take.
static void vsock_many_ports(struct virtio_device* queue) {
  struct used_element element;
  struct vsock_header* const header = packet_for(queue, sizeof(struct vsock_header));
  header->operation = VSOCK_REQUEST;
  for (uint32_t port = 0; port < 400; ++port) {
    header->source_port = port;
    virtio_offer(queue, 0);
    for (unsigned look = 0; look < 300 && !virtio_take(queue, &element); ++look) {
      relax();
    }
  }
}
static void vsock_rx_short(struct virtio_device* queue) {
  virtio_lay_out(queue, 0, 0, request_area.writable, sizeof(struct vsock_header) - 1);
}

// --- rng: many large buffers, all of them the same memory
static void rng_many_large(struct virtio_device* queue) {
  static struct descriptor table[MANY];
  for (uint16_t i = 0; i < MANY; ++i) {
    table[i] = (struct descriptor){
        BIG_PLACE, 16 * BIG, i + 1 < MANY ? DESCRIPTOR_WRITE | DESCRIPTOR_NEXT : DESCRIPTOR_WRITE, (uint16_t)(i + 1)};
  }
  queue->descriptors[0] = (struct descriptor){(uint64_t)table, sizeof table, DESCRIPTOR_INDIRECT, 0};
}
static void rng_one_large(struct virtio_device* queue) {
  virtio_lay_out(queue, 0, 0, (void*)BIG_PLACE, 16 * BIG);
}

// --- balloon
static void frames_outside(struct virtio_device* queue) {
  for (uint32_t i = 0; i < 64; ++i) {
    store32((uint64_t)request_area.readable + 4 * i, i % 2 == 0 ? 0xffffffff - i : 0xd0000 + i);
  }
  readable(queue, 256);
}
// The file behind persistent memory is not the balloon's to empty: the host looks into it at the end.
static void frames_of_pmem(struct virtio_device* queue) {
  const uint64_t start = pmem_address(victim_pmem);
  memcpy((void*)map_high_window(start), "keptkept", 8);
  for (uint32_t i = 0; i < 64; ++i) {
    store32((uint64_t)request_area.readable + 4 * i, (uint32_t)(start / BALLOON_PAGE) + i);
  }
  readable(queue, 256);
}
static void frames_own_rings(struct virtio_device* queue) {
  store32((uint64_t)request_area.readable, (uint32_t)((uint64_t)queue->used / BALLOON_PAGE));
  readable(queue, 4);
}
static void frames_odd(struct virtio_device* queue) {
  readable(queue, 3);
}
// Frame numbers of a whole mebibyte of zeros: 256 Ki times page 0.
static void frames_without_end(struct virtio_device* queue) {
  readable_big(queue, BIG);
}
static void statistics_odd(struct virtio_device* queue) {
  readable(queue, 9);
}
static void statistics_long(struct virtio_device* queue) {
  readable_big(queue, BIG);
}
static void hint_unknown(struct virtio_device* queue) {
  store32((uint64_t)request_area.readable, 0x12345678);
  readable(queue, 4);
}
static void hint_range_without_run(struct virtio_device* queue) {
  virtio_lay_out(queue, 0, 0, (void*)BIG_PLACE, BIG);
}
static void report_odd_range(struct virtio_device* queue) {
  virtio_lay_out(queue, 0, 0, (void*)(BIG_PLACE + 1), 12345);
}

// --- pmem
static void pmem_unknown(struct virtio_device* queue) {
  store32((uint64_t)request_area.readable, 0x7fffffff);
  virtio_lay_out(queue, request_area.readable, 4, request_area.writable, 4);
}
static void pmem_long(struct virtio_device* queue) {
  virtio_lay_out(queue, request_area.readable, 5, request_area.writable, 4);
}
static void pmem_no_result(struct virtio_device* queue) {
  readable(queue, 4);
}
static void pmem_large_result(struct virtio_device* queue) {
  virtio_lay_out(queue, request_area.readable, 4, request_area.writable, REQUEST_ROOM);
}

// --- mem
static void ask_mem(struct virtio_device* queue, uint16_t type, uint64_t address, uint16_t blocks) {
  const struct mem_request request = {.type = type, .address = address, .blocks = blocks};
  memcpy(request_area.readable, &request, sizeof request);
  virtio_lay_out(queue, request_area.readable, sizeof request, request_area.writable, sizeof(struct mem_response));
}
static void mem_outside(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, hotplug_region + (512ULL << 20), 1);
}
static void mem_below(struct virtio_device* queue) {
  ask_mem(queue, MEM_UNPLUG, 0, 1);
}
static void mem_wraps(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, 0xffffffffffe00000ULL, 0xffff);
}
static void mem_no_blocks(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, hotplug_region, 0);
}
static void mem_too_many(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, hotplug_region, 0xffff);
}
static void mem_not_aligned(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, hotplug_region + 4096, 1);
}
static void mem_unknown(struct virtio_device* queue) {
  ask_mem(queue, 0xffff, hotplug_region, 1);
}
static void mem_short(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, hotplug_region, 1);
  queue->descriptors[0].length = 23;
}
static void mem_short_answer(struct virtio_device* queue) {
  ask_mem(queue, MEM_PLUG, hotplug_region, 1);
  queue->descriptors[1].length = 9;
}

enum { RX = 0, TX = 1, INFLATE = 0, DEFLATE = 1, STATISTICS = 2, HINTING = 3, REPORTING = 4, PMEM_ERROR = 1 };
const struct request_attack kRequestAttacks[] = {
    {"net", TX, "tx_empty_header", BUFFER_BACK, 0, tx_empty_header, 0},
    {"net", TX, "tx_half_header", BUFFER_BACK, 0, tx_half_header, 0},
    {"net", TX, "tx_runt", BUFFER_BACK, 0, tx_runt, 0},
    {"net", TX, "tx_too_long", BUFFER_BACK, 0, tx_too_long, 0},
    {"net", TX, "tx_huge", BUFFER_BACK, 0, tx_huge, 0},
    {"net", TX, "tx_service_long", BUFFER_BACK, 0, tx_service_long, 0},
    {"net", TX, "tx_checksum_outside", BUFFER_BACK, 0, tx_checksum_outside, 0},
    {"net", TX, "tx_checksum_at_end", BUFFER_BACK, 0, tx_checksum_at_end, 0},
    {"net", TX, "tx_gso_not_negotiated", BUFFER_BACK, 0, tx_gso_not_negotiated, 0},
    {"net", TX, "tx_gso_unknown", BUFFER_BACK, 0, tx_gso_unknown, 0},
    {"net", TX, "tx_gso_no_size", BUFFER_BACK, 0, tx_gso_no_size, 0},
    {"net", TX, "tx_service_tcp_options", BUFFER_BACK, 0, tx_service_tcp_options, 0},
    {"net", TX, "tx_service_ip_length", BUFFER_BACK, 0, tx_service_ip_length, 0},
    {"net", RX, "rx_small", BUFFER_BACK, 0, rx_small, 0},
    {"net", RX, "rx_header_only", BUFFER_BACK, 0, rx_header_only, 0},
    {"vsock", TX, "short", BUFFER_BACK, 0, vsock_short, 0},
    {"vsock", TX, "length_beyond", BUFFER_BACK, 0, vsock_length_beyond, 0},
    {"vsock", TX, "length_huge", BUFFER_BACK, 0, vsock_length_huge, 0},
    {"vsock", TX, "length_64k", BUFFER_BACK, 0, vsock_length_64k, 0},
    {"vsock", TX, "foreign_source", BUFFER_BACK, 0, vsock_foreign_source, 0},
    {"vsock", TX, "foreign_target", BUFFER_BACK, 0, vsock_foreign_target, 0},
    {"vsock", TX, "unknown_type", BUFFER_BACK, 0, vsock_unknown_type, 0},
    {"vsock", TX, "unknown_operation", BUFFER_BACK, 0, vsock_unknown_operation, 0},
    {"vsock", TX, "request_nobody", BUFFER_BACK, 0, vsock_request_nobody, 0},
    {"vsock", TX, "many_ports", ANYTHING, 0, vsock_many_ports, 0},
    {"vsock", RX, "rx_short", BUFFER_BACK, 0, vsock_rx_short, 0},
    {"rng", 0, "many_large", BUFFER_BACK, 65536, rng_many_large, 0},
    {"rng", 0, "one_large", BUFFER_BACK, 65536, rng_one_large, 0},
    {"balloon", INFLATE, "frames_outside", BUFFER_BACK, 0, frames_outside, 0},
    {"balloon", INFLATE, "frames_of_pmem", BUFFER_BACK, 0, frames_of_pmem, 0},
    {"balloon", INFLATE, "frames_own_rings", ANYTHING, 0, frames_own_rings, 0},
    {"balloon", INFLATE, "frames_odd", BUFFER_BACK, 0, frames_odd, 0},
    {"balloon", DEFLATE, "frames_without_end", BUFFER_BACK, 0, frames_without_end, 0},
    {"balloon", DEFLATE, "frames_outside", BUFFER_BACK, 0, frames_outside, 0},
    {"balloon", STATISTICS, "statistics_odd", ANYTHING, 0, statistics_odd, 0},
    {"balloon", STATISTICS, "statistics_long", ANYTHING, 0, statistics_long, 0},
    {"balloon", HINTING, "hint_unknown", BUFFER_BACK, 0, hint_unknown, 0},
    {"balloon", HINTING, "hint_range_without_run", BUFFER_BACK, 0, hint_range_without_run, 0},
    {"balloon", REPORTING, "report_odd_range", BUFFER_BACK, 0, report_odd_range, 0},
    {"pmem", 0, "unknown", BUFFER_BACK, 4, pmem_unknown, PMEM_ERROR},
    {"pmem", 0, "long", BUFFER_BACK, 0, pmem_long, 0},
    {"pmem", 0, "no_result", BUFFER_BACK, 0, pmem_no_result, 0},
    {"pmem", 0, "large_result", BUFFER_BACK, 0, pmem_large_result, 0},
    {"mem", 0, "outside", BUFFER_BACK, 10, mem_outside, MEM_ERROR},
    {"mem", 0, "below", BUFFER_BACK, 10, mem_below, MEM_ERROR},
    {"mem", 0, "wraps", BUFFER_BACK, 10, mem_wraps, MEM_ERROR},
    {"mem", 0, "no_blocks", BUFFER_BACK, 10, mem_no_blocks, MEM_ERROR},
    {"mem", 0, "too_many", BUFFER_BACK, 10, mem_too_many, MEM_ERROR},
    {"mem", 0, "not_aligned", BUFFER_BACK, 10, mem_not_aligned, MEM_ERROR},
    {"mem", 0, "unknown", BUFFER_BACK, 10, mem_unknown, MEM_ERROR},
    {"mem", 0, "short", BUFFER_BACK, 10, mem_short, MEM_ERROR},
    {"mem", 0, "short_answer", BUFFER_BACK, 0, mem_short_answer, 0},
};
const unsigned kRequestAttackCount = sizeof kRequestAttacks / sizeof kRequestAttacks[0];

#include "runtime/tcp.h"

enum { ETHERNET = NET_HEADER_SIZE, IP = ETHERNET + 14, TCP = IP + 20, TCP_DATA = TCP + 20, PACKET_SIZE = 256 };
enum { FLAG_FIN = 1, FLAG_SYN = 2, FLAG_PUSH = 8, FLAG_ACK = 16, OWN_PORT = 40000, WINDOW = 1400, ARP_SIZE = 42 };
static const uint8_t kOwnAddress[4] = {169, 254, 1, 2};
static const uint8_t kServerAddress[4] = {169, 254, 169, 254};

static struct {
  uint8_t peer_mac[MAC_SIZE];
  uint32_t sent, received;  // the next sequence number of each side
} link;
static uint8_t packet[PACKET_SIZE] __attribute__((aligned(16)));

static void put16(uint8_t* at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}
static void put32(uint8_t* at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}
static uint32_t get16(const uint8_t* at) {
  return (uint32_t)at[0] << 8 | at[1];
}
static uint32_t get32(const uint8_t* at) {
  return get16(at) << 16 | get16(at + 2);
}

static uint32_t add_up(const uint8_t* at, uint32_t size, uint32_t sum) {
  for (uint32_t i = 0; i < size; ++i) {
    sum += (i & 1) != 0 ? at[i] : (uint32_t)at[i] << 8;
  }
  return sum;
}
static uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return ~(sum + (sum >> 16)) & 0xffff;
}

static void put_ethernet(const struct net_card* card, const uint8_t* to, uint32_t type) {
  memset(packet, 0, PACKET_SIZE);
  memcpy(packet + ETHERNET, to, MAC_SIZE);
  memcpy(packet + ETHERNET + MAC_SIZE, card->mac, MAC_SIZE);
  put16(packet + ETHERNET + 12, type);
}

static void resolve(struct net_card* card) {
  static const uint8_t broadcast[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};
  struct net_frame frame;
  put_ethernet(card, broadcast, 0x0806);
  memcpy(packet + IP, request, sizeof request);
  memcpy(packet + IP + 8, card->mac, MAC_SIZE);
  memcpy(packet + IP + 14, kOwnAddress, 4);
  memcpy(packet + IP + 24, kServerAddress, 4);
  net_send(card, packet, NET_HEADER_SIZE + ARP_SIZE);
  for (int found = 0; !found; net_release(card, &frame)) {
    net_await(card, &frame);
    found = get16(frame.start + ETHERNET + 12) == 0x0806 && memcmp(frame.start + IP + 14, kServerAddress, 4) == 0;
    memcpy(link.peer_mac, frame.start + IP + 8, MAC_SIZE);
  }
}

static void send_segment(struct net_card* card, uint32_t flags, const char* text, uint32_t size) {
  put_ethernet(card, link.peer_mac, 0x0800);
  memcpy(packet + TCP_DATA, text, size);
  packet[IP] = 0x45;
  put16(packet + IP + 2, 40 + size);
  packet[IP + 8] = 64;
  packet[IP + 9] = 6;
  memcpy(packet + IP + 12, kOwnAddress, 4);
  memcpy(packet + IP + 16, kServerAddress, 4);
  put16(packet + IP + 10, fold(add_up(packet + IP, 20, 0)));
  put16(packet + TCP, OWN_PORT);
  put16(packet + TCP + 2, 80);
  put32(packet + TCP + 4, link.sent);
  put32(packet + TCP + 8, link.received);
  packet[TCP + 12] = 0x50;
  packet[TCP + 13] = (uint8_t)flags;
  put16(packet + TCP + 14, WINDOW);
  put16(packet + TCP + 16, fold(add_up(packet + IP + 12, 28 + size, 6 + 20 + size)));
  net_send(card, packet, TCP_DATA + size);
  link.sent += size + ((flags & (FLAG_SYN | FLAG_FIN)) != 0);
}

// The next segment of the connection that has one of `flags`, or data; its data is copied to `out`.
static uint32_t take_segment(struct net_card* card, uint32_t flags, char* out, uint32_t room) {
  struct net_frame frame;
  for (;;) {
    net_await(card, &frame);
    const uint8_t* at = frame.start;
    const int ours = get16(at + ETHERNET + 12) == 0x0800 && at[IP + 9] == 6 && get16(at + TCP) == 80;
    const uint32_t head = 20 + 4u * (at[TCP + 12] >> 4), seen = at[TCP + 13];
    const uint32_t size = get16(at + IP + 2) - head;
    const int wanted = ours && ((seen & flags) != 0 || size != 0);
    if (wanted) {
      memcpy(out, at + IP + head, size < room ? size : room);
      link.received = get32(at + TCP + 4) + size + ((seen & (FLAG_SYN | FLAG_FIN)) != 0);
    }
    net_release(card, &frame);
    if (wanted) {
      return size < room ? size : room;
    }
  }
}

static void print_answer(char* answer, uint32_t size) {
  uint32_t first_end = 0, last = 0;
  answer[size] = 0;
  for (uint32_t i = 0; i < size; ++i) {
    if (answer[i] == '\n') {
      first_end = first_end == 0 ? i : first_end;
      last = i + 1;
    }
  }
  answer[first_end == 0 ? 0 : first_end - 1] = 0;
  print("mmds: %s / %s\n", answer, answer + last);
}

static char* append(char* to, const char* text) {
  while (*text != 0) {
    *to++ = *text++;
  }
  return to;
}

void tcp_fetch(struct net_card* card, const char* path) {
  static char request[128], answer[1024];
  char* end = append(append(append(request, "GET "), path), " HTTP/1.1\r\nAccept: */*\r\n\r\n");
  resolve(card);
  link.sent = 1000;
  link.received = 0;
  send_segment(card, FLAG_SYN, "", 0);
  take_segment(card, FLAG_SYN, answer, sizeof answer);
  send_segment(card, FLAG_ACK | FLAG_PUSH, request, (uint32_t)(end - request));
  const uint32_t size = take_segment(card, 0, answer, sizeof answer - 1);
  send_segment(card, FLAG_ACK | FLAG_FIN, "", 0);
  take_segment(card, FLAG_FIN, 0, 0);
  send_segment(card, FLAG_ACK, "", 0);
  print_answer(answer, size);
}

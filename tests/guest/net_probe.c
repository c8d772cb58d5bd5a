// A network card used every way that the host may ask for on the serial line; merge=1 and offload=1 on the command line
// choose the features. Prints "net: features=0x<negotiated>", then "net: <order> done" after each order:
//
//   reflect       until the next order: answers ARP, sends each IP packet back with both addresses exchanged. Ports and
//                 checksums stay right, so a TCP connection that the host makes to the guest's address comes back to
//                 the host from there, and every byte has gone through the card twice. The frame is sent from the
//                 buffers that it came in, with the header that it came with: offloads are used as they are.
//   starve        until the next order: posts nothing and takes nothing
//   send <n>      n broadcast frames, numbered
//   mmds          fetches /hello from the metadata service with a TCP of forty lines; prints the answer's last line
//   quit
#include "runtime/command.h"
#include "runtime/tcp.h"

enum {
  ETHERNET_SIZE = 14,
  TYPE_IPV4 = 0x0008,
  TYPE_IPV6 = 0xdd86,
  TYPE_ARP = 0x0608,
  TYPE_TEST = 0xb588,
  IDLE_LOOKS = 2000
};
enum { ARP_REQUEST = 0x0100, ARP_REPLY = 0x0200, SMALL_BUFFER = 2048, MERGED_BUFFER = 8192 };

static struct net_card card;

static void exchange(uint8_t* a, uint8_t* b, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    const uint8_t kept = a[i];
    a[i] = b[i];
    b[i] = kept;
  }
}

// Turns a frame into its answer in place; 0 when there is none.
static int turn_around(uint8_t* frame) {
  uint8_t* payload = frame + ETHERNET_SIZE;
  switch (load16((uint64_t)frame + 12)) {
    case TYPE_IPV4: exchange(payload + 12, payload + 16, 4); break;
    case TYPE_IPV6:
      if (payload[24] == 0xff) {
        return 0;  // to a multicast group: the host looks for neighbours and routers
      }
      exchange(payload + 8, payload + 24, 16);
      break;
    case TYPE_ARP:
      if (load16((uint64_t)payload + 6) != ARP_REQUEST) {
        return 0;
      }
      store16((uint64_t)payload + 6, ARP_REPLY);
      exchange(payload + 8, payload + 18, 10);
      memcpy(payload + 8, card.mac, MAC_SIZE);
      break;
    default: return 0;
  }
  memcpy(frame, frame + MAC_SIZE, MAC_SIZE);
  memcpy(frame + MAC_SIZE, card.mac, MAC_SIZE);
  return 1;
}

static void reflect(void) {
  static uint32_t frames, largest;
  struct net_frame frame;
  for (unsigned idle = 0;; ++idle) {
    if (net_receive(&card, &frame)) {
      if (turn_around(frame.start + NET_HEADER_SIZE)) {
        net_forward(&card, &frame);
        ++frames;
        largest = frame.size > largest ? frame.size : largest;
      }
      net_release(&card, &frame);
      idle = 0;
    } else if (idle >= IDLE_LOOKS) {
      idle = 0;
      if (command_waiting()) {
        break;
      }
    }
  }
  print("net: reflected frames=%u largest=%u\n", frames, largest);
}

static void send_numbered(uint32_t count) {
  static uint8_t data[NET_HEADER_SIZE + 60];
  memset(data + NET_HEADER_SIZE, 0xff, MAC_SIZE);
  memcpy(data + NET_HEADER_SIZE + MAC_SIZE, card.mac, MAC_SIZE);
  store16((uint64_t)data + NET_HEADER_SIZE + 12, TYPE_TEST);
  for (uint32_t i = 0; i < count; ++i) {
    store32((uint64_t)data + NET_HEADER_SIZE + ETHERNET_SIZE, i);
    net_send(&card, data, sizeof data);
  }
}

static int wants(const struct boot_info* boot, const char* name) {
  char value[4];
  return command_line_value(boot, name, value, sizeof value) && text_equal(value, "1");
}

static uint32_t buffer_size_for(uint64_t features) {
  if ((features & VIRTIO_NET_F_MRG_RXBUF) != 0) {
    return MERGED_BUFFER;
  }
  return (features & VIRTIO_NET_F_GUEST_TSO4) != 0 ? NET_MAX_BUFFER : SMALL_BUFFER;
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  const uint64_t features = NET_BASIC_FEATURES | (wants(boot, "merge") ? VIRTIO_NET_F_MRG_RXBUF : 0) |
                            (wants(boot, "offload") ? NET_OFFLOADS : 0);
  net_start(&card, boot, 0, 0, features, buffer_size_for(features));
  print("net: features=0x%x\nGUEST-UP\n", card.queues[0].features);
  int posted = 0;
  while (command_next(&order), !command_is(&order, "quit")) {
    if (!posted && !command_is(&order, "starve")) {
      net_post(&card);
      posted = 1;
    }
    if (command_is(&order, "reflect")) {
      reflect();
    } else if (command_is(&order, "send")) {
      send_numbered(order.numbers[0]);
    } else if (command_is(&order, "mmds")) {
      tcp_fetch(&card, "/hello");
    }
    print("net: %s done\n", order.word);
  }
}

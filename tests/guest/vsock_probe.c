// An echo service on every vsock port, in both directions. Prints "vsock: cid=<cid>"; serves until it is told
// something:
//
//   connect <port> <n>   n connections to the host's port, from local ports 50000 on; then echoes on them, too
//   shut                 half-closes the connections that it made: it sends no more, and counts what still comes
//   storm <n>            n times: a request that nobody takes, a reset, and data, for connections that are not there
//   report               "vsock: open=<n> answered=<n> refused=<n> late=<bytes after shut>"
//   quit
#include "runtime/command.h"
#include "runtime/vsock.h"

enum { TABLE_SIZE = 1024, WAITING_SIZE = QUEUE_SIZE, BUFFER_SIZE = 8 * VSOCK_PAYLOAD, IDLE_LOOKS = 2000 };
enum { FIRST_LOCAL_PORT = 50000, STORM_PORT = 9 };
enum state { FREE, LIVE, GONE };

struct connection {
  enum state state;
  uint32_t local, peer;                               // ports
  uint32_t peer_buffer, peer_forwarded, sent, taken;  // credit, modulo 2^32 (virtio 1.2 section 5.10.6.3)
  uint32_t shut, ending;                              // nothing is sent any more; ends once nothing waits
};

static struct vsock vsock;
static struct connection table[TABLE_SIZE];
static struct vsock_packet waiting[WAITING_SIZE];  // data to be echoed, in order
static uint32_t waiting_first, waiting_count, asked_for_credit;
static uint32_t open_count, answered, refused, late_bytes;

static struct connection* find(uint32_t local, uint32_t peer) {
  for (uint32_t i = local + peer;; ++i) {
    struct connection* at = &table[i % TABLE_SIZE];
    if (at->state == FREE || (at->state == LIVE && at->local == local && at->peer == peer)) {
      return at->state == LIVE ? at : 0;
    }
  }
}

static struct connection* add(uint32_t local, uint32_t peer) {
  uint32_t i = local + peer;
  while (table[i % TABLE_SIZE].state == LIVE) {
    ++i;
  }
  table[i % TABLE_SIZE] = (struct connection){.state = LIVE, .local = local, .peer = peer};
  ++open_count;
  return &table[i % TABLE_SIZE];
}

static void end(struct connection* connection) {
  if (connection != 0) {
    connection->state = GONE;
    --open_count;
  }
}

static void tell(uint32_t local, uint32_t peer, enum vsock_operation operation, uint32_t flags) {
  const struct connection* connection = find(local, peer);
  vsock_send(&vsock,
             (struct vsock_header){.source_port = local,
                                   .target_port = peer,
                                   .operation = (uint16_t)operation,
                                   .flags = flags,
                                   .buffer_size = BUFFER_SIZE,
                                   .forwarded = connection != 0 ? connection->taken : 0},
             0);
}

static void echo(struct connection* connection, const struct vsock_packet* packet) {
  const uint32_t length = packet->header->length;
  connection->taken += length;
  connection->sent += length;
  vsock_send(&vsock,
             (struct vsock_header){.source_port = connection->local,
                                   .target_port = connection->peer,
                                   .length = length,
                                   .operation = VSOCK_DATA,
                                   .buffer_size = BUFFER_SIZE,
                                   .forwarded = connection->taken},
             packet->payload);
}

// Sends what waits, as far as the host's credit goes; the rest keeps its receive buffers.
static void echo_waiting(void) {
  while (waiting_count != 0) {
    struct vsock_packet* packet = &waiting[waiting_first];
    struct connection* connection = find(packet->header->target_port, packet->header->source_port);
    if (connection != 0 && !connection->shut) {
      const uint32_t credit = connection->peer_buffer - (connection->sent - connection->peer_forwarded);
      if (credit < packet->header->length) {
        if (!asked_for_credit) {
          tell(connection->local, connection->peer, VSOCK_CREDIT_REQUEST, 0);
          asked_for_credit = 1;
        }
        return;
      }
      echo(connection, packet);
      asked_for_credit = 0;  // once for each time that it runs out: the device tells of new credit by itself
    } else if (connection != 0) {
      connection->taken += packet->header->length;
      late_bytes += packet->header->length;
    }
    vsock_release(&vsock, packet);
    waiting_first = (waiting_first + 1) % WAITING_SIZE;
    --waiting_count;
  }
}

static void end_what_has_nothing_waiting(void) {
  for (uint32_t i = 0; waiting_count == 0 && i < TABLE_SIZE; ++i) {
    if (table[i].state == LIVE && table[i].ending) {
      table[i].ending = 0;
      tell(table[i].local, table[i].peer, VSOCK_SHUTDOWN, VSOCK_SHUT_RECEIVE | VSOCK_SHUT_SEND);
    }
  }
}

// Returns whether the packet was kept.
static int handle(const struct vsock_packet* packet) {
  static uint32_t some_are_ending;
  const struct vsock_header* header = packet->header;
  struct connection* connection = find(header->target_port, header->source_port);
  if (header->operation == VSOCK_REQUEST && connection == 0) {
    connection = add(header->target_port, header->source_port);
    tell(connection->local, connection->peer, VSOCK_RESPONSE, 0);
  }
  if (connection == 0) {
    refused += header->operation == VSOCK_RESET;
    return 0;
  }
  connection->peer_buffer = header->buffer_size;
  connection->peer_forwarded = header->forwarded;
  switch (header->operation) {
    case VSOCK_RESPONSE: ++answered; break;
    case VSOCK_RESET: refused += connection->peer_buffer == 0, end(connection); break;
    case VSOCK_CREDIT_REQUEST: tell(connection->local, connection->peer, VSOCK_CREDIT_UPDATE, 0); break;
    case VSOCK_CREDIT_UPDATE: break;  // its credit was taken down like that of every packet
    case VSOCK_SHUTDOWN: connection->ending = some_are_ending = 1; break;
    case VSOCK_DATA:
      waiting[(waiting_first + waiting_count++) % WAITING_SIZE] = *packet;
      echo_waiting();
      if (some_are_ending) {
        end_what_has_nothing_waiting();
      }
      return 1;
    default: break;
  }
  echo_waiting();
  if (some_are_ending) {
    end_what_has_nothing_waiting();
  }
  return 0;
}

static int serve_one(void) {
  struct vsock_packet packet;
  if (!vsock_receive(&vsock, &packet)) {
    return 0;
  }
  if (!handle(&packet)) {
    vsock_release(&vsock, &packet);
  }
  return 1;
}

static void serve_until_order(void) {
  for (unsigned idle = 0;;) {
    idle = serve_one() ? 0 : idle + 1;
    if (idle == IDLE_LOOKS) {
      if (command_waiting()) {
        return;
      }
      idle = 0;
    }
  }
}

static void connect_to(uint32_t port, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    add(FIRST_LOCAL_PORT + i, port);
    tell(FIRST_LOCAL_PORT + i, port, VSOCK_REQUEST, 0);
    serve_one();
  }
}

static void shut_own(void) {
  for (uint32_t i = 0; i < TABLE_SIZE; ++i) {
    if (table[i].state == LIVE && table[i].local >= FIRST_LOCAL_PORT) {
      table[i].shut = 1;
      tell(table[i].local, table[i].peer, VSOCK_SHUTDOWN, VSOCK_SHUT_SEND);
    }
  }
}

static void storm(uint32_t count) {
  static const enum vsock_operation operations[] = {VSOCK_REQUEST, VSOCK_RESET, VSOCK_CREDIT_UPDATE, VSOCK_RESPONSE};
  for (uint32_t i = 0; i < count; ++i) {
    for (unsigned k = 0; k < 4; ++k) {
      tell(FIRST_LOCAL_PORT + i, STORM_PORT, operations[k], 0);
      while (serve_one()) {
      }
    }
  }
}

void guest_main(const struct boot_info* boot) {
  struct command order;
  vsock_start(&vsock, boot, 0);
  print("vsock: cid=%u\nGUEST-UP\n", (uint32_t)vsock.cid);
  for (;;) {
    serve_until_order();
    command_next(&order);
    if (command_is(&order, "quit")) {
      return;
    }
    if (command_is(&order, "connect")) {
      connect_to(order.numbers[0], order.numbers[1]);
    } else if (command_is(&order, "shut")) {
      shut_own();
    } else if (command_is(&order, "storm")) {
      storm(order.numbers[0]);
    }
    print("vsock: open=%u answered=%u refused=%u late=%u\nvsock: %s done\n", open_count, answered, refused, late_bytes,
          order.word);
  }
}

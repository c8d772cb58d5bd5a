// lane_tool vhost-disk SOCKET FILE: a back end of the vhost-user protocol whose disk is FILE. Takes one front end and
// ends with it. Written from the protocol's page and virtio 1.2, sections 2.7 and 5.2; one queue, FLUSH, configuration.
//
// What the guest writes into its rings is believed no further than its memory reaches: place() says where that is.
#define _GNU_SOURCE
#include "vhost_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  GET_FEATURES = 1,
  SET_MEM_TABLE = 5,
  SET_VRING_NUM = 8,
  SET_VRING_ADDR = 9,
  SET_VRING_BASE = 10,
  GET_VRING_BASE = 11,
  SET_VRING_KICK = 12,
  SET_VRING_CALL = 13,
  GET_PROTOCOL_FEATURES = 15,
  SET_VRING_ENABLE = 18,
  GET_CONFIG = 24
};
enum {
  VERSION = 1,
  REPLY = 4,
  NEED_REPLY = 8,
  HEADER_BYTES = 12,
  MAX_REGIONS = 8,
  MAX_CHAIN = 128,
  SECTOR_BYTES = 512
};
enum { PROTOCOL_REPLY_ACK = 3, PROTOCOL_CONFIG = 9, FEATURE_PROTOCOL = 30 };

struct message {
  uint32_t request, flags, size;
  union {
    uint64_t number;
    struct {
      uint32_t index, value;
    } ring;
    struct {
      uint32_t index, flags;
      uint64_t descriptors, used, available, log;
    } addresses;
    struct {
      uint32_t count, padding;
      struct {
        uint64_t guest, size, user, offset;
      } regions[MAX_REGIONS];
    } memory;
    struct {
      uint32_t offset, size, flags;
      uint8_t bytes[sizeof(struct virtio_blk_config)];
    } config;
  } payload;
} __attribute__((packed));

struct region {
  uint64_t guest, user, size;
  uint8_t* start;
};

static struct region regions[MAX_REGIONS];
static unsigned region_count;
static int connection, disk, kick = -1, call = -1, serving;
static uint32_t ring_size;
static uint16_t next_available;
static uint64_t descriptors_at, used_at, available_at;

__attribute__((noreturn)) static void give_up(const char* what) {
  fprintf(stderr, "vhost-disk: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void* place(uint64_t address, uint64_t length, int is_user) {
  for (unsigned i = 0; i < region_count; i++) {
    const uint64_t offset = address - (is_user ? regions[i].user : regions[i].guest);
    if (offset < regions[i].size && length <= regions[i].size - offset) {
      return regions[i].start + offset;
    }
  }
  errno = EFAULT;
  give_up("an address outside memory");
}

static int listen_once(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 1) != 0) {
    give_up(path);
  }
  const int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  close(listener);
  return accepted;
}

static void read_fully(void* into, size_t size) {
  if (size != 0 && recv(connection, into, size, MSG_WAITALL) != (ssize_t)size) {
    give_up("half a message");
  }
}

// 0: the front end has gone.
static int receive(struct message* message, int files[MAX_REGIONS], unsigned* file_count) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MAX_REGIONS * sizeof(int))];
  } control;
  struct iovec body = {message, HEADER_BYTES};
  struct msghdr call_for = {
      .msg_iov = &body, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(connection, &call_for, MSG_CMSG_CLOEXEC | MSG_WAITALL) != HEADER_BYTES) {
    return 0;
  }
  *file_count = 0;
  const struct cmsghdr* const found = CMSG_FIRSTHDR(&call_for);
  if (found != NULL && found->cmsg_type == SCM_RIGHTS) {
    *file_count = (unsigned)((found->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(files, CMSG_DATA(found), *file_count * sizeof(int));
  }
  if (message->size > sizeof message->payload) {
    give_up("a payload that is too long");
  }
  read_fully(&message->payload, message->size);
  return 1;
}

static void answer(struct message* message, uint32_t size) {
  message->flags = VERSION | REPLY;
  message->size = size;
  if (send(connection, message, HEADER_BYTES + size, MSG_NOSIGNAL) != (ssize_t)(HEADER_BYTES + size)) {
    give_up("send");
  }
}

static void map_memory(const struct message* message, const int* files, unsigned count) {
  for (unsigned i = 0; i < region_count; i++) {
    munmap(regions[i].start, regions[i].size);
  }
  region_count = count;
  for (unsigned i = 0; i < count; i++) {
    regions[i] = (struct region){.guest = message->payload.memory.regions[i].guest,
                                 .user = message->payload.memory.regions[i].user,
                                 .size = message->payload.memory.regions[i].size};
    regions[i].start = mmap(NULL, regions[i].size, PROT_READ | PROT_WRITE, MAP_SHARED, files[i],
                            (off_t)message->payload.memory.regions[i].offset);
    if (regions[i].start == MAP_FAILED) {
      give_up("map memory");
    }
    close(files[i]);
  }
}

static void fill_config(struct message* message) {
  struct stat status;
  struct virtio_blk_config config = {0};
  fstat(disk, &status);
  config.capacity = (uint64_t)status.st_size / SECTOR_BYTES;
  memcpy(message->payload.config.bytes, &config, sizeof config);
}

static void replace(int* held, int by) {
  if (*held >= 0) {
    close(*held);
  }
  *held = by;
}

// The size of the answer that the request has of itself; 0: none.
static uint32_t carry_out(struct message* message, const int* files, unsigned file_count) {
  switch (message->request) {
    case GET_FEATURES:
      message->payload.number = 1ull << VIRTIO_F_VERSION_1 | 1ull << FEATURE_PROTOCOL | 1ull << VIRTIO_BLK_F_FLUSH;
      return sizeof message->payload.number;
    case GET_PROTOCOL_FEATURES:
      message->payload.number = 1ull << PROTOCOL_REPLY_ACK | 1ull << PROTOCOL_CONFIG;
      return sizeof message->payload.number;
    case GET_CONFIG: fill_config(message); return message->size;
    case SET_MEM_TABLE: map_memory(message, files, file_count); return 0;
    case SET_VRING_NUM: ring_size = message->payload.ring.value; return 0;
    case SET_VRING_ADDR:
      descriptors_at = message->payload.addresses.descriptors;
      used_at = message->payload.addresses.used;
      available_at = message->payload.addresses.available;
      return 0;
    case SET_VRING_BASE: next_available = (uint16_t)message->payload.ring.value; return 0;
    case SET_VRING_KICK: replace(&kick, files[0]); return 0;
    case SET_VRING_CALL: replace(&call, files[0]); return 0;
    case SET_VRING_ENABLE: serving = (int)message->payload.ring.value; return 0;
    case GET_VRING_BASE:
      serving = 0;
      message->payload.ring.value = next_available;
      return sizeof message->payload.ring;
    default: return 0;
  }
}

static int take_message(void) {
  struct message message;
  int files[MAX_REGIONS];
  unsigned file_count = 0;
  if (!receive(&message, files, &file_count)) {
    return 0;
  }
  uint32_t size = carry_out(&message, files, file_count);
  if (size == 0 && (message.flags & NEED_REPLY) != 0) {
    message.payload.number = 0;
    size = sizeof message.payload.number;
  }
  if (size != 0) {
    answer(&message, size);
  }
  return 1;
}

// One buffer of a read or a write. The number of bytes that the guest got.
static uint32_t move(uint32_t type, const struct vring_desc* buffer, off_t at, uint8_t* status) {
  uint8_t* const bytes = place(buffer->addr, buffer->len, 0);
  const ssize_t done =
      type == VIRTIO_BLK_T_IN ? pread(disk, bytes, buffer->len, at) : pwrite(disk, bytes, buffer->len, at);
  *status = done == (ssize_t)buffer->len ? *status : VIRTIO_BLK_S_IOERR;
  return type == VIRTIO_BLK_T_IN ? buffer->len : 0;
}

// Header, data, a byte of status. The number of bytes that the guest got.
static uint32_t serve(const struct vring_desc* chain, unsigned count) {
  const struct virtio_blk_outhdr* const header = place(chain[0].addr, sizeof *header, 0);
  off_t at = (off_t)header->sector * SECTOR_BYTES;
  uint32_t written = 1;
  uint8_t status = VIRTIO_BLK_S_OK;
  if (header->type == VIRTIO_BLK_T_IN || header->type == VIRTIO_BLK_T_OUT) {
    for (unsigned i = 1; i + 1 < count; at += chain[i].len, i++) {
      written += move(header->type, &chain[i], at, &status);
    }
  } else if (header->type == VIRTIO_BLK_T_FLUSH) {
    status = fdatasync(disk) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
  } else {
    status = VIRTIO_BLK_S_UNSUPP;
  }
  *(uint8_t*)place(chain[count - 1].addr, 1, 0) = status;
  return written;
}

static unsigned copy_chain(uint16_t head, struct vring_desc chain[MAX_CHAIN]) {
  const struct vring_desc* const table = place(descriptors_at, (uint64_t)ring_size * sizeof *table, 1);
  unsigned count = 0;
  for (uint16_t index = head; index < ring_size && count < MAX_CHAIN; index = chain[count - 1].next) {
    chain[count++] = table[index];
    if ((chain[count - 1].flags & VRING_DESC_F_NEXT) == 0) {
      return count;
    }
  }
  errno = EINVAL;
  give_up("a chain without an end");
}

static void process_ring(void) {
  const uint16_t* const available = place(available_at, 4 + 2 * (uint64_t)ring_size, 1);
  uint16_t* const used = place(used_at, 4 + 8 * (uint64_t)ring_size, 1);
  struct vring_used_elem* const elements = (struct vring_used_elem*)(used + 2);
  const uint64_t one = 1;
  int done = 0;
  while (__atomic_load_n(&available[1], __ATOMIC_ACQUIRE) != next_available) {
    struct vring_desc chain[MAX_CHAIN];
    const uint16_t head = available[2 + next_available++ % ring_size];
    const unsigned count = copy_chain(head, chain);
    const uint32_t written = serve(chain, count);
    elements[used[1] % ring_size] = (struct vring_used_elem){head, written};
    __atomic_store_n(&used[1], (uint16_t)(used[1] + 1), __ATOMIC_RELEASE);
    done = 1;
  }
  if (done && write(call, &one, sizeof one) != sizeof one) {
    give_up("call");
  }
}

int vhost_disk(const char* socket_path, const char* file) {
  disk = open(file, O_RDWR | O_CLOEXEC);
  if (disk < 0) {
    give_up(file);
  }
  connection = listen_once(socket_path);
  for (;;) {
    struct pollfd ready[2] = {{.fd = connection, .events = POLLIN}, {.fd = serving ? kick : -1, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0) {
      give_up("poll");
    }
    uint64_t count;
    if (ready[1].revents != 0 && read(kick, &count, sizeof count) > 0) {
      process_ring();
    }
    if (ready[0].revents != 0 && !take_message()) {
      return 0;
    }
  }
}

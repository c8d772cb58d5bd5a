// What busybox has no applet for, on both sides of the linux lane. Static.
//
//   lane_tool tcp-listen PORT               lane_tool tcp-connect ADDRESS PORT
//   lane_tool vsock-listen PORT             lane_tool vsock-connect CID PORT
//   lane_tool unix-listen PATH              lane_tool wisp-connect PATH PORT    (says the CONNECT line first)
//     One connection: standard input goes to the peer, then the end of the stream; what the peer sends goes to standard
//     output. Both at once, so that one transfer shows both directions and half-close. Connecting is tried for a while.
//   lane_tool offloads INTERFACE on|off
//     Segmentation, checksums and receive merging, by the ioctl that ethtool uses.
//   lane_tool vhost-disk SOCKET FILE
//     A vhost-user back end (vhost_disk.c).
//
// Exit code 0: all was sent, and the peer ended its stream. 1: anything else, with a sentence.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vhost_disk.h"

enum { BUFFER_BYTES = 64 * 1024, STANDSTILL_MS = 60000, CONNECT_TRIES = 200, TRY_EVERY_US = 100000 };

struct endpoint {
  union {
    struct sockaddr any;
    struct sockaddr_in tcp;
    struct sockaddr_vm vsock;
    struct sockaddr_un local;
  } address;
  socklen_t size;
  const char* wisp_port;  // set: say CONNECT first
};

static int give_up(const char* what) {
  fprintf(stderr, "lane_tool: %s: %s\n", what, strerror(errno));
  return 1;
}

static struct endpoint tcp_endpoint(const char* address, const char* port) {
  struct endpoint at = {.size = sizeof(struct sockaddr_in)};
  at.address.tcp.sin_family = AF_INET;
  at.address.tcp.sin_port = htons((unsigned short)atoi(port));
  at.address.tcp.sin_addr.s_addr = inet_addr(address);
  return at;
}

static struct endpoint vsock_endpoint(unsigned int cid, const char* port) {
  struct endpoint at = {.size = sizeof(struct sockaddr_vm)};
  at.address.vsock.svm_family = AF_VSOCK;
  at.address.vsock.svm_cid = cid;
  at.address.vsock.svm_port = (unsigned int)strtoul(port, NULL, 10);
  return at;
}

static struct endpoint unix_endpoint(const char* path, const char* wisp_port) {
  struct endpoint at = {.size = sizeof(struct sockaddr_un), .wisp_port = wisp_port};
  at.address.local.sun_family = AF_UNIX;
  strncpy(at.address.local.sun_path, path, sizeof at.address.local.sun_path - 1);
  return at;
}

static int accept_one(const struct endpoint* at) {
  const int one = 1;
  const int listener = socket(at->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      bind(listener, &at->address.any, at->size) != 0 || listen(listener, 1) != 0) {
    return -1;
  }
  return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

// "CONNECT <port>", and the line "OK <port>" that must come back, read byte by byte: what follows is the stream.
static int greet(int fd, const char* port) {
  char line[32];
  size_t used = 0;
  const int size = snprintf(line, sizeof line, "CONNECT %s\n", port);
  if (write(fd, line, (size_t)size) != size) {
    return -1;
  }
  while (used < sizeof line && read(fd, line + used, 1) == 1) {
    if (line[used++] == '\n') {
      return memcmp(line, "OK ", 3) == 0 ? 0 : -1;
    }
  }
  errno = ECONNREFUSED;
  return -1;
}

static int connect_once(const struct endpoint* at) {
  const int fd = socket(at->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, &at->address.any, at->size) == 0 &&
      (at->wisp_port == NULL || greet(fd, at->wisp_port) == 0)) {
    return fd;
  }
  close(fd);
  return -1;
}

static int connect_to(const struct endpoint* at) {
  for (int attempt = 0; attempt < CONNECT_TRIES; attempt++) {
    const int fd = connect_once(at);
    if (fd >= 0) {
      return fd;
    }
    usleep(TRY_EVERY_US);
  }
  return -1;
}

static int write_all(int fd, const char* bytes, size_t size) {
  while (size != 0) {
    const ssize_t written = write(fd, bytes, size);
    if (written <= 0) {
      return -1;
    }
    bytes += written;
    size -= (size_t)written;
  }
  return 0;
}

// What standard input still has to give; `end` is 0 once it has ended and the peer was told.
struct outgoing {
  char bytes[BUFFER_BYTES];
  size_t size;
  size_t sent;
  int open;
};

static int send_some(int fd, struct outgoing* out) {
  if (out->sent == out->size) {
    const ssize_t got = read(STDIN_FILENO, out->bytes, sizeof out->bytes);
    if (got <= 0) {
      out->open = 0;
      return got < 0 ? -1 : shutdown(fd, SHUT_WR);
    }
    out->size = (size_t)got;
    out->sent = 0;
  }
  const ssize_t sent = send(fd, out->bytes + out->sent, out->size - out->sent, MSG_DONTWAIT);
  if (sent < 0) {
    return errno == EAGAIN ? 0 : -1;
  }
  out->sent += (size_t)sent;
  return 0;
}

// 1: more may come. 0: the peer has ended its stream.
static int receive_some(int fd) {
  static char bytes[BUFFER_BYTES];
  const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got < 0) {
    return errno == EAGAIN ? 1 : -1;
  }
  return got == 0 ? 0 : write_all(STDOUT_FILENO, bytes, (size_t)got) == 0 ? 1 : -1;
}

static int exchange(int fd) {
  static struct outgoing out = {.open = 1};
  int incoming = 1;
  while (out.open || incoming) {
    const short wanted = (short)((incoming ? POLLIN : 0) | (out.open ? POLLOUT : 0));
    struct pollfd ready = {.fd = fd, .events = wanted};
    const int count = poll(&ready, 1, STANDSTILL_MS);
    if (count <= 0) {
      errno = count == 0 ? ETIMEDOUT : errno;
      return give_up("poll");
    }
    if (out.open && (ready.revents & (POLLOUT | POLLERR)) != 0 && send_some(fd, &out) != 0) {
      return give_up("send");
    }
    if (incoming && (ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0 && (incoming = receive_some(fd)) < 0) {
      return give_up("receive");
    }
  }
  return 0;
}

static int set_offloads(const char* interface, unsigned int on) {
  static const unsigned int kCommands[] = {ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (size_t i = 0; i < sizeof kCommands / sizeof kCommands[0]; i++) {
    struct ethtool_value value = {.cmd = kCommands[i], .data = on};
    struct ifreq request = {.ifr_data = (char*)&value};
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    // Some are fixed for an interface; those that are not do what the lane needs.
    if (ioctl(fd, SIOCETHTOOL, &request) != 0 && errno != EOPNOTSUPP) {
      return give_up(interface);
    }
  }
  return 0;
}

int main(int argc, char** argv) {
  const char* verb = argc >= 3 ? argv[1] : "";
  const char* last = argc >= 3 ? argv[argc - 1] : "";
  struct endpoint at;
  int listening = 0;
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(verb, "offloads") == 0 && argc == 4) {
    return set_offloads(argv[2], strcmp(last, "on") == 0);
  } else if (strcmp(verb, "vhost-disk") == 0 && argc == 4) {
    return vhost_disk(argv[2], last);
  } else if (strcmp(verb, "tcp-listen") == 0) {
    at = tcp_endpoint("0.0.0.0", last);
    listening = 1;
  } else if (strcmp(verb, "tcp-connect") == 0 && argc == 4) {
    at = tcp_endpoint(argv[2], last);
  } else if (strcmp(verb, "vsock-listen") == 0) {
    at = vsock_endpoint(VMADDR_CID_ANY, last);
    listening = 1;
  } else if (strcmp(verb, "vsock-connect") == 0 && argc == 4) {
    at = vsock_endpoint((unsigned int)atoi(argv[2]), last);
  } else if (strcmp(verb, "unix-listen") == 0) {
    at = unix_endpoint(last, NULL);
    listening = 1;
  } else if (strcmp(verb, "wisp-connect") == 0 && argc == 4) {
    at = unix_endpoint(argv[2], last);
  } else {
    fprintf(stderr, "lane_tool: see the head of lane_tool.c\n");
    return 1;
  }
  const int fd = listening ? accept_one(&at) : connect_to(&at);
  return fd < 0 ? give_up(verb) : exchange(fd);
}

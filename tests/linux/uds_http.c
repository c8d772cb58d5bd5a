// A static HTTP client for a Unix socket, where there is no curl: uds_http SOCKET METHOD PATH [BODY].
// Prints the status code, a newline and the body. Exit code 0 when an answer came, whatever its status; 1 when none
// did.
#define _GNU_SOURCE  // strcasestr
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_ANSWER_BYTES = 1 << 20, ANSWER_TIMEOUT_S = 60 };

static int give_up(const char* what) {
  fprintf(stderr, "uds_http: %s: %s\n", what, strerror(errno));
  return 1;
}

static int connect_to(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
      connect(fd, (const struct sockaddr*)&address, sizeof address) != 0) {
    return -1;
  }
  return fd;
}

static int send_all(int fd, const char* text, size_t size) {
  while (size != 0) {
    const ssize_t sent = write(fd, text, size);
    if (sent <= 0) {
      return -1;
    }
    text += sent;
    size -= (size_t)sent;
  }
  return 0;
}

// The value of Content-Length in the head that ends at `head_end`, 0 when it is absent.
static size_t content_length(const char* answer, const char* head_end) {
  const char* field = strcasestr(answer, "\r\ncontent-length:");
  return field != NULL && field < head_end ? strtoul(field + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

// Reads one answer. A body is as long as Content-Length says, because the server keeps the connection open.
static const char* read_answer(int fd, char* answer) {
  size_t used = 0;
  while (used < MAX_ANSWER_BYTES - 1) {
    const ssize_t got = read(fd, answer + used, MAX_ANSWER_BYTES - 1 - used);
    if (got <= 0) {
      return NULL;
    }
    used += (size_t)got;
    answer[used] = 0;
    const char* head_end = strstr(answer, "\r\n\r\n");
    if (head_end != NULL && used >= (size_t)(head_end + 4 - answer) + content_length(answer, head_end)) {
      return head_end + 4;
    }
  }
  errno = EMSGSIZE;
  return NULL;
}

int main(int argc, char** argv) {
  static char answer[MAX_ANSWER_BYTES];
  static char request[MAX_ANSWER_BYTES];
  if (argc < 4 || argc > 5) {
    fprintf(stderr, "usage: uds_http SOCKET METHOD PATH [BODY]\n");
    return 1;
  }
  const char* body = argc == 5 ? argv[4] : "";
  int size = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n", argv[2], argv[3]);
  if (*body != 0) {
    size += snprintf(request + size, sizeof request - (size_t)size,
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  } else {
    size += snprintf(request + size, sizeof request - (size_t)size, "\r\n");
  }
  if ((size_t)size >= sizeof request) {
    errno = EMSGSIZE;
    return give_up("request");
  }
  const int fd = connect_to(argv[1]);
  if (fd < 0) {
    return give_up(argv[1]);
  }
  if (send_all(fd, request, (size_t)size) != 0) {
    return give_up("send");
  }
  const char* answer_body = read_answer(fd, answer);
  if (answer_body == NULL) {
    return give_up("answer");
  }
  printf("%.3s\n%s\n", strlen(answer) > 12 ? answer + 9 : "???", answer_body);
  return 0;
}

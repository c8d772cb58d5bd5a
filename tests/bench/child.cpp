#include "tests/bench/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

extern char** environ;

namespace wisp::bench {
namespace {
constexpr int kPatienceMs = 10'000;
}

void give_up(const std::string& reason) {
  std::fprintf(stderr, "bench: %s\n", reason.c_str());
  std::exit(1);
}

double now_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

Child::Child(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    give_up("no pipe");
  }
  std::vector<char*> words;
  for (const auto& word : command) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  spawned_us_ = now_us();
  if (::posix_spawn(&pid_, words[0], &actions, nullptr, words.data(), environ) != 0) {
    give_up("cannot start " + command[0]);
  }
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  output_ = ends[0];
}

Child::~Child() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::close(output_);
}

double Child::wait_for(char marker) const {
  std::array<char, 4096> buffer{};
  for (;;) {
    pollfd query{output_, POLLIN, 0};
    if (::poll(&query, 1, kPatienceMs) != 1) {
      give_up("a measured program did not get to its mark");
    }
    const ssize_t count = ::read(output_, buffer.data(), buffer.size());
    if (count <= 0) {
      give_up("a measured program ended before its mark");
    }
    if (std::memchr(buffer.data(), marker, static_cast<std::size_t>(count)) != nullptr) {
      return now_us();
    }
  }
}

Client::Client(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const double start_us = now_us();
  for (;;) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
      return;
    }
    ::close(fd_);
    if (now_us() - start_us > kPatienceMs * 1e3) {
      give_up("no server on " + path);
    }
    ::sched_yield();
  }
}

Client::~Client() {
  ::close(fd_);
}

int Client::request(const std::string& method, const std::string& path, const std::string& body) const {
  std::string text = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n";
  if (!body.empty()) {
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  text += "\r\n" + body;
  (void)!::write(fd_, text.data(), text.size());
  // Answers of the measured requests are small and come in one piece, or in head and body.
  std::string answer;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t count = ::read(fd_, buffer.data(), buffer.size());
    if (count <= 0) {
      give_up("the server hung up on " + method + " " + path);
    }
    answer.append(buffer.data(), static_cast<std::size_t>(count));
    const auto head_end = answer.find("\r\n\r\n");
    if (head_end == std::string::npos) {
      continue;
    }
    const auto length = answer.find("Content-Length: ");
    const std::size_t body_size =
        length == std::string::npos || length > head_end ? 0 : std::strtoul(answer.c_str() + length + 16, nullptr, 10);
    if (answer.size() >= head_end + 4 + body_size) {
      return std::atoi(answer.c_str() + 9);
    }
  }
}

void Client::echo(const std::string& bytes) const {
  (void)!::write(fd_, bytes.data(), bytes.size());
  std::array<char, 4096> buffer{};
  for (std::size_t received = 0; received < bytes.size();) {
    const ssize_t count = ::read(fd_, buffer.data(), buffer.size());
    if (count <= 0) {
      give_up("the echo hung up");
    }
    received += static_cast<std::size_t>(count);
  }
}

}  // namespace wisp::bench

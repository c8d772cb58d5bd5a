// A measured child process: spawned with its standard output on a pipe, killed and reaped at the end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace wisp::bench {

/// CLOCK_MONOTONIC in microseconds, with fraction.
double now_us();

class Child {
 public:
  /// Exits the bench with a message when the program cannot be started: a measurement without its subject is none.
  explicit Child(const std::vector<std::string>& command);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Waits until the child has printed `marker`; the time at which it was read, in microseconds.
  double wait_for(char marker) const;
  double spawned_us() const { return spawned_us_; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  double spawned_us_ = 0;
};

/// A connected client of a Unix socket that speaks just enough HTTP.
class Client {
 public:
  /// Retries until the server listens.
  explicit Client(const std::string& path);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Sends a request and returns the status code; body may be empty.
  int request(const std::string& method, const std::string& path, const std::string& body) const;
  /// Sends bytes and waits for as many back.
  void echo(const std::string& bytes) const;

 private:
  int fd_ = -1;
};

[[noreturn]] void give_up(const std::string& reason);

}  // namespace wisp::bench

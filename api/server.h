// The API server: a Unix stream socket, at most kMaxConnections clients at a time, one thread for each while it is
// there.
//
//   std::unique_ptr<ApiServer> server = WISP_TRY(ApiServer::create({.socket_path = path}, port));  // binds
//   WISP_TRY(server->start());                                                                     // serves
//
// A slow, idle or hostile client costs one of the places and a bounded amount of memory, and delays nobody else; the
// client after the last place is told so (503) and closed. Threads exist only for clients that are connected. The
// socket's mode follows the umask. The socket file is never removed, neither at start nor at the end: whoever wants the
// path again removes it.
#pragma once

#include <memory>
#include <string>

#include "api/connection.h"
#include "vmm/base/result.h"
#include "vmm/config/command.h"

namespace wisp::api {

inline constexpr std::size_t kMaxConnections = 10;

/// What messages call a socket, and the argument that names its path.
struct SocketName {
  const char* name = "API socket";
  const char* argument = "--api-sock";
};

struct ApiOptions {
  std::string socket_path;
  std::size_t max_payload_bytes = kDefaultMaxPayloadBytes;
  /// For tests; `limits.max_payload_bytes` is set from the member above.
  ConnectionLimits limits = {};
  std::size_t max_connections = kMaxConnections;  ///< at most kMaxConnections
  SocketName socket = {};
};

class ApiServer {
 public:
  /// Binds the socket; `port` must outlive the server. An existing path is refused.
  static Result<std::unique_ptr<ApiServer>> create(const ApiOptions& options, CommandPort& port);
  /// The same with something else than the API behind it.
  static Result<std::unique_ptr<ApiServer>> create(const ApiOptions& options, std::unique_ptr<Responder> responder);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  /// Starts the accept thread.
  Status start();
  /// Requests that were received and whose answers are not sent yet. At the end of the process the caller goes on
  /// serving the CommandPort until this is 0, so that the client whose request ended the machine still hears of it.
  int unanswered_count() const;
  /// Disconnects everybody and waits for the threads. A request that is being carried out is waited for, so the thread
  /// that serves the CommandPort must not be the caller. Harmless when not started or stopped already.
  void stop();

 private:
  class Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wisp::api

namespace wisp {
using api::ApiOptions;
using api::ApiServer;
}  // namespace wisp

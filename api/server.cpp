#include "api/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <span>
#include <utility>

#include "vmm/base/confinement.h"
#include "vmm/base/log.h"
#include "vmm/base/unix_address.h"
#include "vmm/events/thread.h"

namespace wisp::api {
namespace {

/// The stack is enough for parsing a body of the greatest nesting and for one log line.
constexpr ThreadStyle kThreadStyle{
    .name = "wisp_api", .log_name = "api", .kind = ThreadKind::Api, .stack_bytes = std::size_t{256} * 1024};

constexpr int kAcceptBacklog = 128;
constexpr int kRestMs = 10;

Error bind_error(int sys_errno, const std::string& path, const SocketName& socket) {
  const std::string what = std::string("Failed to open the ") + socket.name + " at: " + path;
  if (sys_errno == EADDRINUSE) {
    return {ErrorCode::HostFault, what + ". Check that it is not already used."};
  }
  return Error::host(sys_errno, what, "Check that its folder exists and can be written.");
}

Result<Fd> listen_at(const std::string& path, const SocketName& name) {
  Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) {
    return std::move(address).error().with_prefix(std::string("Failed to open the ") + name.name + " at: " + path +
                                                  " (" + name.argument + "): ");
  }
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return Error::host(errno, std::string("cannot make the ") + name.name);
  }
  if (::bind(socket.raw(), reinterpret_cast<const sockaddr*>(&address.value()), sizeof(sockaddr_un)) != 0) {
    return bind_error(errno, path, name);
  }
  if (::listen(socket.raw(), kAcceptBacklog) != 0) {
    return Error::host(errno, std::string("cannot listen at the ") + name.name + " " + path);
  }
  return socket;
}

void turn_away(FdRef socket) {
  const std::string& response = too_many_connections_response();
  ::send(socket.raw(), response.data(), response.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(socket.raw(), SHUT_WR);
  // What the client sent already is taken off, so that the close does not look like a reset.
  std::array<char, 4096> chunk;  // NOLINT: never read
  static_cast<void>(::recv(socket.raw(), chunk.data(), chunk.size(), MSG_DONTWAIT));
}

bool is_passing_accept_error(int sys_errno) {
  return sys_errno == EINTR || sys_errno == ECONNABORTED || sys_errno == EAGAIN;
}

bool is_exhaustion(int sys_errno) {
  return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOMEM || sys_errno == ENOBUFS;
}

/// A moment for descriptors or memory to come back; without it a full table would keep the thread spinning.
void rest_briefly() {
  ::poll(nullptr, 0, kRestMs);
}

}  // namespace

/// Locking: `mutex_` guards the places. A connection's thread closes nothing itself; it marks its place as done, and
/// the accept thread (or stop) joins the thread and closes the socket. So a socket cannot be shut down after its number
/// was given to somebody else.
class ApiServer::Impl {
 public:
  Impl(Fd listener, const ApiOptions& options, ConnectionLimits limits, std::unique_ptr<Responder> responder)
      : listener_(std::move(listener)),
        name_(options.socket.name),
        max_connections_(std::min(options.max_connections, kMaxConnections)),
        responder_(std::move(responder)),
        context_{engine_, *responder_, clock_, limits} {}

  Status start() {
    accept_thread_ = WISP_TRY(Thread::start(kThreadStyle, [this] { accept_loop(); }));
    return {};
  }

  int unanswered_count() const { return context_.unanswered_count.load(std::memory_order_acquire); }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
      for (Place& place : places_) {
        if (place.state == PlaceState::Busy) {
          ::shutdown(place.socket.raw(), SHUT_RDWR);
        }
      }
    }
    // Wakes the accept call with an error; connections that wait in the queue are dropped with the socket.
    ::shutdown(listener_.raw(), SHUT_RDWR);
    accept_thread_.join();
    for (Place& place : places_) {
      clear(place);
    }
  }

 private:
  enum class PlaceState { Free, Busy, Done };
  struct Place {
    PlaceState state = PlaceState::Free;
    Fd socket;
    Thread thread;
  };

  void accept_loop() {
    confine_this_thread(ThreadKind::Api);  // the threads of connections are started here and inherit it
    while (true) {
      Fd client(::accept4(listener_.raw(), nullptr, nullptr, SOCK_CLOEXEC));
      const int error = errno;
      if (client.valid()) {
        admit(std::move(client));
      } else if (is_exhaustion(error)) {
        WISP_LOG_LIMITED(Error, "%s", Error::host(error, "the API server cannot take a connection").text().c_str());
        rest_briefly();
      } else if (!is_passing_accept_error(error)) {
        return;  // stop() ended the socket
      }
    }
  }

  void admit(Fd client) {
    Place* place = take_place();
    if (place == nullptr) {
      // A client that closes one connection and opens the next comes before the first one's thread has seen the end.
      rest_briefly();
      place = take_place();
    }
    if (place == nullptr) {
      WISP_LOG_LIMITED(Warn, "The %s turned a connection away: %zu are open already.", name_, max_connections_);
      turn_away(client.ref());
      return;
    }
    place->socket = std::move(client);
    {
      const std::lock_guard lock(mutex_);
      place->state = is_stopping_ ? PlaceState::Free : PlaceState::Busy;
      if (is_stopping_) {
        place->socket.reset();
        return;
      }
    }
    Result<Thread> thread = Thread::start(kThreadStyle, [this, place] { serve(*place); });
    if (!thread.ok()) {
      WISP_LOG_LIMITED(Error, "%s", thread.error().text().c_str());
      turn_away(place->socket.ref());
      mark_done(*place);
      return;
    }
    place->thread = std::move(thread).value();
  }

  /// A free place, after clearing up what ended connections left; nullptr when all are busy.
  Place* take_place() {
    Place* free = nullptr;
    for (Place& place : std::span(places_).first(max_connections_)) {
      if (state_of(place) == PlaceState::Done) {
        clear(place);
      }
      if (free == nullptr && state_of(place) == PlaceState::Free) {
        free = &place;
      }
    }
    return free;
  }

  PlaceState state_of(const Place& place) {
    const std::lock_guard lock(mutex_);
    return place.state;
  }

  void serve(Place& place) {
    Connection(place.socket.ref(), context_).serve();
    // The client sees the end now, not when the place is cleared.
    ::shutdown(place.socket.raw(), SHUT_RDWR);
    mark_done(place);
  }

  void mark_done(Place& place) {
    const std::lock_guard lock(mutex_);
    place.state = PlaceState::Done;
  }

  void clear(Place& place) {
    place.thread.join();
    const std::lock_guard lock(mutex_);
    place.socket.reset();
    place.state = PlaceState::Free;
  }

  Fd listener_;
  const char* name_;
  std::size_t max_connections_;
  MonotonicClock clock_;
  HttpEngine engine_;
  std::unique_ptr<Responder> responder_;
  ConnectionContext context_;
  std::mutex mutex_;
  bool is_stopping_ = false;
  std::array<Place, kMaxConnections> places_;
  Thread accept_thread_;
};

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ApiServer::~ApiServer() {
  stop();
}

Result<std::unique_ptr<ApiServer>> ApiServer::create(const ApiOptions& options, CommandPort& port) {
  return create(options, std::make_unique<Router>(port, api_metrics()));
}

Result<std::unique_ptr<ApiServer>> ApiServer::create(const ApiOptions& options, std::unique_ptr<Responder> responder) {
  Fd listener = WISP_TRY(listen_at(options.socket_path, options.socket));
  ConnectionLimits limits = options.limits;
  limits.max_payload_bytes = options.max_payload_bytes;
  WISP_LOG(Info, "Listening on %s (\"%s\").", options.socket.name, options.socket_path.c_str());
  auto impl = std::make_unique<Impl>(std::move(listener), options, limits, std::move(responder));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

Status ApiServer::start() {
  return impl_->start();
}

int ApiServer::unanswered_count() const {
  return impl_->unanswered_count();
}

void ApiServer::stop() {
  impl_->stop();
}

}  // namespace wisp::api

#include "api/http_engine.h"

#include <csignal>

#ifndef CPPHTTPLIB_USE_POLL
#define CPPHTTPLIB_USE_POLL
#endif
#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "vmm/base/log.h"

namespace wisp::api {
namespace {

/// One exchange in memory: the library reads a head from here and writes its response to here.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string input) : input_(std::move(input)) {}

  bool is_readable() const override { return position_ < input_.size(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, std::size_t size) override {
    const std::size_t length = std::min(size, input_.size() - position_);
    std::memcpy(out, input_.data() + position_, length);
    position_ += length;
    return static_cast<ssize_t>(length);
  }
  ssize_t write(const char* bytes, std::size_t size) override {
    output_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

  std::string take_output() { return std::move(output_); }

 private:
  std::string input_;
  std::size_t position_ = 0;
  std::string output_;
};

const char* name_of(Method method) {
  switch (method) {
    case Method::Get: return "GET";
    case Method::Put: return "PUT";
    case Method::Patch: return "PATCH";
    case Method::Delete: break;
  }
  return "DELETE";
}

/// The library's constructor ignores SIGPIPE for the whole process; what to do with signals is not its business.
class SignalKeeper {
 public:
  SignalKeeper() { sigaction(SIGPIPE, nullptr, &saved_); }
  ~SignalKeeper() { sigaction(SIGPIPE, &saved_, nullptr); }
  SignalKeeper(const SignalKeeper&) = delete;
  SignalKeeper& operator=(const SignalKeeper&) = delete;

 private:
  struct sigaction saved_ {};
};

void put_answer(const Answer& answer, httplib::Response& response) {
  response.status = answer.status;
  if (answer.is_deprecated) {
    response.set_header("Deprecation", "true");
  }
  if (!answer.body.empty()) {
    response.set_content(answer.body, answer.content_type);
  }
}

/// RFC 9110 section 8.6: no Content-Length with 204. Keep-Alive would promise a time-out that does not exist. An answer
/// before a close has no Connection header, the only form besides keep-alive that clients of the API know.
void polish(const httplib::Request& /*request*/, httplib::Response& response) {
  response.headers.erase("Keep-Alive");
  if (response.status == kStatusNoContent) {
    response.headers.erase("Content-Length");
    response.headers.erase("Content-Type");
  }
  if (response.headers.erase("Connection") == 0) {
    response.set_header("Connection", "keep-alive");
  }
  response.set_header("Server", kServerName);
}

}  // namespace

class HttpEngine::Library : private httplib::Server {
 public:
  using Answerer = std::function<Answer()>;

  Library() {
    set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      put_answer(current_answerer()(), response);
      static_cast<void>(request);
      return HandlerResponse::Handled;
    });
    set_post_routing_handler(polish);
    // Nothing of ours throws; what a library throws is answered like any other refusal.
    set_exception_handler(
        [](const httplib::Request& request, httplib::Response& response, const std::exception_ptr& error) {
          put_answer(http_fault("The request could not be carried out because of an internal error."), response);
          static_cast<void>(request);
          static_cast<void>(error);
        });
  }

  std::string exchange(Method method, AfterAnswer after, const Answerer& answerer) {
    MemoryStream stream(std::string(name_of(method)) + " / HTTP/1.1\r\n\r\n");
    bool is_closed = false;
    current_answerer() = answerer;
    process_request(stream, after == AfterAnswer::Close, is_closed, nullptr);
    current_answerer() = nullptr;
    return stream.take_output();
  }

 private:
  /// The library has no room for a caller's context; an exchange runs on one thread from begin to end.
  static Answerer& current_answerer() {
    thread_local Answerer answerer;
    return answerer;
  }
};

HttpEngine::HttpEngine() {
  const SignalKeeper keeper;
  library_ = std::make_unique<Library>();
}

HttpEngine::~HttpEngine() = default;

std::string HttpEngine::respond(const HttpRequest& request, Responder& responder, std::vector<Fd> descriptors) {
  return library_->exchange(request.method, AfterAnswer::KeepOpen,
                            [&] { return responder.answer(request, std::move(descriptors)); });
}

std::string HttpEngine::respond(const Answer& answer, AfterAnswer after) {
  return library_->exchange(Method::Get, after, [&] { return answer; });
}

const std::string& continue_response() {
  static const std::string response =
      std::string("HTTP/1.1 100 Continue\r\nServer: ") + kServerName + "\r\nConnection: keep-alive\r\n\r\n";
  return response;
}

const std::string& too_many_connections_response() {
  static const std::string response = std::string("HTTP/1.1 503 Service Unavailable\r\nServer: ") + kServerName +
                                      "\r\nConnection: close\r\nContent-Length: 40\r\n\r\n" +
                                      R"({ "error": "Too many open connections" })";
  return response;
}

}  // namespace wisp::api

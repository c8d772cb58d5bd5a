// Fuzz target: everything that an API client can send.
//
// The input is taken three times: as the bytes of a connection (in pieces, whose size its first byte chooses), as the
// body of every route, and as a configuration file. Whatever comes, each message has one answer of the promised form,
// and a command that reaches the controller keeps the promises of its type.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "api/config_file.h"
#include "api/http_engine.h"
#include "api/request_reader.h"
#include "api/router.h"
#include "api/routes.h"
#include "api/unicode.h"
#include "vmm/base/assert.h"
#include "vmm/base/log.h"

namespace {

using namespace wisp;
using namespace wisp::api;

constexpr std::size_t kPayloadLimitBytes = 4096;

bool has_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

/// Checks what the codecs promise, and answers by turns with success and refusal.
class CheckingPort final : public CommandPort {
 public:
  Result<Reply> execute(Command command) override {
    std::visit([](const auto& message) { check(message); }, command);
    refuses_ = !refuses_;
    if (refuses_) {
      return Error(ErrorCode::WrongState, "refused \xff with bytes that are not UTF-8");
    }
    return Reply(FullConfig{});
  }

  template <typename Message>
  static void check(const Message& /*message*/) {}
  static void check(const PutMachineConfig& message) { WISP_ASSERT(message.config.memory_mib <= kMaxMemoryMib); }
  static void check(const PatchMachineConfig& message) {
    WISP_ASSERT(message.patch.memory_mib.value_or(0) <= kMaxMemoryMib);
  }
  static void check(const PutBootSource& message) {
    WISP_ASSERT(!has_nul(message.config.kernel_image_path));
    WISP_ASSERT(!has_nul(message.config.initrd_path.value_or("")));
    WISP_ASSERT(!has_nul(message.config.boot_args.value_or("")));
  }
  static void check(const PutDrive& message) {
    WISP_ASSERT(!message.config.drive_id.empty() && has_only_id_characters(message.config.drive_id));
    WISP_ASSERT(!has_nul(message.config.path_on_host));
  }

 private:
  bool refuses_ = true;
};

void check_answer(const Answer& answer) {
  if (answer.status == kStatusNoContent) {
    WISP_ASSERT(answer.body.empty());
    return;
  }
  WISP_ASSERT(answer.status == kStatusOk || answer.status == kStatusBadRequest);
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  WISP_ASSERT(body.is_object());
  if (answer.status == kStatusBadRequest) {
    WISP_ASSERT(!body.begin()->get<std::string>().empty());
  }
}

void check_response(const std::string& response) {
  const bool has_known_status = response.starts_with("HTTP/1.1 200 ") || response.starts_with("HTTP/1.1 204 ") ||
                                response.starts_with("HTTP/1.1 400 ");
  WISP_ASSERT(has_known_status && response.find("\r\n\r\n") != std::string::npos);
}

void as_connection(std::string_view input, Router& router, HttpEngine& engine) {
  const std::size_t piece_bytes = input.empty() ? 1 : 1 + static_cast<unsigned char>(input.front());
  RequestReader reader(kPayloadLimitBytes);
  bool is_over = false;
  while (!input.empty() && !is_over) {
    reader.feed(input.substr(0, piece_bytes));
    input.remove_prefix(std::min(piece_bytes, input.size()));
    for (Outcome outcome = reader.next(); outcome.kind != OutcomeKind::NeedMore; outcome = reader.next()) {
      if (outcome.kind == OutcomeKind::Ready) {
        WISP_ASSERT(outcome.request.body.size() <= kPayloadLimitBytes);
        WISP_ASSERT(is_utf8(outcome.request.path) && outcome.request.path.size() < kMaxRequestLineBytes);
        check_response(engine.respond(outcome.request, router));
      } else if (outcome.kind != OutcomeKind::SendContinue) {
        is_over = outcome.kind == OutcomeKind::Fault;
        check_response(engine.respond(http_fault(outcome.error), AfterAnswer::KeepOpen));
      }
    }
  }
}

void as_body(std::string_view input, Router& router) {
  for (const Route& route : routes()) {
    const std::string second(route.rule == SecondToken::Id ? "d1" : route.second);
    check_answer(router.answer({route.method, "/" + std::string(route.first) + "/" + second, std::string(input)}));
  }
}

void as_config_file(std::string_view input) {
  CheckingPort port;
  auto file = parse_config_file(input);
  if (!file.ok()) {
    WISP_ASSERT(!file.error().text().empty());
    return;
  }
  for (Command& command : file.value().commands) {
    static_cast<void>(port.execute(std::move(command)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  LogSettings quiet;
  quiet.max_level = 0;
  log::configure(quiet);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static HttpEngine engine;
  CheckingPort port;
  ApiMetrics metrics;
  Router router(port, metrics);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  as_connection(input, router, engine);
  if (size <= kPayloadLimitBytes) {
    as_body(input, router);
  }
  as_config_file(input);
  return 0;
}

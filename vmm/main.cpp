// wisp: the monitor's program. Reads the command line, makes the loop, the controller and the API, and waits for the
// end.
//
// Order: answer --help and --version; logger; signals; metrics; the API socket (so that a client finds it early); the
// configuration file; then the loop. Nothing touches KVM before the machine is started.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "api/codec_doctor.h"
#include "api/codec_reply.h"
#include "api/config_file.h"
#include "api/metrics.h"
#include "api/metrics_page.h"
#include "api/seccomp_source.h"
#include "api/server.h"
#include "jailer/seccomp/filters.h"
#include "vmm/base/arguments.h"
#include "vmm/base/clock.h"
#include "vmm/base/confinement.h"
#include "vmm/base/log.h"
#include "vmm/base/trace.h"
#include "vmm/base/version.h"
#include "vmm/cli/console_keys.h"
#include "vmm/cli/doctor_command.h"
#include "vmm/cli/hardening.h"
#include "vmm/cli/help_commands.h"
#include "vmm/cli/monitor_metrics.h"
#include "vmm/cli/options.h"
#include "vmm/cli/process.h"
#include "vmm/cli/run_options.h"
#include "vmm/cli/seccomp_command.h"
#include "vmm/cli/snapshot_commands.h"
#include "vmm/cli/syscall_fault.h"
#include "vmm/control/controller.h"
#include "vmm/control/logger_config.h"
#include "vmm/legacy/terminal.h"

namespace wisp {
namespace {

/// How long the end of the process waits for answers that are being sent.
constexpr std::uint64_t kLastAnswersMs = 100;
constexpr std::uint64_t kNsPerUs = 1000;
constexpr std::size_t kMaxConfigFileBytes = 1024 * 1024;

/// The sanitizers make system calls of their own that no policy foresees.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kFiltersFitThisBuild = false;
#else
constexpr bool kFiltersFitThisBuild = true;
#endif

/// Says the reason on standard error and in the log; the caller returns the code.
ExitCode fail(ExitCode code, const std::string& text) {
  std::fprintf(stderr, "Error: %s\n", text.c_str());
  WISP_LOG(Error, "wisp exiting with error. exit_code=%d: %s", to_int(code), text.c_str());
  return code;
}

/// Reads a whole small file.
Result<std::string> read_text_file(const std::string& object, const std::string& path) {
  const Fd fd = WISP_TRY(open_data_file(object, path, Access::ReadOnly, FileKind::Regular));
  std::string text;
  std::vector<char> buffer(64 * 1024);
  for (;;) {
    const ssize_t count = ::read(fd.raw(), buffer.data(), buffer.size());
    if (count < 0) {
      return Error::host(errno, "cannot read the " + object + " '" + path + "'");
    }
    if (count == 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxConfigFileBytes) {
      return Error(ErrorCode::LimitExceeded, "the " + object + " '" + path + "' is larger than 1 MiB");
    }
  }
}

/// What `wisp run` asks for, as a configuration file.
std::string configuration_text(const FullConfig& machine) {
  return api::reply_body(Reply(machine));
}

/// The parts of the process, made in order and never taken apart: the process ends by _exit.
class Monitor final : public EventHandler {
 public:
  Monitor(Options options, std::uint64_t main_ns) : options_(std::move(options)), main_ns_(main_ns) {}

  /// Everything up to the first turn of the loop; then the loop, until the machine or a signal ends it.
  ExitCode run() {
    if (Status status = prepare(); !status.ok()) {
      return fail(exit_code_, status.error().text());
    }
    if (Status status = fill_metadata(); !status.ok()) {
      return fail(ExitCode::GenericError, status.error().text());
    }
    if (Status status = configure_from_file(); !status.ok()) {
      (void)controller_->metrics_sink().flush();
      const ExitCode code = fail(ExitCode::GenericError, status.error().text());
      if (options_.machine) {
        std::fputs("`wisp doctor` tells whether this host can run machines.\n", stderr);
      }
      return code;
    }
    loop_->run();
    return finish();
  }

 private:
  Status prepare() {
    // First of all: what is opened before could get the number of a descriptor that is not there.
    auto inherited = WISP_TRY(claim_inherited(options_.inherited));
    (void)WISP_TRY(open_trace());
    trace::phase("process");
    (void)WISP_TRY(configure_logger());
    WISP_LOG(Info, "Running wisp v%s", kWispVersion);
    (void)WISP_TRY(harden());
    (void)WISP_TRY(choose_filters());
    signals_ = WISP_TRY(install_signal_handlers(metrics_.signals, RawTerminal::restore));
    reserve_descriptor_table();
    loop_ = WISP_TRY(EventLoop::create());
    (void)WISP_TRY(loop_->watch(signals_.ref(), Interest::Readable, *this));
    controller_ = std::make_unique<VmController>(
        *loop_, metrics_.registry, metrics_.machine,
        ControllerOptions{options_.instance_id, options_.boot_timer, options_.mmds_limit_bytes,
                          [](const FullConfig& config) { return api::reply_body(Reply(config)); }, facts_,
                          std::move(inherited)},
        [this](ExitCode code) { end(code); });
    metrics_.register_all(controller_->metrics_sink());
    if (options_.metrics_path) {
      (void)WISP_TRY(controller_->metrics_sink().configure(MetricsConfig{*options_.metrics_path, false, {}}));
    }
    record_start_times();
    trace::phase("API socket");
    if (options_.api == ApiUse::On) {
      (void)WISP_TRY(start_api());
    }
    (void)WISP_TRY(start_metrics_socket());
    if (options_.console == ConsoleUse::Interactive) {
      keys_ = WISP_TRY(ConsoleKeys::take_over_terminal(*loop_, [this] { end(ExitCode::Ok); }));
    }
    // After the API's threads, which need other calls than this one; before anything of a client or a file is looked
    // at.
    confine_this_thread(ThreadKind::Setup);
    controller_->prefetch();
    trace::phase("configuration");
    return {};
  }

  /// The custom filters are read later, but the file is one of the command line.
  PathRules path_rules() const {
    PathRules rules{options_.allowed_folders, {}, options_.api == ApiUse::On ? options_.api_socket : ""};
    for (const auto& each : {options_.config_file, options_.metadata_file, options_.metrics_path,
                             options_.logger.log_path, options_.seccomp_filter}) {
      if (each) {
        rules.files.push_back(*each);
      }
    }
    return rules;
  }

  Status open_trace() {
    if (!options_.trace_file) {
      return {};
    }
    trace::Beginning beginning{.main_ns = main_ns_, .instance_id = options_.instance_id};
    if (options_.start_time_us) {
      beginning.jailer_ns = *options_.start_time_us * kNsPerUs;
    }
    return trace::open(*options_.trace_file, beginning);
  }

  Status harden() {
    const HardeningReport report = WISP_TRY(harden_process(path_rules()));
    for (const std::string& each : report.missing) {
      WISP_LOG(Warn, "This kernel has no %s; wisp runs without it.", each.c_str());
    }
    WISP_LOG(Debug, "Landlock ABI %d is in force.", report.landlock_abi);
    facts_.landlock_abi = report.landlock_abi;
    return {};
  }

  Status choose_filters() {
    if (options_.seccomp_filter) {
      custom_filters_ = WISP_TRY(seccomp::read_filter_file(*options_.seccomp_filter));
    }
    if (options_.seccomp == SeccompUse::Off || !kFiltersFitThisBuild) {
      WISP_LOG(Warn,
               "There are no system call filters: a guest that breaks wisp can ask the host's kernel for anything.");
      return {};
    }
    seccomp::use(options_.seccomp_filter
                     ? seccomp::FilterSet::custom(custom_filters_, seccomp::IUnderstandThisRemovesContainment{})
                     : seccomp::FilterSet::built_in());
    facts_.filters = SystemCallFilters::On;
    current_ = this;
    set_last_words([] { current_->speak_last_words(); });
    return {};
  }

  void speak_last_words() {
    if (const SyscallFault* fault = refused_call()) {
      WISP_LOG(Error,
               "Shutting down VM after intercepting a bad syscall (%d): %s, arguments 0x%llx, 0x%llx, ..., "
               "thread kind %s.",
               fault->number, name_of(*fault), static_cast<unsigned long long>(fault->first_argument),
               static_cast<unsigned long long>(fault->second_argument), to_string(fault->kind));
    }
    if (controller_ != nullptr) {
      (void)controller_->metrics_sink().flush();
    }
  }

  Status configure_logger() {
    log::set_instance_id(options_.instance_id);
    // Without logger arguments the defaults stand; applying them would cost nothing but says nothing either.
    return apply_logger_config(options_.logger);
  }

  void record_start_times() {
    if (options_.start_time_us) {
      metrics_.api_server.process_startup_time_us.set(monotonic_us() -
                                                      std::min(monotonic_us(), *options_.start_time_us));
    }
    if (options_.start_time_cpu_us) {
      const std::uint64_t used_us =
          process_cpu_time_us() - std::min(process_cpu_time_us(), *options_.start_time_cpu_us);
      metrics_.api_server.process_startup_time_cpu_us.set(used_us + options_.parent_cpu_time_us);
    }
  }

  Status start_api() {
    api_ = WISP_TRY(ApiServer::create(ApiOptions{options_.api_socket, options_.max_payload_bytes, {}}, *controller_));
    api::api_metrics().register_in(metrics_.registry);
    (void)WISP_TRY(api_->start());
    return {};
  }

  Status start_metrics_socket() {
    if (!options_.metrics_socket) {
      return {};
    }
    metrics_server_ =
        WISP_TRY(ApiServer::create(api::metrics_socket_options(*options_.metrics_socket),
                                   std::make_unique<api::MetricsPage>(metrics_.registry, options_.instance_id)));
    return metrics_server_->start();
  }

  Status fill_metadata() {
    if (!options_.metadata_file) {
      return {};
    }
    std::string json = WISP_TRY(read_text_file("metadata file", *options_.metadata_file));
    return submit_and_expect_success(PutMmds{std::move(json)}, "Populating the metadata store from file failed: ");
  }

  Status configure_from_file() {
    if (!options_.config_file && !options_.machine) {
      return {};
    }
    const bool is_run = options_.machine.has_value();
    const char* const configuring = is_run ? "" : "Configuration for VMM from one single json failed: ";
    const char* const starting = is_run ? "" : "Could not Start MicroVM from one single json: ";
    const std::string text = is_run ? configuration_text(*options_.machine)
                                    : WISP_TRY(read_text_file("configuration file", *options_.config_file));
    auto commands = parse_config_file(text);
    if (!commands.ok()) {
      return std::move(commands).error().with_prefix(configuring);
    }
    for (Command& command : std::move(commands).value().commands) {
      (void)WISP_TRY(submit_and_expect_success(std::move(command), configuring));
    }
    (void)WISP_TRY(submit_and_expect_success(InstanceStart{}, starting));
    if (options_.api == ApiUse::Off && !close_file_system()) {  // there is nobody who could name another file
      WISP_LOG(Debug, "Without Landlock this kernel lets wisp open files that it does not need any more.");
    }
    return {};
  }

  Status submit_and_expect_success(Command command, const char* prefix) {
    Status status;
    // Configuration commands and the start are carried out before submit() returns.
    controller_->submit(std::move(command), [&](Result<Reply> reply) {
      if (!reply.ok()) {
        status = std::move(reply).error().with_prefix(prefix);
      }
    });
    return status;
  }

  void on_event(std::uint32_t /*events*/) override {
    unsigned char number = 0;
    if (::read(signals_.raw(), &number, 1) == 1) {
      count_signal(metrics_.signals, number);
      if (refused_call() != nullptr) {
        speak_last_words();
        ::_exit(to_int(ExitCode::BadSyscall));  // a thread that may be in hostile hands is still waiting
      }
      WISP_LOG(Error, "Shutting down VM after intercepting signal %u.", number);
      end(exit_code_of(number));
    }
  }

  void end(ExitCode code) {
    exit_code_ = code;
    loop_->stop();
  }

  /// The request that made the guest end (InstanceStart of a guest that resets at once, say) is answered first.
  void finish_answers() {
    const std::uint64_t deadline_us = monotonic_us() + kLastAnswersMs * 1000;
    while (api_ != nullptr && api_->unanswered_count() > 0 && monotonic_us() < deadline_us) {
      loop_->run_once(1);
    }
  }

  ExitCode finish() {
    finish_answers();
    (void)controller_->metrics_sink().flush();
    trace::write();
    if (exit_code_ == ExitCode::Ok) {
      WISP_LOG(Info, "wisp exiting successfully. exit_code=0");
    } else {
      WISP_LOG(Error, "wisp exiting with error. exit_code=%d", to_int(exit_code_));
      tell_why();
    }
    return exit_code_;
  }

  /// `wisp run` has no log unless asked for.
  void tell_why() const {
    if (options_.machine) {
      std::fprintf(stderr,
                   "\r\nwisp: the machine has ended, exit code %d. Run it with --log-path FILE to learn why.\r\n",
                   to_int(exit_code_));
    }
  }

  /// For the signal handler, which can reach nothing but globals.
  static inline Monitor* current_ = nullptr;

  Options options_;
  seccomp::FilterMap custom_filters_;
  std::uint64_t main_ns_;
  ExitCode exit_code_ = ExitCode::GenericError;
  ProcessFacts facts_;
  MonitorMetrics metrics_;
  Fd signals_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<VmController> controller_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<ConsoleKeys> keys_;  ///< wisp run on a terminal
  std::unique_ptr<ApiServer> metrics_server_;
};

ExitCode print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return ExitCode::Ok;
}

ExitCode main_with(std::span<char* const> words, std::string_view called_as) {
  const std::uint64_t main_ns = monotonic_clock().now_ns();
  for (const auto& answer : {command_help(words), early_answer(words, called_as)}) {
    if (answer) {
      return print(*answer);
    }
  }
  const auto describe = [](const FullConfig& config) { return api::reply_body(Reply(config)); };
  if (const auto code = run_snapshot_command(words, describe)) {
    return *code;
  }
  if (const auto code = run_help_command(words)) {
    return *code;
  }
  const std::string_view command = words.empty() ? "" : words[0];
  if (command == "doctor") {
    return run_doctor_command(words.subspan(1), api::doctor_report_json);
  }
  if (command == "seccomp") {
    return run_seccomp_command(words.subspan(1), api::compile_seccomp_source);
  }
  auto parsed = command == "run" ? parse_run_options(words.subspan(1)) : parse_options(words);
  if (!parsed.ok()) {
    std::fprintf(stderr, "%s\n", parsed.error().text.c_str());
    return parsed.error().code;
  }
  Options options = std::move(parsed).value();
  if (options.print_config == PrintConfig::Yes) {
    return print(configuration_text(*options.machine) + "\n");
  }
  // Leaked on purpose: vCPU and API threads may still use its parts when the process ends by _exit.
  auto* monitor = new Monitor(std::move(options), main_ns);
  return monitor->run();
}

}  // namespace
}  // namespace wisp

int main(int argc, char** argv) {
  // One arena: per-thread arenas cost resident memory, and no thread of ours allocates on a data path.
  ::mallopt(M_ARENA_MAX, 1);
  const wisp::ExitCode code =
      wisp::main_with(std::span(argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)), argc > 0 ? argv[0] : "");
  wisp::RawTerminal::restore();
  // Not exit(): threads are running, and taking a VM apart politely only delays the client that waits for us.
  ::_exit(wisp::to_int(code));
}

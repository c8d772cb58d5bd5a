#include "vmm/cli/run_options.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/cli/words.h"

namespace wisp {
namespace {

Options parsed(std::initializer_list<const char*> words) {
  const Words line(words);
  OptionsResult result = parse_run_options(line.view());
  INFO((result.ok() ? "" : result.error().text));
  REQUIRE(result.ok());
  return std::move(result).value();
}

std::string refusal(std::initializer_list<const char*> words) {
  const Words line(words);
  const OptionsResult result = parse_run_options(line.view());
  REQUIRE(!result.ok());
  CHECK(result.error().code == ExitCode::ArgumentParsing);
  return result.error().text;
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a kernel alone gives one processor, 512 MiB, entropy, a console, no API and no log") {
  const Options options = parsed({"--kernel", "k"});
  REQUIRE(options.machine);
  CHECK(options.machine->machine.vcpu_count == 1);
  CHECK(options.machine->machine.memory_mib == 512);
  CHECK(options.machine->boot_source->kernel_image_path == "k");
  CHECK(options.machine->boot_source->boot_args == "console=ttyS0 reboot=k panic=1");
  CHECK(options.machine->entropy);
  CHECK(options.machine->drives.empty());
  CHECK(options.api == ApiUse::Off);
  CHECK(options.seccomp == SeccompUse::On);
  CHECK(options.console == ConsoleUse::Interactive);
  CHECK(options.logger.level == LogLevel::Off);
}

TEST_CASE("every argument of wisp run arrives in the configuration") {
  const Options options = parsed({"--kernel",       "k",        "--initrd",  "i",
                                  "--rootfs",       "r:ro",     "--drive",   "a",
                                  "--drive",        "b:rw",     "--cpus",    "32",
                                  "--memory",       "2G",       "--cmdline", "quiet",
                                  "--tap",          "tap0",     "--tap",     "tap1:06:00:00:00:00:aF",
                                  "--vsock",        "3:/tmp/v", "--entropy", "off",
                                  "--api-sock",     "/tmp/s",   "--id",      "x",
                                  "--log-path",     "l",        "--level",   "debug",
                                  "--print-config", "--",       "single",    "-q"});
  const FullConfig& machine = *options.machine;
  CHECK(machine.machine.vcpu_count == 32);
  CHECK(machine.machine.memory_mib == 2048);
  CHECK(machine.boot_source->initrd_path == "i");
  CHECK(machine.boot_source->boot_args == "console=ttyS0 reboot=k panic=1 quiet -- single -q");
  REQUIRE(machine.drives.size() == 3);
  CHECK(machine.drives[0].drive_id == "rootfs");
  CHECK(machine.drives[0].path_on_host == "r");
  CHECK(machine.drives[0].is_root_device);
  CHECK(machine.drives[0].is_read_only);
  CHECK(machine.drives[1].path_on_host == "a");
  CHECK(machine.drives[2].drive_id == "drive2");
  CHECK(machine.drives[2].path_on_host == "b");
  CHECK_FALSE(machine.drives[2].is_read_only);
  REQUIRE(machine.network_interfaces.size() == 2);
  CHECK(machine.network_interfaces[0].iface_id == "eth0");
  CHECK_FALSE(machine.network_interfaces[0].guest_mac);
  CHECK(machine.network_interfaces[1].host_dev_name == "tap1");
  CHECK(mac_text(*machine.network_interfaces[1].guest_mac) == "06:00:00:00:00:af");
  CHECK(machine.vsock->guest_cid == 3);
  CHECK(machine.vsock->uds_path == "/tmp/v");
  CHECK_FALSE(machine.entropy);
  CHECK(options.api == ApiUse::On);
  CHECK(options.api_socket == "/tmp/s");
  CHECK(options.instance_id == "x");
  CHECK(options.logger.log_path == "l");
  CHECK(options.logger.level == LogLevel::Debug);
  CHECK(options.print_config == PrintConfig::Yes);
}

TEST_CASE("a log path alone logs from Info on") {
  CHECK(parsed({"--kernel", "k", "--log-path", "l"}).logger.level == LogLevel::Info);
}

TEST_CASE("wisp run refuses what it cannot do, by name and with the remedy") {
  CHECK(says(refusal({}), "--kernel is missing: give"));
  CHECK(says(refusal({"k"}), "'k'"));
  CHECK(says(refusal({"--kernel", "k", "--cpus", "0"}), "--cpus '0': give a number from 1 to 32"));
  CHECK(says(refusal({"--kernel", "k", "--cpus", "33"}), "--cpus '33'"));
  CHECK(says(refusal({"--kernel", "k", "--cpus", "257"}), "--cpus '257'"));
  CHECK(says(refusal({"--kernel", "k", "--cpus", "two"}), "--cpus 'two'"));
  CHECK(says(refusal({"--kernel", "k", "--entropy", "maybe"}), "give on or off"));
  CHECK(says(refusal({"--kernel", "k", "--rootfs", ":ro"}), "Give PATH"));
  CHECK(says(refusal({"--kernel", "k", "--id", "a b"}), "Invalid instance ID"));
  CHECK(says(refusal({"--kernel", "k", "--level", "Info"}), "'log-path' required"));
  CHECK(says(refusal({"--kernel", "k", "--log-path", "l", "--level", "loud"}), "--level 'loud'"));
  CHECK(says(refusal({"--kernel", "k", "--kernel", "l"}), "more than once"));
}

TEST_CASE("memory sizes have an optional letter and an upper end") {
  CHECK(parse_memory_mib("1").value() == 1);
  CHECK(parse_memory_mib("512M").value() == 512);
  CHECK(parse_memory_mib("3G").value() == 3072);
  CHECK(parse_memory_mib("1024G").value() == kMaxStartableMemoryMib);
  for (const char* text :
       {"", "M", "0", "0G", "-1", "1.5G", "1T", "512MB", "1025G", "1048577", " 1", "99999999999999999999"}) {
    INFO(text);
    CHECK_FALSE(parse_memory_mib(text).ok());
  }
}

TEST_CASE("a path that ends in :ro can be written with :rw behind it") {
  CHECK(parse_drive("image:ro:rw").value().path_on_host == "image:ro");
  CHECK_FALSE(parse_drive("image:ro:rw").value().is_read_only);
}

TEST_CASE("malformed TAP and vsock words are refused") {
  for (const char* text : {"", ":06:00:00:00:00:01", "tap0:", "tap0:06:00:00:00:00", "tap0:zz:00:00:00:00:01"}) {
    INFO(text);
    CHECK_FALSE(parse_tap(text).ok());
  }
  for (const char* text : {"", "3", "3:", ":/p", "2:/p", "x:/p", "4294967296:/p"}) {
    INFO(text);
    CHECK_FALSE(parse_vsock(text).ok());
  }
  CHECK(parse_vsock("4294967295:/p").value().guest_cid == 4294967295U);
}

}  // namespace wisp

#include "vmm/control/metrics_sink.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>
#include <string>

namespace wisp {
namespace {

std::string read_all(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class TemporaryFile {
 public:
  TemporaryFile() { ::close(::mkstemp(path_.data())); }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/wisp-metrics-XXXXXX";
};

}  // namespace

TEST_CASE("a flush without a file succeeds and writes nothing") {
  MetricsRegistry registry;
  MetricsSink sink(registry, "id");
  CHECK(sink.flush().ok());
}

TEST_CASE("counters are the difference since the last flush") {
  const TemporaryFile file;
  MetricsRegistry registry;
  Counter counter;
  registry.add_group("group", {{"field", &counter}});
  MetricsSink sink(registry, "id");
  REQUIRE(sink.configure(MetricsConfig{file.path(), false, {}}).ok());
  counter.add(3);
  REQUIRE(sink.flush().ok());
  counter.add(1);
  REQUIRE(sink.flush().ok());
  const std::string text = read_all(file.path());
  CHECK(text.find("\"group\":{\"field\":3}}\n") != std::string::npos);
  CHECK(text.find("\"group\":{\"field\":1}}\n") != std::string::npos);
}

TEST_CASE("id and properties are written when asked for, escaped") {
  const TemporaryFile file;
  MetricsRegistry registry;
  MetricsSink sink(registry, "vm-1");
  REQUIRE(sink.configure(MetricsConfig{file.path(), true, {{"a\"b", "c\nd"}}}).ok());
  REQUIRE(sink.flush().ok());
  const std::string text = read_all(file.path());
  CHECK(text.find("\"id\":\"vm-1\"") != std::string::npos);
  CHECK(text.find(R"("properties":{"a\"b":"c\u000ad"})") != std::string::npos);
}

TEST_CASE("a second configuration is refused and the first stays") {
  const TemporaryFile first;
  const TemporaryFile second;
  MetricsRegistry registry;
  MetricsSink sink(registry, "id");
  REQUIRE(sink.configure(MetricsConfig{first.path(), false, {}}).ok());
  CHECK_FALSE(sink.configure(MetricsConfig{second.path(), false, {}}).ok());
  REQUIRE(sink.flush().ok());
  CHECK_FALSE(read_all(first.path()).empty());
  CHECK(read_all(second.path()).empty());
}

TEST_CASE("a full device is an error that is counted, not a stall") {
  MetricsRegistry registry;
  MetricsSink sink(registry, "id");
  REQUIRE(sink.configure(MetricsConfig{"/dev/full", false, {}}).ok());
  CHECK_FALSE(sink.flush().ok());
  CHECK(sink.own_metrics().metrics_fails.total() == 1);
}

}  // namespace wisp

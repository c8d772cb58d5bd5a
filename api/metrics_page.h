// MetricsPage: answers scrapers on the metrics socket (--metrics-sock), and nothing else.
//
//   auto server = WISP_TRY(ApiServer::create(metrics_socket_options(path), std::make_unique<MetricsPage>(registry,
//   id)));
//
// The page is made on the thread of the connection from atomic counters; neither the event loop nor a vCPU waits for
// it. A scraper that is silent, slow or too many loses its connection, by the limits below.
#pragma once

#include <string>

#include "api/router.h"
#include "api/server.h"
#include "vmm/base/metrics.h"

namespace wisp::api {

inline constexpr std::size_t kMaxScrapers = 4;
/// For a whole request, for the silence before it, and for taking the page.
inline constexpr std::uint64_t kScrapeDeadlineMs = 5000;

class MetricsPage final : public Responder {
 public:
  MetricsPage(MetricsRegistry& registry, std::string instance_id)
      : registry_(registry), instance_id_(std::move(instance_id)) {}

  /// GET /metrics; callable from any thread.
  using Responder::answer;
  Answer answer(const HttpRequest& request, std::vector<Fd> descriptors) override;

 private:
  MetricsRegistry& registry_;
  std::string instance_id_;
};

ApiOptions metrics_socket_options(std::string path);

}  // namespace wisp::api

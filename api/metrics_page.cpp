#include "api/metrics_page.h"

#include <utility>

#include "vmm/base/openmetrics.h"

namespace wisp::api {

Answer MetricsPage::answer(const HttpRequest& request, std::vector<Fd> /*descriptors*/) {
  if (request.method != Method::Get || split_path(request.path).first != "metrics") {
    return http_fault("This socket answers GET /metrics only.");
  }
  Answer page{kStatusOk, openmetrics_text(registry_, {instance_id_}), false};
  page.content_type = kOpenMetricsType;
  return page;
}

ApiOptions metrics_socket_options(std::string path) {
  ApiOptions options;
  options.socket_path = std::move(path);
  options.socket = {"metrics socket", "--metrics-sock"};
  options.max_connections = kMaxScrapers;
  options.limits.request_deadline_ms = kScrapeDeadlineMs;
  options.limits.write_deadline_ms = kScrapeDeadlineMs;
  options.limits.idle_deadline_ms = kScrapeDeadlineMs;
  return options;
}

}  // namespace wisp::api

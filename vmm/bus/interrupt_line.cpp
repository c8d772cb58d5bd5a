#include "vmm/bus/interrupt_line.h"

namespace wisp {

InterruptMetrics& interrupt_metrics() {
  static InterruptMetrics metrics;
  return metrics;
}

Result<std::unique_ptr<InterruptLine>> InterruptLine::create() {
  return std::make_unique<InterruptLine>(WISP_TRY(EventFd::create()));
}

}  // namespace wisp

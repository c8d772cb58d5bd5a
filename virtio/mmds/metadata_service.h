// MetadataService: what the guest gets over HTTP from the metadata store.
//
//   frames --> MetadataEndpoint (one per network interface: ARP, TCP) --> MetadataService::answer(request) --> store
//
//   auto service = WISP_TRY(MetadataService::create(config, store, instance_id, loop, clock, metrics));
//   net_device.set_detour(WISP_TRY(service->attach()));
//
// GET reads a value of the store, PUT /latest/api/token makes a token, anything else is refused. Version 1 answers
// every GET, version 2 only those with a token. PUT with X-Forwarded-For is refused in both: a proxy in the guest must
// not fetch tokens for strangers. The store is read at the moment of the request, so a change by the operator shows at
// once. Everything runs on the loop's thread; the service outlives its endpoints.
#pragma once

#include <memory>
#include <string>

#include "virtio/mmds/frame_detour.h"
#include "virtio/mmds/http_request.h"
#include "virtio/mmds/metadata_store.h"
#include "virtio/mmds/metrics.h"
#include "virtio/mmds/token.h"
#include "vmm/base/clock.h"
#include "vmm/base/result.h"
#include "vmm/config/mmds.h"
#include "vmm/events/event_loop.h"

namespace wisp {

/// An answer: the head, with the text of an error behind it, and a shared body.
struct MetadataAnswer {
  std::string head;
  SharedText body;
  mmds::Persistence persistence = mmds::Persistence::KeepAlive;
};

class MetadataService {
 public:
  static Result<std::unique_ptr<MetadataService>> create(const MmdsConfig& config, MetadataStore& store,
                                                         std::string instance_id, EventLoop& loop, const Clock& clock,
                                                         MmdsMetrics& metrics);

  /// The neighbour for one more network interface.
  Result<std::unique_ptr<FrameDetour>> attach();

  MetadataAnswer answer(const mmds::HttpRequest& request);
  /// To a request that cannot be read; the connection is closed behind it.
  static MetadataAnswer refuse(const std::string& defect);

  const Ipv4Address& address() const { return address_; }
  MmdsMetrics& metrics() { return metrics_; }

 private:
  MetadataService(const MmdsConfig& config, MetadataStore& store, mmds::TokenAuthority tokens, EventLoop& loop,
                  const Clock& clock, MmdsMetrics& metrics);
  MetadataAnswer answer_get(const mmds::HttpRequest& request);
  MetadataAnswer answer_put(const mmds::HttpRequest& request);
  MetadataAnswer answer_token(const mmds::HttpRequest& request);

  MmdsVersion version_;
  Ipv4Address address_;
  bool imds_compat_;
  MetadataStore& store_;
  mmds::TokenAuthority tokens_;
  EventLoop& loop_;
  const Clock& clock_;
  MmdsMetrics& metrics_;
};

}  // namespace wisp

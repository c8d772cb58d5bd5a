#include "virtio/vsock/packet.h"

namespace wisp {

VsockPacket parse_tx_packet(const DescriptorChain& chain) {
  VsockPacket packet;
  if (chain.defect() != ChainDefect::None) {
    packet.defect = PacketDefect::BadChain;
    return packet;
  }
  packet.payload = chain.reader();
  const auto header = packet.payload.read<VsockHeader>();
  if (!header) {
    packet.defect = PacketDefect::HeaderTooShort;
    return packet;
  }
  packet.header = *header;
  if (header->length > kMaxVsockPayloadBytes) {
    packet.defect = PacketDefect::PayloadTooLong;
  } else if (header->length > packet.payload.size_bytes()) {
    packet.defect = PacketDefect::LengthBeyondChain;
  }
  return packet;
}

}  // namespace wisp

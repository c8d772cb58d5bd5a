#include "virtio/block/request.h"

#include <optional>

#include "vmm/base/checked.h"

namespace wisp {
namespace {

// Request types (virtio 1.2 section 5.2.6). Discard (11), write zeroes (13) and the others are not offered.
constexpr std::uint32_t kTypeIn = 0;
constexpr std::uint32_t kTypeOut = 1;
constexpr std::uint32_t kTypeFlush = 4;
constexpr std::uint32_t kTypeGetId = 8;

BlockOp op_of(std::uint32_t type) {
  switch (type) {
    case kTypeIn: return BlockOp::Read;
    case kTypeOut: return BlockOp::Write;
    case kTypeFlush: return BlockOp::Flush;
    case kTypeGetId: return BlockOp::GetId;
    default: return BlockOp::Unsupported;
  }
}

RequestDefect check_transfer(std::uint32_t data_bytes, std::uint64_t sector, const DiskShape& disk) {
  if (data_bytes == 0) {
    return RequestDefect::NoData;
  }
  if (data_bytes % kSectorSizeBytes != 0) {
    return RequestDefect::DataNotSectors;
  }
  if (data_bytes > kMaxRequestBytes) {
    return RequestDefect::DataTooLong;
  }
  return range_fits(sector, data_bytes / kSectorSizeBytes, disk.sector_count) ? RequestDefect::None
                                                                              : RequestDefect::OutsideDisk;
}

RequestDefect check(const BlockRequest& request, std::uint64_t sector, const DiskShape& disk) {
  switch (request.op) {
    case BlockOp::Read: return check_transfer(request.target.size_bytes(), sector, disk);
    case BlockOp::Write:
      if (disk.access == Access::ReadOnly) {
        return RequestDefect::ReadOnlyDisk;
      }
      return check_transfer(request.source.size_bytes(), sector, disk);
    case BlockOp::GetId:
      return request.target.size_bytes() >= kDeviceIdBytes ? RequestDefect::None : RequestDefect::IdBufferTooShort;
    case BlockOp::Flush: return RequestDefect::None;
    case BlockOp::Unsupported: return RequestDefect::UnsupportedType;
  }
  return RequestDefect::UnsupportedType;
}

}  // namespace

BlockRequest parse_block_request(const DescriptorChain& chain, const DiskShape& disk) {
  BlockRequest request;
  request.target = chain.writer();
  if (request.target.empty()) {
    request.defect = RequestDefect::NoStatusByte;
    return request;
  }
  request.status = request.target.split_off(request.target.size_bytes() - 1);
  if (chain.defect() != ChainDefect::None) {
    request.defect = RequestDefect::BadChain;
    return request;
  }
  request.source = chain.reader();
  const auto header = request.source.read<BlockRequestHeader>();
  if (!header) {
    request.defect = RequestDefect::HeaderTooShort;
    return request;
  }
  request.op = op_of(header->type);
  request.defect = check(request, header->sector, disk);
  if (request.defect == RequestDefect::None && (request.op == BlockOp::Read || request.op == BlockOp::Write)) {
    request.offset_bytes = header->sector * kSectorSizeBytes;  // inside the disk, so it cannot wrap
  }
  return request;
}

}  // namespace wisp

// BlockRequest: what one descriptor chain asks of a disk (virtio 1.2 section 5.2.6).
//
//   readable bytes   header {type, reserved, sector}, then the data of a write
//   writable bytes   the data of a read, then the status: always the very last writable byte
//
// Framing means nothing (section 2.7.4): header, data and status may be cut into buffers anywhere. Bytes on the side
// that an operation does not use are ignored. parse_block_request is a pure function: the header is copied once and
// only the copy is looked at. A request that cannot be carried out has a defect, and the status that the driver gets
// for it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "virtio/block/disk_file.h"
#include "virtio/core/descriptor_chain.h"
#include "vmm/base/endian.h"

namespace wisp {

struct BlockRequestHeader {
  Le32 type;
  Le32 reserved;
  Le64 sector;
};
static_assert(sizeof(BlockRequestHeader) == 16 && offsetof(BlockRequestHeader, sector) == 8);
template <>
inline constexpr bool kIsGuestPod<BlockRequestHeader> = true;

/// The largest buffer (advertised as size_max) and with it the largest request that is carried out.
inline constexpr std::uint32_t kMaxSegmentBytes = 1U << 20U;
/// Buffers of data in one request (advertised as seg_max): the chain's limit less header and status.
inline constexpr std::uint32_t kMaxDataSegments = kMaxSegments - 2;
inline constexpr std::uint32_t kMaxRequestBytes = kMaxDataSegments * kMaxSegmentBytes;

enum class BlockOp : std::uint8_t { Read, Write, Flush, GetId, Unsupported };

/// The status byte (section 5.2.6).
enum class BlockStatus : std::uint8_t { Ok = 0, IoError = 1, Unsupported = 2 };

enum class RequestDefect : std::uint8_t {
  None,
  BadChain,          ///< see ChainDefect
  NoStatusByte,      ///< nothing writable: there is no place for an answer
  HeaderTooShort,    ///< fewer than 16 readable bytes
  NoData,            ///< a read without writable, or a write without readable data (wrong direction, for instance)
  DataNotSectors,    ///< not a multiple of 512 bytes
  DataTooLong,       ///< more than kMaxRequestBytes
  OutsideDisk,       ///< a sector at or beyond the capacity, or a sum that wraps
  ReadOnlyDisk,      ///< a write, whatever features the driver accepted
  IdBufferTooShort,  ///< fewer than 20 bytes for the identification
  UnsupportedType,   ///< discard, write zeroes, SCSI, anything not offered
};
inline constexpr std::size_t kRequestDefectCount = 11;

constexpr const char* request_defect_name(RequestDefect defect) {
  constexpr std::array<const char*, kRequestDefectCount> kNames = {
      "none",           "bad descriptor chain",   "no status byte",   "header too short",
      "no data",        "data not whole sectors", "data too long",    "outside the disk",
      "read-only disk", "id buffer too short",    "unsupported type",
  };
  return kNames[static_cast<std::size_t>(defect)];
}

constexpr BlockStatus status_of(RequestDefect defect) {
  switch (defect) {
    case RequestDefect::None: return BlockStatus::Ok;
    case RequestDefect::UnsupportedType: return BlockStatus::Unsupported;
    default: return BlockStatus::IoError;
  }
}

struct DiskShape {
  std::uint64_t sector_count = 0;
  Access access = Access::ReadWrite;
};

struct BlockRequest {
  BlockOp op = BlockOp::Unsupported;
  RequestDefect defect = RequestDefect::None;
  std::uint64_t offset_bytes = 0;  ///< of a read or write; inside the disk together with its data
  ChainReader source;              ///< the data of a write
  ChainWriter target;  ///< where the data of a read, or the identification, goes; never holds the status byte
  ChainWriter status;  ///< one byte; empty when there is none
};

/// The cursors point into the chain, which must live as long as the request.
BlockRequest parse_block_request(const DescriptorChain& chain, const DiskShape& disk);

}  // namespace wisp

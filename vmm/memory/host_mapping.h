// HostMapping: the host's side of one memory region, from mmap to munmap, and how its pages are given back.
//
//   HostMapping ram = WISP_TRY(HostMapping::anonymous(size, PageBacking::Normal));
//   ram.discard(0x1000, 0x2000);       // two pages fewer; they read as zeros from now on
//
// What discard() does depends on where the pages come from:
//   anonymous       MADV_DONTNEED; the next touch finds a zeroed page
//   private file    fresh anonymous memory is mapped over the range: without its private copy a page would show the
//                   file's bytes again
//   shared file     a hole is punched into the file, for everybody who shares it
// The range stays mapped, readable and writable all the time, for every thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "vmm/base/fd.h"

namespace wisp {

enum class PageBacking {
  Normal,       ///< 4 KiB pages
  Transparent,  ///< 4 KiB pages that the host may merge to 2 MiB
  Huge2M,       ///< from the host's pool of 2 MiB pages
};

enum class FileSharing {
  Private,  ///< the file gives the first contents and is never written (a snapshot's memory file)
  Shared,   ///< what the guest writes is in the file (memfd memory that another process maps, too)
};

/// Where the contents of a region come from, when not from nowhere.
struct RegionFile {
  FdRef fd;
  std::uint64_t offset_bytes = 0;  ///< a multiple of the page size
  FileSharing sharing = FileSharing::Private;
};

enum class DiscardOutcome {
  Done,
  OutsideMemory,  ///< nothing was touched
  HostRefused,    ///< some of it may be given back, some not
};

struct Discarded {
  DiscardOutcome outcome = DiscardOutcome::Done;
  std::uint64_t freed_bytes = 0;  ///< whole host pages of the range; 0 when it holds none

  bool done() const { return outcome == DiscardOutcome::Done; }
};

class HostMapping {
 public:
  /// Zeroed private memory, paid for when it is touched; 2 MiB pages are reserved in the host's pool at once.
  static Result<HostMapping> anonymous(std::uint64_t size_bytes, PageBacking backing);
  /// The file holds `size_bytes` from its offset on. The descriptor is duplicated.
  static Result<HostMapping> of_file(std::uint64_t size_bytes, const RegionFile& file, PageBacking backing);

  HostMapping(HostMapping&& other) noexcept;
  HostMapping& operator=(HostMapping&& other) noexcept;
  HostMapping(const HostMapping&) = delete;
  HostMapping& operator=(const HostMapping&) = delete;
  ~HostMapping() { unmap(); }

  std::byte* host() const { return host_; }
  /// The file that the mapping was made of; the descriptor lives as long as the mapping.
  std::optional<RegionFile> file() const;
  /// Gives back the whole pages inside [offset, offset + length), which lies inside the mapping (asserted).
  Discarded discard(std::uint64_t offset, std::uint64_t length) const;

 private:
  enum class Source { Anonymous, PrivateFile, SharedFile };

  HostMapping() = default;
  Status map(int flags, FdRef file, std::uint64_t file_offset);
  void advise(std::byte* start, std::uint64_t length) const;
  bool give_back(std::uint64_t offset, std::uint64_t length) const;
  void unmap();

  std::byte* host_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  PageBacking backing_ = PageBacking::Normal;
  Source source_ = Source::Anonymous;
  Fd file_;
  std::uint64_t file_offset_ = 0;
};

}  // namespace wisp

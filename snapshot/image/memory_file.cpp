#include "snapshot/image/memory_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <bit>
#include <cerrno>
#include <vector>

#include "snapshot/image/extents.h"
#include "vmm/base/checked.h"
#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

constexpr std::uint64_t kMinBlockBytes = 2 * 1024 * 1024;

Error bad_layout(const char* rule) {
  return Error(ErrorCode::Corrupt, std::string("The snapshot's memory regions are not valid: ") + rule);
}

bool blocks_are_valid(const RegionPlan& region) {
  const std::uint64_t block = region.block_size_bytes;
  return block == 0 || (std::has_single_bit(block) && block >= kMinBlockBytes && region.range.size_bytes % block == 0);
}

Result<std::uint64_t> size_of(FdRef fd, const std::string& name) {
  struct stat status {};
  if (::fstat(fd.raw(), &status) != 0) {
    return Error::host(errno, "cannot inspect the memory file '" + name + "'");
  }
  if (!S_ISREG(status.st_mode)) {
    return Error(ErrorCode::InvalidArgument, "the memory file '" + name + "' is not a regular file");
  }
  return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace

Status check_layout(std::span<const RegionPlan> regions) {
  if (regions.empty() || regions.size() > kMaxMemoryRegions) {
    return bad_layout("none, or too many");
  }
  std::uint64_t lowest_free = 0;
  std::uint64_t total_bytes = 0;
  for (const RegionPlan& region : regions) {
    const auto end = checked_add(region.range.start.value(), region.range.size_bytes);
    const auto sum = checked_add(total_bytes, region.range.size_bytes);
    if (!end || !sum || std::bit_width(*sum) >= 63) {
      return bad_layout("one wraps");
    }
    if (region.range.size_bytes == 0 || region.range.size_bytes % kPageSizeBytes != 0 ||
        !region.range.start.is_aligned(kPageSizeBytes)) {
      return bad_layout("one is not made of whole pages");
    }
    if (region.range.start.value() < lowest_free) {
      return bad_layout("they overlap or are not in order");
    }
    if (!blocks_are_valid(region) || (region.block_size_bytes != 0 && &region != &regions.back())) {
      return bad_layout("the hot-pluggable one is not last or not made of whole blocks");
    }
    lowest_free = *end;
    total_bytes = *sum;
  }
  return {};
}

Status check_memory_file(FdRef fd, const std::string& name, std::uint64_t size_bytes) {
  const std::uint64_t present = WISP_TRY(size_of(fd, name));
  if (present != size_bytes) {
    return Error(ErrorCode::Corrupt, "the memory file '" + name + "' has " + std::to_string(present) +
                                         " bytes, and the state file says " + std::to_string(size_bytes) +
                                         ". Give the two files that were written together");
  }
  const int flags = ::fcntl(fd.raw(), F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH) != 0) {
    return Error(ErrorCode::InvalidArgument, "the memory file '" + name + "' is not open for reading");
  }
  return {};
}

Result<GuestMemory> map_memory_file(std::span<const RegionPlan> regions, FdRef fd, const std::string& name,
                                    PageBacking backing) {
  if (backing == PageBacking::Huge2M) {
    return Error(ErrorCode::Unsupported,
                 "Cannot restore hugetlbfs backed snapshot by mapping the memory file. Please use uffd.");
  }
  (void)WISP_TRY(check_layout(regions));
  std::uint64_t offset = 0;
  std::vector<RegionPlan> plans(regions.begin(), regions.end());
  for (RegionPlan& plan : plans) {
    plan.file = RegionFile{.fd = fd, .offset_bytes = offset, .sharing = FileSharing::Private};
    offset += plan.range.size_bytes;
  }
  (void)WISP_TRY(check_memory_file(fd, name, offset));
  GuestMemory memory = WISP_TRY(GuestMemory::create_from(plans, backing));
  (void)WISP_TRY(check_memory_file(fd, name, offset));  // one that somebody is still writing shows here
  return memory;
}

Status merge_diff(const std::string& base_path, const std::string& diff_path, FileCalls& calls) {
  const Fd base = WISP_TRY(open_data_file("base memory file", base_path, Access::ReadWrite, FileKind::Regular));
  const Fd diff = WISP_TRY(open_data_file("diff memory file", diff_path, Access::ReadOnly, FileKind::Regular));
  const std::uint64_t base_bytes = WISP_TRY(size_of(base.ref(), base_path));
  const std::uint64_t diff_bytes = WISP_TRY(size_of(diff.ref(), diff_path));
  if (base_bytes != diff_bytes) {
    return Error(ErrorCode::InvalidArgument, "the base memory file '" + base_path + "' has " +
                                                 std::to_string(base_bytes) + " bytes and the diff '" + diff_path +
                                                 "' " + std::to_string(diff_bytes) +
                                                 ". Give a diff of the machine that the base is of");
  }
  const auto extents = WISP_TRY(data_extents(diff.ref(), diff_path, 0, diff_bytes));
  for (const Extent& extent : extents) {
    if (const int sys_errno = copy_extent(calls, diff.ref(), base.ref(), extent); sys_errno != 0) {
      return Error::host(sys_errno, "cannot merge '" + diff_path + "' into '" + base_path + "'",
                         "The base is incomplete until the merge is done again and succeeds");
    }
  }
  if (uninterrupted([&] { return calls.sync(base.raw()); }) != 0) {
    return Error::host(errno, "cannot write the base memory file '" + base_path + "' to its medium",
                       "Do the merge again");
  }
  return {};
}

}  // namespace wisp

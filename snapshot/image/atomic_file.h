// AtomicFile: a file that appears under its name only when all of it is on the medium.
//
//   AtomicFile memory = WISP_TRY(AtomicFile::create(kMemoryFile, "/snap/mem"));
//   AtomicFile state = WISP_TRY(AtomicFile::create(kStateFile, "/snap/state"));
//   ... write both ...
//   (void)WISP_TRY(AtomicFile::publish_together(memory, state));
//
// The bytes go to a hidden file (".wisp-<16 hex digits>", mode 0600 or that of the file it replaces) in the directory
// of the final name. Publishing is: fsync the file, exchange the two names, fsync the directory, remove the old file.
// Whatever fails before the end is undone, and the old file is back under its name; a crash leaves the old file or the
// new one, each whole, and at worst a hidden one beside it. The directory is opened once, so that nobody can move it
// away in between. A symbolic link, a directory or a device under the final name is refused. Something that is not
// published is removed when the object ends.
//
// over() writes into a descriptor that somebody else has opened. There is no second file then, and nothing is atomic:
// what fails half-way leaves half of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "snapshot/image/file_calls.h"
#include "vmm/base/fd.h"

namespace wisp {

/// What the two files are called in texts ("Cannot perform open on the memory backing file: ...").
inline constexpr const char* kMemoryFile = "memory backing file";
inline constexpr const char* kStateFile = "snapshot backing file";

class AtomicFile {
 public:
  /// Starts empty.
  static Result<AtomicFile> create(const std::string& object, const std::string& path,
                                   FileCalls& calls = FileCalls::host());
  /// Starts as a copy of the file that is there, when that has exactly this size (a diff merges into it); else empty.
  static Result<AtomicFile> create_keeping(const std::string& object, const std::string& path, std::uint64_t size_bytes,
                                           FileCalls& calls = FileCalls::host());
  /// Not atomic. The descriptor is of a regular file and writable; what the file holds stays until it is overwritten.
  static Result<AtomicFile> over(const std::string& object, Fd descriptor, FileCalls& calls = FileCalls::host());

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile() { take_back(); }

  /// Gives it the owner and group of the file that it will replace, if there is one. For commands, which root may give:
  /// a jail's user has to be able to open the file again. A confined monitor cannot, and owns what it writes.
  Status keep_owner();
  /// Also says how large the file is from now on; what grows reads as zeros and takes no room.
  Status set_size(std::uint64_t size_bytes);
  /// Writes all bytes. The medium is told to start at once, so that the final fsync finds little to do.
  Status write_at(std::uint64_t offset, iovec bytes);
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes);

  Status publish();
  /// Both or none, in this order, as far as a file system can: it has no operation on two names, so a crash between the
  /// two exchanges leaves the new first file, the old second one, and the old first one under its hidden name.
  static Status publish_together(AtomicFile& first, AtomicFile& second);

  FdRef fd() const { return file_.ref(); }
  std::uint64_t size_bytes() const { return size_bytes_; }
  /// For texts: the path, or the number of the descriptor.
  const std::string& name() const { return shown_name_; }
  bool is_atomic() const { return directory_.valid(); }

 private:
  enum class Place {
    Nowhere,    ///< no hidden name: written over a descriptor, or done
    Hidden,     ///< the new file has the hidden name
    New,        ///< it has the final name, where none was before
    Exchanged,  ///< it has the final name, and the old file the hidden one
    Replaced,   ///< it has the final name, and the old file is gone (a file system that cannot exchange)
  };
  struct Owner {
    uid_t user;
    gid_t group;
  };
  AtomicFile(std::string object, std::string shown_name, FileCalls& calls);
  Status open_directory(const std::string& path);
  Status open_hidden();
  Status look_at_present(std::uint64_t* size_bytes);
  Status copy_present(std::uint64_t size_bytes);
  Status sync(std::string_view operation, FdRef fd);
  Status place();
  Status settle();
  void take_back();
  void finish();
  Error failed(std::string_view operation, int sys_errno) const;

  FileCalls* calls_;
  std::string object_;
  std::string shown_name_;
  std::string name_;
  std::string hidden_;
  Fd directory_;
  Fd file_;
  mode_t mode_ = 0600;
  std::optional<Owner> present_owner_;
  std::uint64_t size_bytes_ = 0;
  Place place_ = Place::Nowhere;
};

}  // namespace wisp

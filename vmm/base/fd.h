// Fd owns a file descriptor, FdRef lends it for the length of a call. Every descriptor is close-on-exec.
#pragma once

#include <string>
#include <utility>

#include "vmm/base/result.h"

namespace wisp {

/// A borrowed descriptor. Never stored beyond the owner's life.
class FdRef {
 public:
  constexpr explicit FdRef(int raw) : raw_(raw) {}
  constexpr int raw() const { return raw_; }

 private:
  int raw_;
};

/// An owned descriptor, closed exactly once; empty after a move.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int raw) : raw_(raw) {}
  Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  bool valid() const { return raw_ >= 0; }
  int raw() const { return raw_; }
  FdRef ref() const { return FdRef(raw_); }
  void reset();
  /// Gives the descriptor away; the caller closes it.
  [[nodiscard]] int release() { return std::exchange(raw_, -1); }

 private:
  int raw_ = -1;
};

/// Another descriptor of the same open file, close-on-exec. `object` is for the error's text.
Result<Fd> duplicate(FdRef fd, const std::string& object);

enum class Access { ReadOnly, ReadWrite };

/// What a caller accepts as a "file". Nobody accepts a FIFO or a socket: opening or reading one can wait for ever.
enum class FileKind {
  Regular,    ///< a regular file and nothing else
  BootImage,  ///< whatever can be opened; what is not a boot image is found out when it is loaded
  Disk,       ///< a regular file or a device; a device without a size (/dev/null) is a disk without sectors
};

/// Opens an existing file for use as data. The descriptor is checked after the open, so there is no window; the open
/// never blocks (a FIFO without a writer, a device) and never becomes a controlling terminal. Anything but the accepted
/// kind (a FIFO, a socket, mostly a directory) is refused with a text that names `object` and `path`.
Result<Fd> open_data_file(const std::string& object, const std::string& path, Access access, FileKind kind);

/// Whether a small write would not block now; for outputs that are shared with whoever started us, whose flags are not
/// ours to change. A pipe that is ready has room for PIPE_BUF bytes, a terminal for at least one.
bool can_write_now(FdRef fd);

/// Is `fd`, which a stranger has opened, what open_data_file would have opened? `name` says where it came from. Refused
/// as well: O_PATH, O_WRONLY, for writing O_APPEND (everything would go to the end), O_DIRECT (which fails at addresses
/// that guests may use).
Status check_data_descriptor(FdRef fd, const std::string& object, const std::string& name, Access access,
                             FileKind kind);

/// A stranger's descriptor as an output for lines: a regular file, FIFO or terminal, open for writing; it becomes
/// non-blocking, for everybody who has the same open file.
Result<Fd> adopt_line_sink(Fd fd, const std::string& object, const std::string& name);

/// Opens (creating if needed, mode 0600) an output for lines: a regular file, FIFO or terminal, opened non-blocking and
/// not truncated. A FIFO without a reader works (it is opened read-write).
Result<Fd> open_line_sink(const std::string& object, const std::string& path);

}  // namespace wisp

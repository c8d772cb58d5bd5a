// Host: everything that a check may ask of the machine it runs on. Nothing here can change it.
//
// Checks know only this, so a test presents any host, broken in any way (tests/unit/doctor/fake_host.h). ThisHost is
// the real one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wisp {

/// A system call that either is there and allowed, or not.
enum class Probe {
  IoUring,      ///< io_uring_setup of a ring that is closed at once
  Userfaultfd,  ///< a descriptor that sees faults of the kernel too, closed at once
  Seccomp,      ///< does the kernel know filters that trap?
  Mseal,        ///< mseal of nothing
  Mdwe,         ///< PR_GET_MDWE
};

struct DeviceNode {
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;
  std::string group_name;  ///< the number when it has no name
};

struct User {
  uid_t id = 0;
  std::string name;
  std::vector<gid_t> groups;
};

struct Limits {
  std::uint64_t open_files = 0;
  std::uint64_t open_files_hard = 0;
  std::uint64_t locked_bytes = 0;
};

class Host {
 public:
  virtual ~Host() = default;
  /// A small file without its last newline; nothing when it is not there or may not be read.
  virtual std::optional<std::string> read(const std::string& path) const = 0;
  /// Names in a folder, sorted; none when it is not there.
  virtual std::vector<std::string> list(const std::string& folder) const = 0;
  virtual std::optional<DeviceNode> device(const std::string& path) const = 0;
  /// Opens for reading and writing and closes: 0 or the errno.
  virtual int open_error(const std::string& path) const = 0;
  /// Tries: 0 or the errno.
  virtual int probe(Probe which) const = 0;
  /// 0 without Landlock.
  virtual int landlock_abi() const = 0;
  /// -1 when /dev/kvm cannot be asked.
  virtual int kvm_api_version() const = 0;
  virtual int kvm_capability(int number) const = 0;
  virtual User user() const = 0;
  virtual Limits limits() const = 0;
};

class ThisHost final : public Host {
 public:
  std::optional<std::string> read(const std::string& path) const override;
  std::vector<std::string> list(const std::string& folder) const override;
  std::optional<DeviceNode> device(const std::string& path) const override;
  int open_error(const std::string& path) const override;
  int probe(Probe which) const override;
  int landlock_abi() const override;
  int kvm_api_version() const override;
  int kvm_capability(int number) const override;
  User user() const override;
  Limits limits() const override;
};

}  // namespace wisp

// VsockListener: the Unix socket on which host programs ask for a connection into the guest.
//
//   VsockListener listener = WISP_TRY(VsockListener::bind(config.uds_path));      // at PUT /vsock
//   ... VsockDevice::create(config, std::move(listener), loop, clock);            // at the start: the same socket
//
// Programs may connect from the moment it is bound; they wait in the backlog until the guest's driver is there. The
// socket's mode is what the process's umask leaves. The file stays behind when the monitor ends, as operators expect;
// unlink_socket() is for a PUT that replaces an earlier one, and removes only the file that bind() made.
#pragma once

#include <sys/types.h>

#include <string>

#include "vmm/base/fd.h"

namespace wisp {

class VsockListener {
 public:
  static Result<VsockListener> bind(const std::string& uds_path);
  /// Takes a listening Unix stream socket that somebody else has bound.
  static Result<VsockListener> adopt(Fd socket);

  /// Another descriptor of the same socket.
  Result<VsockListener> duplicate() const;

  const std::string& path() const { return path_; }
  /// Where programs listen to which the guest connects: the path of an adopted socket may be another name space's.
  void set_path(std::string path) { path_ = std::move(path); }
  FdRef ref() const { return socket_.ref(); }
  /// Removes the socket file if it still is the one that was bound.
  void unlink_socket() const;

  /// A waiting client, non-blocking and close-on-exec; an empty Fd and errno when there is none.
  Fd accept() const;

 private:
  VsockListener(Fd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  void remember_file();

  Fd socket_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;  // 0: not known, nothing is ever removed
};

}  // namespace wisp

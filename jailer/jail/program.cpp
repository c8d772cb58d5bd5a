#include "jailer/jail/program.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

namespace wisp {
namespace {

constexpr std::size_t kMaxProgramHeaders = 64;
/// Names inside the jail that are taken.
constexpr std::array kReservedNames = {"dev", "run", "proc", "sys"};

Error refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

bool read_exactly(FdRef fd, void* into, std::size_t size, std::uint64_t offset) {
  return ::pread(fd.raw(), into, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

Result<std::string> read_interpreter(const Program& program, const Elf64_Phdr& header) {
  std::string name(PATH_MAX, '\0');
  if (header.p_filesz == 0 || header.p_filesz > name.size() ||
      !read_exactly(program.fd.ref(), name.data(), header.p_filesz, header.p_offset)) {
    return refuse(program.path + " is not a program that can be run: its interpreter's name cannot be read");
  }
  return std::string(name.c_str());
}

/// execve is the last step, when nothing can be undone any more; what would make it fail is found out here.
Status inspect_elf(Program& program) {
  Elf64_Ehdr header{};
  const bool elf = read_exactly(program.fd.ref(), &header, sizeof(header), 0) &&
                   std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
                   header.e_machine == EM_X86_64 && (header.e_type == ET_EXEC || header.e_type == ET_DYN) &&
                   header.e_phentsize == sizeof(Elf64_Phdr) && header.e_phnum > 0 &&
                   header.e_phnum <= kMaxProgramHeaders;
  if (!elf) {
    return refuse(program.path +
                  " is not a program that can be run: not an x86-64 ELF file. Give --exec-file the monitor");
  }
  for (std::size_t index = 0; index < header.e_phnum; ++index) {
    Elf64_Phdr segment{};
    if (!read_exactly(program.fd.ref(), &segment, sizeof(segment), header.e_phoff + index * sizeof(segment))) {
      return refuse(program.path + " is not a program that can be run: it is cut short");
    }
    if (segment.p_type == PT_INTERP) {
      program.interpreter = WISP_TRY(read_interpreter(program, segment));
    }
  }
  return {};
}

Status check_name(Program& program) {
  program.name = program.path.substr(program.path.rfind('/') + 1);
  bool reserved = program.name.empty() || program.name.size() + sizeof(".pid") > NAME_MAX;
  for (const char* name : kReservedNames) {
    reserved = reserved || program.name == name;
  }
  return reserved ? Status(refuse("Failed to use the program " + program.path + ": the name '" + program.name +
                                  "' is taken inside a jail. Rename the file"))
                  : Status();
}

/// Copies in the kernel where the file system can, by a buffer where it cannot.
Status copy_bytes(const Program& program, FdRef to, const std::string& to_path) {
  const auto failed = [&](int error) {
    return Error::host(error, "Failed to copy " + program.path + " to " + to_path);
  };
  std::uint64_t left = static_cast<std::uint64_t>(program.status.st_size);
  off_t offset = 0;
  // All blocks at once: ext4 copies a quarter faster than when it counts them page by page. Not every file system can.
  (void)::fallocate(to.raw(), 0, 0, program.status.st_size);
  while (left > 0) {
    const ssize_t count = ::copy_file_range(program.fd.raw(), &offset, to.raw(), nullptr, left, 0);
    if (count <= 0) {
      break;
    }
    left -= static_cast<std::uint64_t>(count);
  }
  std::array<char, 65536> block;
  while (left > 0) {
    const ssize_t count = ::pread(program.fd.raw(), block.data(), std::min<std::uint64_t>(block.size(), left), offset);
    if (count <= 0) {
      return failed(count < 0 ? errno : EIO);
    }
    // A full disk takes a part first and says why with the next call.
    const ssize_t written = ::write(to.raw(), block.data(), static_cast<std::size_t>(count));
    if (written <= 0) {
      return failed(written < 0 ? errno : ENOSPC);
    }
    offset += written;
    left -= static_cast<std::uint64_t>(written);
  }
  return {};
}

bool changed_meanwhile(const Program& program) {
  struct stat now {};
  return ::fstat(program.fd.raw(), &now) != 0 || now.st_size != program.status.st_size ||
         now.st_mtim.tv_sec != program.status.st_mtim.tv_sec || now.st_mtim.tv_nsec != program.status.st_mtim.tv_nsec;
}

}  // namespace

Result<Program> open_program(const std::string& path) {
  Program program;
  // O_NONBLOCK: a FIFO is refused below instead of waiting here for a writer.
  program.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!program.fd.valid()) {
    return Error::host(errno, "Failed to canonicalize path " + path, "Give --exec-file the monitor's program");
  }
  if (::fstat(program.fd.raw(), &program.status) != 0) {
    return Error::host(errno, "Failed to inspect " + path);
  }
  if (!S_ISREG(program.status.st_mode)) {
    return refuse(path + " is not a file. Give --exec-file a regular file");
  }
  if ((program.status.st_mode & 0111) == 0) {
    return refuse(path + " is not executable. Give --exec-file a program, or chmod +x it");
  }
  if (static_cast<std::uint64_t>(program.status.st_size) > kMaxProgramBytes) {
    return refuse(path + " is larger than 1 GiB. Give --exec-file the monitor's program");
  }
  program.path = WISP_TRY(path_of(program.fd.ref(), path));
  (void)WISP_TRY(check_name(program));
  (void)WISP_TRY(inspect_elf(program));
  return program;
}

Status check_program_place(const Folder& root, const std::string& name) {
  const auto there = WISP_TRY(look_at(root, name));
  if (there && !S_ISREG(there->st_mode)) {
    return refuse("Failed to copy the program to " + root.path + "/" + name +
                  ": something that is not a plain file stands there. Remove it");
  }
  if (there && there->st_nlink > 1) {
    return refuse("Detected hard link at: " + root.path + "/" + name + ". Remove it; the jailer makes its own copy");
  }
  return {};
}

Status copy_program(const Program& program, const Folder& root, UndoLog& undo) {
  (void)WISP_TRY(check_program_place(root, program.name));
  const std::string path = root.path + "/" + program.name;
  // A new inode each time: an old file may be open, mapped, longer, or writable for somebody.
  if (::unlinkat(root.fd.raw(), program.name.c_str(), 0) != 0 && errno != ENOENT) {
    return Error::host(errno, "Failed to replace " + path);
  }
  Fd copy = open_beneath(root.fd.ref(), program.name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!copy.valid()) {
    return Error::host(errno, "Failed to copy " + program.path + " to " + path);
  }
  undo.add([raw = root.fd.raw(), name = program.name] { ::unlinkat(raw, name.c_str(), 0); });
  (void)WISP_TRY(copy_bytes(program, copy.ref(), path));
  if (changed_meanwhile(program)) {
    return refuse("Failed to copy " + program.path + " to " + path + ": it was written meanwhile. Try again");
  }
  if (::fchown(copy.raw(), 0, 0) != 0) {
    return Error::host(errno, "Failed to change owner for " + path);
  }
  if (::fchmod(copy.raw(), kProgramMode) != 0) {
    return Error::host(errno, "Failed to change permissions on " + path);
  }
  return {};
}

}  // namespace wisp

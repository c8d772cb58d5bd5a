#include "jailer/jail/arguments.h"

#include <array>

namespace wisp {
namespace {

using enum ArgumentKind;

constexpr std::array kArguments = {
    ArgumentSpec{.name = "cgroup",
                 .kind = RepeatedValue,
                 .value_name = "FILE=VALUE",
                 .help = "A cgroup file of the machine and what is written to it.",
                 .fallback = "none",
                 .example = "cpuset.cpus=0-3"},
    ArgumentSpec{.name = "cgroup-version",
                 .kind = Value,
                 .value_name = "1|2",
                 .help = "Which cgroup hierarchy --cgroup is about.",
                 .fallback = "1",
                 .example = "2"},
    ArgumentSpec{.name = "chroot-base-dir",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Where jails are made. The folder must exist, be root's and not writable by others.",
                 .fallback = "/srv/jailer",
                 .example = "/srv/machines"},
    ArgumentSpec{
        .name = "daemonize",
        .help = "The monitor gets a session of its own and standard streams on /dev/null; the jailer returns."},
    ArgumentSpec{.name = "devices",
                 .kind = Value,
                 .value_name = "LIST",
                 .help = "Device nodes to make: kvm, tun, userfaultfd, disk, with commas between them; or none.",
                 .fallback = "kvm,tun,userfaultfd",
                 .example = "kvm,tun"},
    ArgumentSpec{.name = "dry-run", .help = "Checks everything, prints what would be done, and changes nothing."},
    ArgumentSpec{
        .name = "exec-file",
        .kind = Value,
        .value_name = "PATH",
        .help = "The monitor's program: a regular, executable x86-64 ELF file. Its name names the jail's folder.",
        .example = "/usr/bin/wisp"},
    ArgumentSpec{.name = "gid",
                 .kind = Value,
                 .value_name = "GID",
                 .help = "Group id of the monitor, 0 to 4294967294.",
                 .example = "20001"},
    ArgumentSpec{.name = "id",
                 .kind = Value,
                 .value_name = "ID",
                 .help = "Instance id: 1 to 64 letters, digits and dashes.",
                 .example = "vm-1"},
    ArgumentSpec{.name = "netns",
                 .kind = Value,
                 .value_name = "PATH",
                 .help = "Network namespace to join.",
                 .fallback = "the jailer's own",
                 .example = "/run/netns/vm-1"},
    ArgumentSpec{.name = "new-pid-ns", .help = "The monitor becomes process 1 of a PID namespace; the jailer returns."},
    ArgumentSpec{.name = "parent-cgroup",
                 .kind = Value,
                 .value_name = "RELATIVE",
                 .help = "The cgroup above the jail's, below the cgroup mount, without . and ..",
                 .fallback = "the program's name",
                 .example = "tenants/a"},
    ArgumentSpec{.name = "resource-limit",
                 .kind = RepeatedValue,
                 .value_name = "NAME=N",
                 .help = "fsize=BYTES, the largest file the monitor may write, or no-file=COUNT, its open files.",
                 .fallback = "no-file=2048",
                 .example = "fsize=1073741824"},
    ArgumentSpec{.name = "uid",
                 .kind = Value,
                 .value_name = "UID",
                 .help = "User id of the monitor, 0 to 4294967294. Give each jail a user of its own.",
                 .example = "20001"},
    ArgumentSpec{.name = "version", .help = "Prints the version, and ends."},
    ArgumentSpec{.name = "help", .help = "Prints this text (also -h), and ends."},
};
constexpr std::array kSynopsis = {"--id ID --exec-file PATH --uid UID --gid GID [OPTION...] [-- MONITOR-OPTION...]"};
constexpr std::array kDescription = {
    "Starts the monitor in an empty room: its own root folder, user, limits and, as asked for, cgroups and namespaces. "
    "It is started by root and leaves the monitor no privileges. What follows -- goes to the monitor.",
    "Without --daemonize and --new-pid-ns the jailer becomes the monitor; with one of them it returns when the "
    "monitor's "
    "program has been started. A refusal is one line on standard error and has changed nothing.",
};
constexpr std::array kExamples = {
    ManualExample{"wisp-jailer --id vm-1 --exec-file /usr/bin/wisp --uid 20001 --gid 20001 --dry-run",
                  "Shows the steps without taking them."},
    ManualExample{"wisp-jailer --id vm-1 --exec-file /usr/bin/wisp --uid 20001 --gid 20001 --daemonize --new-pid-ns",
                  "The API socket is then /srv/jailer/wisp/vm-1/root/run/firecracker.socket."},
};
constexpr std::array kExits = {
    ManualExit{"0", "the monitor's program has been started, or the dry run found nothing wrong"},
    ManualExit{"1", "refused; the reason is on standard error"},
    ManualExit{"others", "the monitor's, see wisp(1), when the jailer becomes the monitor"},
};
constexpr std::array kSeeAlso = {"wisp(1)", "wisp-doctor(1)"};

}  // namespace

constinit const ManualPage kJailerPage{.program = "wisp-jailer",
                                       .section = 8,
                                       .summary = "starts the wisp monitor in confinement",
                                       .synopsis = kSynopsis,
                                       .description = kDescription,
                                       .arguments = kArguments,
                                       .examples = kExamples,
                                       .exits = kExits,
                                       .see_also = kSeeAlso};

}  // namespace wisp

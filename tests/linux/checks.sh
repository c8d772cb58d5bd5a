#!/bin/sh
# The checks of the linux lane, run where KVM can run a stock kernel: in the emulated host, or directly. POSIX sh.
#
#   LANE_DIR    holds wisp, wisp-jailer, uds_http, lane_tool, busybox, monitor.sh, devices.sh, clones.sh, jailed.sh, bzimage,
#               vmlinux, guest.cpio, devices.cpio, root.ext4, pmem.ext4
#   LANE_WORK   where it may write
#
# Prints "CHECK <name> PASS|FAIL|SKIP <what was seen>" for each name of checks.list, and the machines' consoles at the end.
work=$LANE_WORK
wisp_program=$LANE_DIR/wisp
http_client=$LANE_DIR/uds_http
mkdir -p "$work"
. "$LANE_DIR/monitor.sh"
. "$LANE_DIR/devices.sh"
. "$LANE_DIR/clones.sh"
. "$LANE_DIR/jailed.sh"

boot_seconds=90
base_args='console=ttyS0 reboot=k panic=1'

pass() { echo "CHECK $1 PASS $2"; }
fail() { echo "CHECK $1 FAIL $2"; }
# check NAME SEEN WANTED
check() {
  if [ "$2" = "$3" ]; then
    pass "$1" "$2"
  else
    fail "$1" "seen '$2', wanted '$3'"
  fi
}
# What the guest has reported under this name.
guest_said() { sed -n "s/^GUEST $1: //p" "$work/$name.console" | tr -d '\r' | head -n 1; }
file_sum() { md5sum <"$1" | cut -d' ' -f1; }
count_ticks() { grep -c '^GUEST tick' "$work/$name.console"; }

# What the monitor's threads are doing, twice, or how it ended: for the reader of a failure.
show_threads() {
  if ! kill -0 "$monitor_pid" 2>/dev/null; then
    wait "$monitor_pid"
    echo "LANE $name has ended with exit code $?: $(tail -n 2 "$work/$name.log" | tr '\r\n' '  ')"
    return
  fi
  for look in 1 2; do
    for task in "/proc/$monitor_pid/task/"*; do
      [ -e "$task" ] || continue
      echo "LANE $name look $look: $(cat "$task/comm") state $(cut -d' ' -f3 "$task/stat"), ticks $(cut -d' ' -f14,15 "$task/stat")," \
        "in $(cat "$task/wchan") $(cut -d' ' -f1-4 "$task/syscall")"
    done
    sleep 1
  done
}

# did_not_come_up CHECK: the machine's kernel is not where it should be by now. Fails the check and ends the monitor.
did_not_come_up() {
  show_threads
  fail "$1" "$(tail -n 3 "$work/$name.console" "$work/$name.log" | tr '\r\n' '  ')"
  stop_monitor
}

# file_in_image IMAGE PATH: prints a file of an ext4 image. The emulated host mounts; elsewhere debugfs needs no root.
file_in_image() {
  if [ -x /sbin/debugfs ]; then
    /sbin/debugfs -R "cat $2" "$1" 2>/dev/null
  else
    mkdir -p "$work/mnt"
    mount -t ext4 -o ro,loop "$1" "$work/mnt" && cat "$work/mnt$2"
    umount "$work/mnt"
  fi
}

configure_disks() {
  answers=''
  put() {
    api PUT "$1" "$2"
    answers="$answers $status"
    [ "$status" = 204 ] || echo "LANE PUT $1: $status $answer"
  }
  put /machine-config '{"vcpu_count": 2, "mem_size_mib": 256}'
  put /boot-source "{\"kernel_image_path\": \"$LANE_DIR/bzimage\", \"initrd_path\": \"$LANE_DIR/devices.cpio\", \"boot_args\": \"$base_args\"}"
  put /drives/rootfs "{\"drive_id\": \"rootfs\", \"path_on_host\": \"$work/root.ext4\", \"is_root_device\": true, \"is_read_only\": false}"
  put /drives/fixed "{\"drive_id\": \"fixed\", \"path_on_host\": \"$work/fixed.img\", \"is_root_device\": false, \"is_read_only\": true}"
  put /drives/scratch "{\"drive_id\": \"scratch\", \"path_on_host\": \"$work/scratch.img\", \"is_root_device\": false, \"is_read_only\": false, \"cache_type\": \"Writeback\", \"io_engine\": \"Async\"}"
  put /drives/served "{\"drive_id\": \"served\", \"socket\": \"$work/served.sock\", \"is_root_device\": false, \"cache_type\": \"Writeback\"}"
  put /network-interfaces/eth0 '{"iface_id": "eth0", "host_dev_name": "wisp1"}'
  put /mmds/config '{"version": "V1", "network_interfaces": ["eth0"]}'
  put /mmds "$metadata"
  put /actions '{"action_type": "InstanceStart"}'
  check api-configure "$answers" ' 204 204 204 204 204 204 204 204 204 204'
}

check_reports() {
  check cpus "$(guest_said cpus)" 2
  check acpi-devices "$(guest_said acpi-devices)" 5
  check root-mounted "$(guest_said root) $(guest_said cmdline | grep -o 'root=/dev/vda rw')" '/dev/vda ext4 rw root=/dev/vda rw'
  check host-file "$(guest_said host-file)" "$host_file_sum"
  check read-only-drive "$(guest_said read-only-drive)" 'ro=1 refused'
  check read-only-untouched "$(file_sum "$work/fixed.img")" "$fixed_sum"
  check async-drive "$(guest_said async-drive | grep -cE '^[0-9a-f]{32}$')" 1
  check vhost-user-read "$(guest_said served-before)" "$served_sum"
  check vhost-user-written "$(guest_said served-drive | grep -cE '^[0-9a-f]{32}$') $(head -c 1048576 "$work/served.img" | md5sum | cut -d' ' -f1)" \
    "1 $(guest_said served-drive)"
  check mmds-v1 "$(guest_said mmds-v1)" ami-wisp
  check async-file "$(head -c 1048576 "$work/scratch.img" | md5sum | cut -d' ' -f1)" "$(guest_said async-drive)"
}

check_pause() {
  api PATCH /vm '{"state": "Paused"}'
  sleep 1 # what the guest had written before arrives
  before=$(count_ticks)
  sleep 2
  check pause "$status $(($(count_ticks) - before))" '204 0'
  api PATCH /vm '{"state": "Resumed"}'
  if wait_until 20 "[ \$(count_ticks) -gt $((before + 1)) ]"; then
    pass resume "$status, $(($(count_ticks) - before)) more ticks"
  else
    fail resume "$status, no tick within 20 s"
  fi
}

# The back end's disk grows while the machine runs, after a pause that has stopped and started its queue.
check_growth() {
  dd if=/dev/urandom bs=64k count=16 2>/dev/null >>"$work/served.img"
  api PATCH /drives/served '{"drive_id": "served"}'
  type_line served
  wait_for_console 30 '^GUEST served-grown:'
  check vhost-user-grown "$status $(guest_said served-grown)" "204 6144 $(file_sum "$work/served.img")"
}

machine_disks() {
  cp "$LANE_DIR/root.ext4" "$work/root.ext4"
  dd if=/dev/urandom of="$work/fixed.img" bs=64k count=16 2>/dev/null
  dd if=/dev/zero of="$work/scratch.img" bs=64k count=32 2>/dev/null
  fixed_sum=$(file_sum "$work/fixed.img")
  dd if=/dev/urandom of="$work/served.img" bs=64k count=32 2>/dev/null
  served_sum=$(file_sum "$work/served.img")
  "$LANE_DIR/lane_tool" vhost-disk "$work/served.sock" "$work/served.img" &
  served_pid=$!
  host_file_sum=$(file_in_image "$work/root.ext4" /from-host | md5sum | cut -d' ' -f1)
  start_monitor disks
  configure_disks
  if wait_for_console $boot_seconds '^GUEST up'; then
    pass kernel-up "$(grep '^GUEST up' "$work/disks.console" | tr -d '\r')"
  else
    did_not_come_up kernel-up
    kill "$served_pid" 2>/dev/null
    return
  fi
  wait_for_console 60 '^GUEST tick'
  check_reports
  check_pause
  check_growth
  type_line 'hello from the host'
  wait_for_console 20 '^GUEST typed: hello from the host'
  check serial-input "$(guest_said typed)" 'hello from the host'
  type_line reboot
  wait_for_exit 30
  check reboot "$exit_code" 0
  check guest-file "$(file_in_image "$work/root.ext4" /from-guest | md5sum | cut -d' ' -f1)" "$(guest_said guest-file)"
  stop_monitor
}

# The ELF kernel without a drive, by configuration file.
machine_keys() {
  cat >"$work/keys.json" <<TEXT
{"boot-source": {"kernel_image_path": "$LANE_DIR/vmlinux", "initrd_path": "$LANE_DIR/guest.cpio", "boot_args": "$base_args quiet"},
 "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 192}}
TEXT
  start_monitor keys --config-file "$work/keys.json"
  if wait_for_console $boot_seconds '^GUEST waiting'; then
    pass elf-kernel-up "$(grep '^GUEST up' "$work/keys.console" | tr -d '\r')"
  else
    did_not_come_up elf-kernel-up
    return
  fi
  api GET /vm/config
  check config-file "$status $(printf '%s' "$answer" | grep -o '"mem_size_mib":192')" '200 "mem_size_mib":192'
  api PUT /actions '{"action_type": "SendCtrlAltDel"}'
  wait_for_exit 30
  check ctrl-alt-del "$status $exit_code" '204 0'
  stop_monitor
}

# The same as a person starts it, with the console on standard output.
machine_off() {
  name=off
  "$wisp_program" run --kernel "$LANE_DIR/vmlinux" --initrd "$LANE_DIR/guest.cpio" --memory 192M \
    --cmdline 'quiet wisp.action=poweroff' --log-path "$work/off.log" </dev/null >"$work/off.console" 2>&1 &
  monitor_pid=$!
  if ! wait_for_console $boot_seconds '^GUEST up'; then
    did_not_come_up poweroff
    return
  fi
  wait_for_exit 30
  check poweroff "$exit_code" 0
  stop_monitor
}

# One word after the other; the machines of one word run at the same time.
machines=${LANE_MACHINES:-disks devices clones jailed keys+off}
for word in $machines; do
  for machine in $(echo "$word" | tr + ' '); do
    echo "LANE machine $machine at $(cut -d' ' -f1 /proc/uptime)"
    "machine_$machine" &
  done
  wait
done
for machine in $(echo "$machines" | tr + ' '); do
  echo "LANE console of $machine"
  sed 's/^/CONSOLE /' "$work/$machine.console"
  sed 's/^/LOG /' "$work/$machine.log"
done
echo "LANE end at $(cut -d' ' -f1 /proc/uptime)"

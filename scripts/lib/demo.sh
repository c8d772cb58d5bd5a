#!/bin/sh
# The quickstart's show: starts wisp, configures it by API calls, boots Linux, prints what the guest says, captures it,
# restores two clones and lets each say who it is, and shuts all down.
# POSIX sh: runs on this host or, by busybox, in the emulated one.
#
#   DEMO_DIR    holds wisp, uds_http, monitor.sh, vmlinux, guest.cpio, root.ext4
#   DEMO_WORK   where it may write
work=$DEMO_WORK
wisp_program=$DEMO_DIR/wisp
http_client=$DEMO_DIR/uds_http
mkdir -p "$work"
. "$DEMO_DIR/monitor.sh"

give_up() {
  echo "The quickstart has failed: $1"
  echo "The last lines of the guest's console and of the monitor's log:"
  tail -n 20 "$work/$name.console" "$work/$name.log"
  stop_monitor
  exit 1
}

# call METHOD PATH [BODY]: shows the call as curl would make it, makes it, shows the answer.
call() {
  echo
  if [ $# = 3 ]; then
    echo "\$ curl --unix-socket $name.sock -X $1 http://localhost$2 -d '$3'"
  else
    echo "\$ curl --unix-socket $name.sock http://localhost$2"
  fi
  api "$@"
  echo "  HTTP $status $answer"
  case $status in
    200 | 204) ;;
    *) give_up "$1 $2 was answered with $status" ;;
  esac
}

# show_console_until SECONDS PATTERN: prints the guest's console from line $shown on as it grows, until the pattern comes.
show_console_until() {
  deadline=$(($(date +%s) + $1))
  while :; do
    # Looked for before printing: what comes with the pattern's line must be shown too.
    found=no
    grep -q "$2" "$work/$name.console" && found=yes && sleep 0.3  # the rest of the pattern's line
    lines=$(wc -l <"$work/$name.console")
    if [ "$lines" -gt "$shown" ]; then
      sed -n "$((shown + 1)),${lines}p" "$work/$name.console" | tr -d '\r' | sed "s/^/  $name | /"
      shown=$lines
    fi
    [ "$found" = no ] || return 0
    [ "$(date +%s)" -lt "$deadline" ] && kill -0 "$monitor_pid" 2>/dev/null || return 1
    sleep 0.2
  done
}

shut_down() {
  call PUT /actions '{"action_type": "SendCtrlAltDel"}'
  wait_for_exit 60
  [ "$exit_code" = 0 ] || give_up "wisp ended with '$exit_code' instead of 0"
  echo
  echo "The guest $name has shut down; wisp ended with exit code 0."
}

cp "$DEMO_DIR/root.ext4" "$work/root.ext4"
echo "\$ wisp --api-sock demo.sock &"
start_monitor demo || give_up "wisp does not open its API socket"
call GET /version
call PUT /machine-config '{"vcpu_count": 2, "mem_size_mib": 256}'
call PUT /boot-source "{\"kernel_image_path\": \"$DEMO_DIR/vmlinux\", \"initrd_path\": \"$DEMO_DIR/guest.cpio\", \"boot_args\": \"console=ttyS0 reboot=k panic=1 quiet loglevel=2\"}"
call PUT /drives/rootfs "{\"drive_id\": \"rootfs\", \"path_on_host\": \"$work/root.ext4\", \"is_root_device\": true, \"is_read_only\": false}"
call PUT /actions '{"action_type": "InstanceStart"}'
echo
echo "The guest's serial console:"
shown=0
show_console_until 120 '^GUEST ready' || give_up "the guest did not come up"
call GET /
call PATCH /vm '{"state": "Paused"}'
call PUT /snapshot/create "{\"snapshot_path\": \"$work/state\", \"mem_file_path\": \"$work/memory\"}"
echo "  The state file has $(wc -c <"$work/state") bytes, the memory file takes $(du -m "$work/memory" | cut -f1) MiB."
cp "$work/root.ext4" "$work/clone-1.ext4"
cp "$work/root.ext4" "$work/clone-2.ext4"
call PATCH /vm '{"state": "Resumed"}'
type_line demo
show_console_until 30 '^GUEST I am demo' || give_up "the captured guest does not go on"
shut_down

# restore NAME: a clone with a disk of its own. A load takes milliseconds, so the time is read from the monitor's metrics.
restore() {
  echo
  echo "\$ wisp --api-sock $1.sock &"
  start_monitor "$1" --metrics-path "$work/$1.metrics" || give_up "wisp does not open its API socket"
  call PUT /snapshot/load "{\"snapshot_path\": \"$work/state\", \"mem_backend\": {\"backend_type\": \"File\", \"backend_path\": \"$work/memory\"}, \"drive_overrides\": [{\"id\": \"rootfs\", \"path_on_host\": \"$work/$1.ext4\"}], \"resume_vm\": true}"
  call PUT /actions '{"action_type": "FlushMetrics"}'
  echo "  The load took $(sed -n 's/.*"vmm_load_snapshot":\([0-9]*\).*/\1/p' "$work/$1.metrics" | tail -n 1) microseconds."
}
restore clone-1
first_pid=$monitor_pid
restore clone-2
second_pid=$monitor_pid
echo
echo "Both clones run. Each is called by its name on its serial console:"
for name in clone-1 clone-2; do
  type_line $name
  shown=0
  show_console_until 60 "^GUEST I am $name" || give_up "the clone $name does not answer"
done
for name in clone-1 clone-2; do
  [ $name = clone-1 ] && monitor_pid=$first_pid || monitor_pid=$second_pid
  shut_down
done

# Machine "clones" of the linux lane: the stock kernel at work with disk and network is captured and restored again and
# again, and goes on twice at once in the end. Sourced by checks.sh, after devices.sh.
#
# Each monitor has a console of its own: clones, clones-1, clones-2, ... The last two, twin-1 and twin-2, are of one
# snapshot. The root drive is read-only and shared; the drive that the guest works on is copied for each twin.
clones_turns=3
clones_guest=172.16.3.2
clones_gap_s=10
clones_work='n=0; while :; do n=$((n+1)); dd if=/dev/urandom of=/tmp/block bs=64k count=2 2>/dev/null; dd if=/tmp/block of=/dev/vdb bs=64k seek=$((n%16*2)) conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vdb bs=64k skip=$((n%16*2)) count=2 2>/dev/null | cmp -s - /tmp/block || echo $n >>/tmp/broken; echo $n >/tmp/rounds.new; mv /tmp/rounds.new /tmp/rounds; done'

clones_tap() {
  busybox tunctl -t "$1" >/dev/null && busybox ip addr add "$2"/24 dev "$1" && busybox ip link set "$1" up
}

configure_clones() {
  set_to PUT /machine-config '{"vcpu_count": 2, "mem_size_mib": 160}'
  set_to PUT /boot-source "{\"kernel_image_path\": \"$LANE_DIR/vmlinux\", \"initrd_path\": \"$LANE_DIR/devices.cpio\", \"boot_args\": \"$base_args quiet loglevel=3 init=/sbin/remote_init\"}"
  set_to PUT /drives/rootfs "{\"drive_id\": \"rootfs\", \"path_on_host\": \"$LANE_DIR/root.ext4\", \"is_root_device\": true, \"is_read_only\": true}"
  set_to PUT /drives/work "{\"drive_id\": \"work\", \"path_on_host\": \"$work/clones.img\", \"is_root_device\": false, \"cache_type\": \"Writeback\"}"
  set_to PUT /network-interfaces/eth0 '{"iface_id": "eth0", "host_dev_name": "clones0"}'
  set_to PUT /entropy '{}'
  set_to PUT /actions '{"action_type": "InstanceStart"}'
}

# capture_clones: pauses the machine and writes its files; its monitor ends.
capture_clones() {
  set_to PATCH /vm '{"state": "Paused"}'
  paused_at=$(date +%s)
  set_to PUT /snapshot/create "{\"snapshot_path\": \"$work/clones.state\", \"mem_file_path\": \"$work/clones.mem\"}"
  stop_monitor
}

# restore_clones NAME [MORE]: a new monitor that goes on from the files. MORE: further members of the request.
restore_clones() {
  start_monitor "$1"
  api PUT /snapshot/load "{\"snapshot_path\": \"$work/clones.state\", \"mem_backend\": {\"backend_type\": \"File\", \"backend_path\": \"$work/clones.mem\"}, \"resume_vm\": true$2}"
  resumed_at=$(date +%s)
  [ "$status" = 204 ] || echo "LANE load of $1: $status $answer"
}

# The guest's numbers: rounds of work, whether one went wrong, replies to its pings, its clock.
clones_numbers='echo $(cat /tmp/rounds) $(cat /tmp/broken 2>/dev/null | wc -l) $(grep -c "bytes from" /tmp/ping) $(grep -c DUP /tmp/ping) $(date +%s) $(nproc)'
more_than() { [ "$1" -gt "$2" ] 2>/dev/null; }

# check_going_on NAME LEAST: since $clones_before the guest has worked on, at least LEAST more of its pings were answered,
# and nothing went wrong.
check_going_on() {
  least=$2
  for look in 1 2 3 4 5 6 7 8; do
    sleep 2
    ask "numbers-$1-$look" 30 "$clones_numbers"
    if more_than "${said%% *}" "${clones_before%% *}"; then
      break # on a loaded host a round takes seconds
    fi
  done
  # shellcheck disable=SC2086
  set -- "$1" $said $clones_before
  if more_than "$2" "$8" && [ "$3" = 0 ] && more_than "$4" $((${10:-0} + least - 1)) && [ "$5" = 0 ] && [ "$7" = 2 ]; then
    pass "$1" "rounds $8 to $2, replies ${10} to $4, nothing broken, 2 vCPUs"
  else
    fail "$1" "before '$8 $9 ${10} ${11}', after '$2 $3 $4 $5', vCPUs $7 (rounds, broken, replies, duplicates)"
  fi
}

# The clock went on from the capture: what passed in the guest is what passed here without the gap, as far as a console
# that is looked at now and then can tell.
check_clock_went_on() {
  ask clock 30 'date +%s'
  gap_s=$((resumed_at - paused_at))
  passed_here=$(($(date +%s) - clock_here - gap_s))
  passed_there=$((said - clock_there))
  difference=$((passed_here - passed_there))
  if [ "$gap_s" -ge "$clones_gap_s" ] && [ "$difference" -ge -1 ] && [ "$difference" -le 5 ]; then
    pass clones-clock "$passed_there s in the guest, $passed_here s here without the gap of $gap_s s"
  else
    fail clones-clock "$passed_there s in the guest, $passed_here s here without the gap of $gap_s s"
  fi
}

clones_turn() {
  ask "before-$1" 30 "$clones_numbers"
  clones_before=$said
  ask "clock-$1" 30 'date +%s'
  clock_there=$said
  clock_here=$(date +%s)
  capture_clones
  if [ "$1" = 1 ]; then
    sleep $clones_gap_s
  fi
  restore_clones "clones-$1"
  if [ "$1" = 1 ]; then
    check_clock_went_on
  fi
  check_going_on "clones-turn-$1" 1
}

# Both at once, from one snapshot, each with a drive and an interface of its own.
clones_twins() {
  ask before-twins 30 "$clones_numbers"
  clones_before=$said
  capture_clones
  for twin in 1 2; do
    cp "$work/clones.img" "$work/twin-$twin.img"
    restore_clones "twin-$twin" ", \"drive_overrides\": [{\"id\": \"rootfs\", \"path_on_host\": \"$LANE_DIR/root.ext4\"}, {\"id\": \"work\", \"path_on_host\": \"$work/twin-$twin.img\"}], \"network_overrides\": [{\"iface_id\": \"eth0\", \"host_dev_name\": \"clones$((twin - 1))\"}], \"recorded_paths\": \"Refuse\""
    eval "twin_pid_$twin=$monitor_pid"
  done
  # The guest's driver asks ahead: what it had got before the capture is the same in both, what comes behind it is not.
  secrets=''
  for twin in 1 2; do
    name=twin-$twin
    eval "monitor_pid=\$twin_pid_$twin"
    ask entropy 30 'dd if=/dev/hwrng bs=64 count=8 iflag=fullblock 2>/dev/null | tail -c 64 | md5sum'
    secrets="$secrets ${said%% *}"
  done
  # shellcheck disable=SC2086
  set -- $secrets
  if [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]; then
    pass twins-entropy "$1 $2"
  else
    fail twins-entropy "'$1' '$2'"
  fi
  for twin in 1 2; do
    name=twin-$twin
    eval "monitor_pid=\$twin_pid_$twin"
    # The second one pings a host that does not answer on its interface; this host reaches both.
    check_going_on "twin-$twin" $((2 - twin))
    check "twin-$twin-ping" "$(busybox ping -I "clones$((twin - 1))" -c 3 -i 0.2 -W 5 $clones_guest | grep -o '[0-9]* packets received')" \
      '3 packets received'
    tell off 'poweroff -f'
    wait_for_exit 30
    check "twin-$twin-off" "$exit_code" 0
    stop_monitor
  done
}

machine_clones() {
  dd if=/dev/zero of="$work/clones.img" bs=64k count=32 2>/dev/null
  clones_tap clones0 172.16.3.1 && clones_tap clones1 172.16.3.3
  # The second twin has the first one's address: it is reached from another one of ours, through its own interface, which
  # answers for no other.
  echo 1 >/proc/sys/net/ipv4/conf/clones1/arp_ignore
  start_monitor clones
  configure_clones
  if ! wait_for_console $boot_seconds '^GUEST ready'; then
    did_not_come_up clones-up
    return
  fi
  pass clones-up "$(guest_said ready)"
  ask net-up 20 "ip addr add $clones_guest/24 dev eth0 && ip link set eth0 up && (ping -i 0.2 172.16.3.1 >/tmp/ping 2>&1 &) && echo up"
  ask work 20 "($clones_work) >/dev/null 2>&1 & echo started"
  sleep 2
  for turn in $(seq $clones_turns); do
    clones_turn "$turn"
  done
  clones_twins
  cat "$work"/clones-*.console "$work"/twin-*.console >>"$work/clones.console"
  cat "$work"/clones-*.log "$work"/twin-*.log >>"$work/clones.log"
}

# Machine "devices" of the linux lane: every device in one boot, each used by its stock driver. Sourced by checks.sh.
#
# What the guest does is typed at its console and what it says is read there (remote_init.sh); what the operator does goes
# through the API; what the host's programs do happens here.
payload_bytes=4194304
memory_mib=176
carriage_return=$(printf '\r')
half_mib=88
guest_address=172.16.0.2
host_address=172.16.0.1
data_service=169.254.169.254
metadata='{"latest": {"meta-data": {"ami-id": "ami-wisp", "count": 5, "tags": {"role": "web"}}}}'

busybox() { "$LANE_DIR/busybox" "$@"; }
lane_tool() { "$LANE_DIR/lane_tool" "$@"; }
# tell NAME TEXT: the guest's shell starts to run the text. hear NAME SECONDS: what it said at the end, in $said.
tell() { type_line "$*"; }
hear() {
  # With the line's end: half of a line may be there already.
  wait_for_console "$2" "^GUEST $1:.*$carriage_return" || {
    echo "LANE no answer to $1"
    show_threads
  }
  said=$(guest_said "$1")
}
ask() {
  question=$1
  seconds=$2
  shift 2
  tell "$question" "$@"
  hear "$question" "$seconds"
}
# set_to METHOD PATH BODY: a request that must be answered with 204.
set_to() {
  api "$@"
  [ "$status" = 204 ] || echo "LANE $1 $2: $status $answer"
}
resident_mib() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$monitor_pid/status"; }
answer_number() { printf '%s' "$answer" | grep -o "\"$1\":[0-9]*" | cut -d: -f2; }
uptime_s() { cut -d. -f1 /proc/uptime; }

prepare_devices() {
  cp "$LANE_DIR/root.ext4" "$work/devices.ext4"
  cp "$LANE_DIR/pmem.ext4" "$work/pmem.ext4"
  truncate -s 72M "$work/bulk.img"
  dd if=/dev/urandom of="$work/first.img" bs=64k count=16 2>/dev/null
  dd if=/dev/urandom of="$work/second.img" bs=64k count=48 2>/dev/null
  dd if=/dev/urandom of="$work/payload" bs=64k count=$((payload_bytes / 65536)) 2>/dev/null
  payload_sum=$(file_sum "$work/payload")
  : >"$work/devices.metrics"
  busybox tunctl -t wisp0 >/dev/null && busybox ip addr add $host_address/24 dev wisp0 && busybox ip link set wisp0 up
}

configure_devices() {
  answers=''
  put() {
    set_to PUT "$1" "$2"
    answers="$answers $status"
  }
  put /machine-config "{\"vcpu_count\": 2, \"mem_size_mib\": $memory_mib}"
  put /boot-source "{\"kernel_image_path\": \"$LANE_DIR/vmlinux\", \"initrd_path\": \"$LANE_DIR/devices.cpio\", \"boot_args\": \"$base_args quiet loglevel=3 memhp_default_state=online_movable init=/sbin/remote_init\"}"
  put /metrics "{\"metrics_path\": \"$work/devices.metrics\"}"
  put /drives/rootfs "{\"drive_id\": \"rootfs\", \"path_on_host\": \"$work/devices.ext4\", \"is_root_device\": true, \"is_read_only\": false}"
  put /drives/bulk "{\"drive_id\": \"bulk\", \"path_on_host\": \"$work/bulk.img\", \"is_root_device\": false}"
  put /drives/swapped "{\"drive_id\": \"swapped\", \"path_on_host\": \"$work/first.img\", \"is_root_device\": false}"
  put /network-interfaces/eth0 '{"iface_id": "eth0", "host_dev_name": "wisp0", "guest_mac": "06:00:ac:10:00:02"}'
  put /mmds/config '{"version": "V2", "network_interfaces": ["eth0"]}'
  put /mmds "$metadata"
  put /vsock "{\"guest_cid\": 3, \"uds_path\": \"$work/v.sock\"}"
  put /balloon '{"amount_mib": 0, "deflate_on_oom": true, "stats_polling_interval_s": 1, "free_page_hinting": true, "free_page_reporting": true}'
  put /entropy '{"rate_limiter": {"bandwidth": {"size": 1024, "refill_time": 200}}}'
  put /pmem/data "{\"id\": \"data\", \"path_on_host\": \"$work/pmem.ext4\"}"
  put /hotplug/memory '{"total_size_mib": 256, "block_size_mib": 2, "slot_size_mib": 128}'
  put /actions '{"action_type": "InstanceStart"}'
  check devices-configured "$answers" "$(printf ' 204%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)"
}

# exchange NAME GUEST-END HOST-END...: the payloads of both sides cross on one stream, both ways at once.
exchange() {
  exchange_name=$1
  tell "$1" "lane_tool $2 </tmp/payload >/tmp/got; echo \$?; md5sum </tmp/got | cut -d' ' -f1; rm /tmp/got"
  shift 2
  "$LANE_DIR/lane_tool" "$@" <"$work/payload" >"$work/got" &
  host_end=$!
}
# Waits for the exchange and compares the digests of what either side got with what the other one sent.
check_exchange() {
  hear "$exchange_name" 60
  wait $host_end
  check "$exchange_name" "$? $(file_sum "$work/got") $said" "0 $guest_sum 0 $payload_sum"
}

# count_frames NAME: how many the guest has got and sent so far, in $said. frames_between BEFORE AFTER: the difference.
count_frames() { ask "$1" 10 'cd /sys/class/net/eth0/statistics && cat rx_packets tx_packets'; }
frames_between() { echo "$1 $2" | awk '{ print $3 - $1, $4 - $2 }'; }

check_net() {
  ask net-up 20 "ip addr add $guest_address/24 dev eth0 && ip link set eth0 up && ip route add $data_service dev eth0"
  check ping-guest "$(busybox ping -c 3 -i 0.2 -W 5 $guest_address | grep -o '[0-9]* packets received')" '3 packets received'
  ask ping-host 20 "ping -c 3 -i 0.2 -W 5 $host_address | grep -o '[0-9]* packets received'"
  check ping-host "$said" '3 packets received'
  count_frames frames-0
  frames_0=$said
  exchange tcp-offloads 'tcp-listen 5001' tcp-connect $guest_address 5001
  check_exchange
  count_frames frames-1
  frames_1=$said
  lane_tool offloads wisp0 off
  ask offloads-off 10 'lane_tool offloads eth0 off'
  exchange tcp-plain "tcp-connect $host_address 5002" tcp-listen 5002
  check_exchange
  lane_tool offloads wisp0 on
  ask offloads-on 10 'lane_tool offloads eth0 on'
  count_frames frames-2
  check_frames "$(frames_between "$frames_0" "$frames_1")" "$(frames_between "$frames_1" "$said")"
}
# Segments of 1448 bytes are the most that a frame carries without offloads; with them a frame carries several, in either
# direction.
check_frames() {
  whole=$((payload_bytes / 1448))
  if echo "$1 $2" | awk -v whole=$whole '{ exit !($1 < whole && $2 < whole && $3 >= whole && $4 >= whole) }'; then
    pass offloads "frames received and sent: with offloads $1, without $2"
  else
    fail offloads "frames received and sent: with offloads $1, without $2 (a frame a segment is $whole)"
  fi
}

# The payload at 1 MiB/s takes nearly 4 s. The bucket is small, so that a burst is held up on a slow host, too. The machine
# stands still for one second in between.
check_limited_traffic() {
  limit='{"bandwidth": {"size": 65536, "refill_time": 62}}'
  none='{"bandwidth": {"size": 0, "refill_time": 0}}'
  set_to PATCH /network-interfaces/eth0 "{\"iface_id\": \"eth0\", \"rx_rate_limiter\": $limit, \"tx_rate_limiter\": $limit}"
  began=$(uptime_s)
  exchange paused-traffic 'tcp-listen 5003' tcp-connect $guest_address 5003
  sleep 1
  set_to PATCH /vm '{"state": "Paused"}'
  sleep 0.3 # what the monitor had sent before arrives
  before=$(wc -c <"$work/got")
  sleep 0.7
  check traffic-stands "$(($(wc -c <"$work/got") - before)) bytes" '0 bytes'
  set_to PATCH /vm '{"state": "Resumed"}'
  check_exchange
  took=$(($(uptime_s) - began))
  [ "$took" -ge 3 ] && took='3 s or more'
  check net-limit "$status $took" '204 3 s or more'
  set_to PATCH /network-interfaces/eth0 "{\"iface_id\": \"eth0\", \"rx_rate_limiter\": $none, \"tx_rate_limiter\": $none}"
}

check_vsock() {
  exchange vsock-guest-first 'vsock-connect 2 1234' unix-listen "$work/v.sock_1234"
  check_exchange
  exchange vsock-host-first 'vsock-listen 52' wisp-connect "$work/v.sock" 52
  check_exchange
}

check_metadata() {
  url=http://$data_service
  ask mmds-v2-refused 30 "curl -s -o /dev/null -w '%{http_code}' $url/latest/meta-data/ami-id"
  check mmds-v2-refused "$said" 401
  ask mmds-v2 60 "token=\$(curl -s -X PUT -H 'X-metadata-token-ttl-seconds: 300' $url/latest/api/token); curl -s -H \"X-metadata-token: \$token\" $url/latest/meta-data/ami-id; echo; curl -s -H \"X-metadata-token: \$token\" $url/latest/meta-data/"
  check mmds-v2 "$said" 'ami-wisp ami-id count tags/'
  set_to PATCH /mmds '{"latest": {"meta-data": {"tags": {"role": "db"}}}}'
  ask mmds-json 60 "curl -s -H \"X-aws-ec2-metadata-token: \$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' $url/latest/api/token)\" -H 'Accept: application/json' $url/latest/meta-data/tags"
  check mmds-json "$said" '{"role":"db"}'
}

check_entropy() {
  ask entropy 20 "cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=512 count=8 iflag=fullblock 2>/dev/null | tee /tmp/random | wc -c; gzip -c /tmp/random | wc -c"
  # Random bytes are those that do not shrink.
  check entropy "$(echo "$said" | awk '{ print $1, $2, ($3 >= 4096 ? "random" : "not random") }')" 'virtio_rng.0 4096 random'
}

check_pmem() {
  ask pmem 20 "mount -t ext4 -o dax /dev/pmem0 /tmp/pmem && md5sum </tmp/pmem/from-host | cut -d' ' -f1; grep -c '/tmp/pmem ext4 .*dax' /proc/mounts; cp /tmp/random /tmp/pmem/from-guest && sync /tmp/pmem/from-guest && umount /tmp/pmem && md5sum </tmp/random | cut -d' ' -f1"
  pmem_guest_sum=${said##* }
  check pmem-mounted "${said% *}" "$(file_in_image "$LANE_DIR/pmem.ext4" /from-host | md5sum | cut -d' ' -f1) 1"
  # Two flushes a second at most; metrics.list says that some have waited.
  set_to PATCH /pmem/data '{"id": "data", "rate_limiter": {"ops": {"size": 1, "refill_time": 500}}}'
  ask pmem-limit 30 "mount -t ext4 -o dax /dev/pmem0 /tmp/pmem && dd if=/tmp/random of=/tmp/pmem/more conv=fsync 2>/dev/null && umount /tmp/pmem && echo written"
  check pmem-limit "$status $said" '204 written'
  set_to PATCH /pmem/data '{"id": "data", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}}'
}

check_drive() {
  ask drive-before 20 "cat /sys/block/vdc/size; md5sum </dev/vdc | cut -d' ' -f1"
  check drive-before "$said" "2048 $(file_sum "$work/first.img")"
  set_to PATCH /drives/swapped "{\"drive_id\": \"swapped\", \"path_on_host\": \"$work/second.img\"}"
  ask drive-swapped 20 "while [ \$(cat /sys/block/vdc/size) = 2048 ]; do sleep 0.1; done; blockdev --flushbufs /dev/vdc; cat /sys/block/vdc/size; md5sum </dev/vdc | cut -d' ' -f1"
  check drive-swapped "$status $said" "204 6144 $(file_sum "$work/second.img")"
  set_to PATCH /drives/swapped '{"drive_id": "swapped", "rate_limiter": {"bandwidth": {"size": 1048576, "refill_time": 1000}}}'
  began=$(uptime_s)
  ask drive-limit 30 "blockdev --flushbufs /dev/vdc; md5sum </dev/vdc | cut -d' ' -f1"
  took=$(($(uptime_s) - began))
  [ "$took" -ge 1 ] && took='1 s or more'
  check drive-limit "$status $said $took" "204 $(file_sum "$work/second.img") 1 s or more"
}

# Free pages go back to the host by themselves; what the guest uses comes back with the balloon.
check_reporting() {
  ask fill 60 'dd if=/dev/zero of=/tmp/fill bs=1M count=48 2>/dev/null; wc -c </tmp/fill'
  full=$(resident_mib)
  tell freed 'rm /tmp/fill'
  if wait_until 30 "[ \$(resident_mib) -lt $((full - 36)) ]"; then
    pass free-page-reporting "resident memory fell from $full to $(resident_mib) MiB"
  else
    fail free-page-reporting "resident memory went from $full to $(resident_mib) MiB only"
  fi
}

balloon_holds() {
  api GET /balloon/statistics
  [ "$(answer_number actual_mib)" = "$1" ]
}
check_balloon() {
  ask cache 60 'cat /dev/vdb | wc -c'
  full=$(resident_mib)
  set_to PATCH /balloon "{\"amount_mib\": $half_mib}"
  wait_until 60 'balloon_holds $half_mib'
  check balloon-inflated "$(answer_number actual_mib)" $half_mib
  # The half that the guest has left, and 24 MiB for the monitor itself.
  left=$(resident_mib)
  if [ "$full" -gt $((half_mib + 32)) ] && [ "$left" -lt $((half_mib + 24)) ]; then
    pass balloon-returns-memory "resident memory fell from $full to $left MiB"
  else
    fail balloon-returns-memory "resident memory went from $full to $left MiB"
  fi
  wait_until 10 'balloon_holds $half_mib && [ -n "$(answer_number total_memory)" ]'
  check balloon-statistics "$(printf '%s' "$answer" | grep -c '"free_memory":[0-9]*.*"total_memory":[0-9]*')" 1
  set_to PATCH /balloon '{"amount_mib": 0}'
  wait_until 60 'balloon_holds 0'
  ask deflated 20 "awk '/^MemAvailable/ { print (\$2 > $half_mib * 1024 ? \"more than half\" : \$2) }' /proc/meminfo"
  check balloon-deflated "$(answer_number actual_mib) $said" '0 more than half'
}

hinting_is_done() {
  api GET /balloon/hinting/status
  [ "$(answer_number host_cmd)" = 1 ]
}
check_hinting() {
  set_to PATCH /balloon/hinting/start '{"acknowledge_on_stop": true}'
  wait_until 30 hinting_is_done
  check balloon-hinting "$status $(answer_number host_cmd)" '200 1'
}

memory_plugged() {
  api GET /hotplug/memory
  [ "$(answer_number plugged_size_mib)" = "$1" ]
}
check_memory() {
  total="awk '/^MemTotal/ { print \$2 }' /proc/meminfo"
  ask memory-before 10 "$total"
  base_kib=$said
  set_to PATCH /hotplug/memory '{"requested_size_mib": 128}'
  wait_until 60 'memory_plugged 128'
  # More than there was room for before; and what was written is read.
  ask memory-plugged 60 "$total; for i in \$(seq 32); do cat /tmp/payload; done >/tmp/fill; wc -c </tmp/fill; cmp -n $payload_bytes /tmp/fill /tmp/payload && echo same; rm /tmp/fill"
  check memory-plugged "$(answer_number plugged_size_mib) $((${said%% *} - base_kib)) ${said#* }" "128 131072 $((32 * payload_bytes)) same"
  set_to PATCH /hotplug/memory '{"requested_size_mib": 0}'
  wait_until 60 'memory_plugged 0'
  # Linux gives the blocks back first and takes them out of its books then.
  ask memory-unplugged 20 "for i in \$(seq 50); do [ \$($total) = $base_kib ] && break; sleep 0.1; done; $total"
  check memory-unplugged "$(answer_number plugged_size_mib) $((said - base_kib))" '0 0'
}

# The drivers let go of their devices and take them again: reset and a second activation, with the real drivers.
check_rebind() {
  ask rebind 60 "set +f; for driver in virtio_net virtio_rng virtio_balloon vmw_vsock_virtio_transport; do cd /sys/bus/virtio/drivers/\$driver; for device in virtio*; do echo \$device >unbind && echo \$device >bind; done; done; ip addr add $guest_address/24 dev eth0 && ip link set eth0 up && ping -c 2 -i 0.2 -W 5 $host_address | grep -o '[0-9]* packets received'; dd if=/dev/hwrng bs=64 count=2 iflag=fullblock 2>/dev/null | wc -c"
  check rebind "$said" '2 packets received 128'
  exchange rebind-vsock 'vsock-connect 2 1235' unix-listen "$work/v.sock_1235"
  check_exchange
}

# What the kernel complains about from its first process on, where the drivers come. Before that it may find fault with the
# processor: under QEMU 7.2 it warns that CPUID's size of the XSAVE area (576) is not what XCR0 asks for.
check_guest_log() {
  ask guest-log 20 "dmesg >/tmp/dmesg; grep -c . /tmp/dmesg; sed '1,/Run \/init/d' /tmp/dmesg | grep -iE 'warning:|bug:|call trace|oops|(virtio|nd_|pmem|vsock|balloon|eth0|vd[a-c]|EXT4).*(error|fail|invalid|warn|timed out)' | head -n 5"
  if [ "$said" -gt 100 ] 2>/dev/null; then
    pass guest-log "$said lines, none of them a driver's complaint"
  else
    fail guest-log "$said"
  fi
}

show_metrics() {
  set_to PUT /actions '{"action_type": "FlushMetrics"}'
  wait_until 5 "[ -s $work/devices.metrics ]"
  sed 's/^/METRICS /' "$work/devices.metrics"
}

machine_devices() {
  prepare_devices
  start_monitor devices
  configure_devices
  if wait_for_console $boot_seconds '^GUEST ready'; then
    pass devices-up "$(guest_said ready)"
  else
    did_not_come_up devices-up
    return
  fi
  ask payload 30 "dd if=/dev/urandom of=/tmp/payload bs=64k count=$((payload_bytes / 65536)) 2>/dev/null; md5sum </tmp/payload | cut -d' ' -f1"
  guest_sum=$said
  ask acpi 10 'ls /sys/bus/acpi/devices | grep -cE "^(LNRO0005|VMGENCTR|AMZNC10C)"'
  check devices-acpi "$said" 11
  for part in ${LANE_PARTS:-net metadata vsock limited_traffic entropy pmem drive reporting balloon hinting memory rebind guest_log}; do
    echo "LANE part $part at $(cut -d' ' -f1 /proc/uptime)"
    "check_$part"
  done
  show_metrics
  tell off 'poweroff -f'
  wait_for_exit 30
  check devices-off "$exit_code" 0
  check pmem-kept "$(file_in_image "$work/pmem.ext4" /from-guest | md5sum | cut -d' ' -f1)" "$pmem_guest_sum"
  stop_monitor
}

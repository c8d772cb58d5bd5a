#!/bin/sh
# /sbin/init of the lane's root file system: the guest's half of the checks. Reports lines "GUEST <what>: <result>"; the host
# compares. At the end it obeys what is typed at its console.
export PATH=/bin:/sbin:/usr/bin
report() { echo "GUEST $*"; }

report "root: $(awk '$2 == "/" && $3 == "ext4" { print $1, $3, substr($4, 1, 2) }' /proc/mounts)"
report "cmdline: $(cat /proc/cmdline)"
report "cpus: $(nproc)"
acpi_devices=0
for device in /sys/bus/acpi/devices/LNRO0005:*; do
  [ -e "$device/physical_node/driver" ] && acpi_devices=$((acpi_devices + 1))
done
report "acpi-devices: $acpi_devices"
report "host-file: $(md5sum </from-host | cut -d' ' -f1)"

dd if=/dev/urandom of=/from-guest bs=64k count=4 2>/dev/null
sync
report "guest-file: $(md5sum </from-guest | cut -d' ' -f1)"

if dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null; then
  report "read-only-drive: ro=$(cat /sys/block/vdb/ro) written"
else
  report "read-only-drive: ro=$(cat /sys/block/vdb/ro) refused"
fi

dd if=/dev/urandom of=/tmp/random bs=64k count=16 2>/dev/null
dd if=/tmp/random of=/dev/vdc bs=64k conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
if dd if=/dev/vdc bs=64k count=16 2>/dev/null | cmp - /tmp/random; then
  report "async-drive: $(md5sum </tmp/random | cut -d' ' -f1)"
else
  report "async-drive: differs"
fi

report "served-before: $(md5sum </dev/vdd | cut -d' ' -f1)"
dd if=/tmp/random of=/dev/vdd bs=64k conv=fsync 2>/dev/null
report "served-drive: $(md5sum </tmp/random | cut -d' ' -f1)"

ip addr add 172.16.1.2/24 dev eth0 && ip link set eth0 up && ip route add 169.254.169.254 dev eth0
report "mmds-v1: $(curl -s http://169.254.169.254/latest/meta-data/ami-id)"

(
  count=0
  while :; do
    count=$((count + 1))
    echo "GUEST tick $count"
    sleep 0.2
  done
) &
ticker=$!
while read -r line; do
  case $line in
    served)
      while [ "$(cat /sys/block/vdd/size)" = 4096 ]; do sleep 0.1; done
      blockdev --flushbufs /dev/vdd
      report "served-grown: $(cat /sys/block/vdd/size) $(md5sum </dev/vdd | cut -d' ' -f1)"
      ;;
    reboot)
      kill $ticker
      mount -o remount,ro /
      sync
      reboot -f
      ;;
    *) report "typed: $line" ;;
  esac
done </dev/console

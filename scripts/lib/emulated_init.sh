#!/bin/sh
# The first process of the emulated host: loads KVM, runs /lane/run.sh, switches off.
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
ip link set lo up
while read -r module; do
  insmod "$module" || echo "HOST insmod of $module failed"
done </modules.list
echo "HOST up after $(cut -d' ' -f1 /proc/uptime) s, Linux $(uname -r), $(ls /dev/kvm 2>&1)"
status=0
sh /lane/run.sh || status=$?
echo "HOST down after $(cut -d' ' -f1 /proc/uptime) s, status $status"
poweroff -f

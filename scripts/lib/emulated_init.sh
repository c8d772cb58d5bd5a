#!/bin/sh
# The first process of the emulated host: loads KVM, runs /lane/run.sh, switches off. It first mounts the root over itself, so that it is
# a mount as hosts have it: the jailer's pivot_root cannot leave the initial one.
export PATH=/bin:/sbin
if [ "$1" != mounted ]; then
  mount -o bind / /mnt
  cd /mnt
  mount -o move . /
  exec chroot . /init mounted
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
ip link set lo up
while read -r module; do
  insmod "$module" || echo "HOST insmod of $module failed"
done </modules.list
# An exception with the number of an interrupt does not exist on x86: it is an interrupt that the emulator delivers a second time
# (emulator.sh). KVM's trace of exits names what was delivered last, the type in bits 8 to 10 (3: exception), the number below.
trace=/sys/kernel/tracing
mount -t tracefs tracefs $trace
echo 'intr_info & 0x200 && intr_info & 0xe0' >$trace/events/kvm/kvm_exit/filter
echo 1 >$trace/events/kvm/kvm_exit/enable
echo "HOST up after $(cut -d' ' -f1 /proc/uptime) s, Linux $(uname -r), $(ls /dev/kvm 2>&1)"
while sleep 5; do echo "HOST alive"; done &
status=0
sh /lane/run.sh || status=$?
twice=$(grep -c kvm_exit: $trace/trace)
[ "$twice" = 0 ] || echo "HOST delivered $twice interrupts twice"
echo "HOST down after $(cut -d' ' -f1 /proc/uptime) s, status $status"
poweroff -f

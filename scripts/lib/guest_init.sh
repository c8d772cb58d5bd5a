#!/bin/sh
# The first process of a Linux guest under wisp, from its initial RAM file system. Loads the virtio drivers (the devices
# are found through ACPI), mounts the drive that root= on the command line names and goes on with its /sbin/init, or with
# what init= names. Without root= it stays: "ctrl-alt-del" waits for the key, "poweroff" on the command line switches off.
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
  insmod "$module" || echo "GUEST insmod of $module failed"
done </modules.list
echo "GUEST up release=$(uname -r) cpus=$(nproc)"

root=''
mode=ro
action=wait
init=/sbin/init
for word in $(cat /proc/cmdline); do
  case $word in
    root=*) root=${word#root=} ;;
    rw | ro) mode=$word ;;
    init=*) init=${word#init=} ;;
    wisp.action=*) action=${word#wisp.action=} ;;
  esac
done

if [ -n "$root" ]; then
  tries=0
  until [ -b "$root" ] || [ "$tries" = 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  if mount -t ext4 -o "$mode" "$root" /mnt; then
    mount -o move /proc /mnt/proc
    mount -o move /sys /mnt/sys
    mount -o move /dev /mnt/dev
    exec switch_root /mnt "$init"
  fi
  echo "GUEST cannot mount $root"
fi
case $action in
  poweroff) poweroff -f ;;
  reboot) reboot -f ;;
esac
echo "GUEST waiting"
while :; do sleep 1; done

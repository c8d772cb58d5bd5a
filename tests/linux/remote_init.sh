#!/bin/sh
# First process of machine "devices", by init= on its command line: a shell for the host, over the console. It reads lines
# "NAME SHELL-TEXT", runs the text and answers "GUEST NAME: what it printed", on one line. So a check stands in one place,
# devices.sh, with both its halves.
export PATH=/bin:/sbin:/usr/bin
mount -t tmpfs -o size=200m tmpfs /tmp
mkdir -p /tmp/pmem
echo "GUEST ready: after $(cut -d' ' -f1 /proc/uptime) s"
set -f
while read -r name text; do
  answer=$(eval "$text" 2>&1)
  # Not quoted: lines become words.
  echo "GUEST $name:" $answer
done </dev/console

#!/bin/sh
# What the quickstart's guest runs at start (an entry of its /etc/inittab): it tells about itself on the serial console.
export PATH=/bin:/sbin
echo "GUEST I am Linux $(uname -r), $(nproc) processors, $(free -m | awk '/^Mem/ { print $2 }') MiB of memory."
echo "GUEST My root file system: $(awk '$2 == "/" && $3 == "ext4" { print $1, "as", $3 }' /proc/mounts), $(df -h / | awk 'NR == 2 { print $3 " used of " $2 }'). It contains:"
ls -l / | sed 's/^/GUEST     /'
echo "GUEST The file /greeting says: $(cat /greeting)"
echo "written by the guest at $(date -u)" >/written-by-guest && sync
echo "GUEST I have written to /written-by-guest: $(cat /written-by-guest)"
echo "GUEST Up for $(cut -d' ' -f1 /proc/uptime) seconds."
# Whoever is called by a name on the console writes it to the disk and answers: that is how a clone shows that it is itself.
while read -r name; do
  echo "$name" >>/names && sync
  echo "GUEST I am $name, up for $(cut -d' ' -f1 /proc/uptime) seconds; the names on my disk: $(tr '\n' ' ' </names)"
done </dev/ttyS0 &
echo "GUEST ready"

# Machine "jailed" of the linux lane: the stock kernel under wisp-jailer, captured, and restored in a second jail. Sourced by
# checks.sh, after devices.sh.
#
# Each jail has what its monitor needs at paths of its own: kernel, initial RAM file system, root drive; then the snapshot.
jail_uid=20001
jail_gid=20002

# start_jailed NAME FILE...: as start_monitor, in a new jail that holds these files, its user's own. Its log is in the jail.
start_jailed() {
  name=$1
  shift
  jail=$work/jails/wisp/$name/root
  mkdir -p "$jail"
  for file in "$@"; do
    mv "$file" "$jail/" && chown "$jail_uid:$jail_gid" "$jail/${file##*/}"
  done
  ln -sf "$jail/run/firecracker.socket" "$work/$name.sock"
  launch_monitor "$LANE_DIR/wisp-jailer" --id "$name" --exec-file "$wisp_program" --uid $jail_uid --gid $jail_gid \
    --chroot-base-dir "$work/jails" -- --log-path "/$name.log"
}

configure_jailed() {
  set_to PUT /machine-config '{"vcpu_count": 2, "mem_size_mib": 128}'
  set_to PUT /boot-source "{\"kernel_image_path\": \"/bzimage\", \"initrd_path\": \"/devices.cpio\", \"boot_args\": \"$base_args quiet loglevel=3 init=/sbin/remote_init\"}"
  set_to PUT /drives/rootfs '{"drive_id": "rootfs", "path_on_host": "/root.ext4", "is_root_device": true, "is_read_only": true}'
  set_to PUT /entropy '{}'
  set_to PUT /actions '{"action_type": "InstanceStart"}'
}

# What holds for every thread: the jail's user, no capability, no new privileges, a seccomp filter.
check_confined() {
  confined=''
  for task in "/proc/$monitor_pid/task/"*; do
    confined="$confined$(awk '/^(Uid|CapPrm|CapBnd|NoNewPrivs|Seccomp):/ { printf "%s ", $2 }' "$task/status")
"
  done
  check "$1" "$(printf '%s' "$confined" | sort -u)" "$jail_uid 0000000000000000 0000000000000000 1 2 "
}

check_jailed_drive() {
  ask "drive-$name" 60 'echo 3 >/proc/sys/vm/drop_caches; md5sum </from-host; nproc'
  check "$1" "$said" "$jailed_sum - 2"
}

machine_jailed() {
  name=jailed
  if ! mknod "$work/may-make-nodes" c 1 3 2>/dev/null; then
    : >"$work/jailed.console"
    : >"$work/jailed.log"
    for each in up confined drive restored off; do
      echo "CHECK jailed-$each SKIP the jailer needs a root that may make device nodes, which this host's test has not"
    done
    return
  fi
  mkdir -m 755 "$work/jails"
  for file in bzimage devices.cpio root.ext4; do
    cp "$LANE_DIR/$file" "$work/jails/$file"
  done
  jailed_sum=$(file_in_image "$work/jails/root.ext4" /from-host | md5sum | cut -d' ' -f1)
  start_jailed jailed "$work/jails/bzimage" "$work/jails/devices.cpio" "$work/jails/root.ext4"
  configure_jailed
  if ! wait_for_console $boot_seconds '^GUEST ready'; then
    cat "$jail/jailed.log" >>"$work/jailed.log"
    did_not_come_up jailed-up
    return
  fi
  pass jailed-up "$(guest_said ready)"
  check_confined jailed-confined
  check_jailed_drive jailed-drive
  set_to PATCH /vm '{"state": "Paused"}'
  set_to PUT /snapshot/create '{"snapshot_path": "/state", "mem_file_path": "/memory"}'
  stop_monitor
  cat "$jail/jailed.log" >>"$work/jailed.log"
  first=$jail
  start_jailed restored "$first/state" "$first/memory" "$first/root.ext4"
  set_to PUT /snapshot/load '{"snapshot_path": "/state", "mem_backend": {"backend_type": "File", "backend_path": "/memory"}, "resume_vm": true}'
  check_jailed_drive jailed-restored
  tell off 'poweroff -f'
  wait_for_exit 30
  check jailed-off "$exit_code" 0
  cat "$work/restored.log" "$jail/restored.log" >>"$work/jailed.log"
  cat "$work/restored.console" >>"$work/jailed.console"
  stop_monitor
}

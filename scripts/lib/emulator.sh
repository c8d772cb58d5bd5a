# Where a Linux guest can run: on this host's KVM, or inside a machine that QEMU emulates together with AMD's hardware
# virtualisation. Needs common.sh, packages.sh, images.sh.

emulator_memory_mib=2048

# Prints why the host cannot run a stock kernel under KVM; prints nothing when it can.
why_not_direct() {
  if ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
    printf 'this CPU offers no hardware virtualisation (neither vmx nor svm)'
  elif [ ! -e /dev/kvm ]; then
    printf '/dev/kvm does not exist (is the kvm module loaded?)'
  elif [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
    printf '/dev/kvm may not be opened by %s (add the user to the group that owns it)' "$(id -un)"
  fi
}

# make_host_initramfs OUTPUT FILE...: the emulated host's initial RAM file system: busybox, the modules of KVM, loop devices
# and TAP interfaces, and the files in /lane, one of which is run.sh.
make_host_initramfs() {
  local output=$1 work
  shift
  work=$(mktemp -d)
  stage_busybox "$work"
  stage_modules "$work" kvm-amd loop tun
  mkdir -p "$work/lane"
  install -m 0755 "$wisp_root/scripts/lib/emulated_init.sh" "$work/init"
  cp "$@" "$work/lane/"
  pack_initramfs "$work" "$output"
  rm -rf "$work"
}

# run_emulated INITRAMFS SECONDS: runs the emulated host until it switches itself off; its console is our output.
run_emulated() {
  local initramfs=$1 seconds=$2
  timeout --foreground --kill-after=5 "$seconds" qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu max,+svm,+npt -smp 2 -m "$emulator_memory_mib" \
    -nodefaults -no-user-config -nographic -no-reboot -serial stdio -monitor none \
    -kernel "$kernel_dir/boot/vmlinuz-$(kernel_release)" -initrd "$initramfs" \
    -append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off tsc=unstable" </dev/null
}

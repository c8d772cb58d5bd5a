# Where a Linux guest can run: on this host's KVM, or inside a machine that QEMU emulates together with AMD's hardware
# virtualisation. Needs common.sh, packages.sh, images.sh.

emulator_memory_mib=2048
emulator_silence_seconds=60
# How often a run is made at most, when it is the emulator that fails.
emulator_attempts=3

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

# run_emulated INITRAMFS SECONDS: runs the emulated host until it switches itself off; its console is our output. Fails when it takes
# longer, or says nothing for emulator_silence_seconds (it says every few seconds that it is alive).
#
# The nested virtualisation of QEMU 7.2 has faults of its own, which is why the host is made as it is:
# - An interrupt that a hypervisor injects at VMRUN stays in QEMU's exception_index. When QEMU asks that CPU to leave its loop at the
#   wrong moment, it is delivered once more, as an exception, interrupts off: a guest's kernel then waits for a lock that it holds itself.
#   With two CPUs on one thread half of all boots end so; with one CPU it has not been seen. (Today's QEMU reads the same there.)
# - With two CPUs in two threads a page walk of a guest fails in 2 to 4 of 100 boots, which is a triple fault. Hence one CPU.
# - The host can lose its timer interrupt for ever (seen: QEMU's main loop asleep, a guest spinning on the host's CPU). Likely because
#   #VMEXIT changes interrupt_request without the lock that QEMU's timers take. With a timer that each interrupt sets anew, 3 of some
#   60 hosts stood still; hence nohz=off highres=off, a periodic timer, with which none of 16 did.
run_emulated() {
  local initramfs=$1 seconds=$2 console pid line status=0
  exec {console}< <(exec timeout --foreground --kill-after=5 "$seconds" qemu-system-x86_64 \
    -accel tcg -cpu max,+svm,+npt -smp 1 -m "$emulator_memory_mib" \
    -nodefaults -no-user-config -nographic -no-reboot -serial stdio -monitor none \
    -kernel "$kernel_dir/boot/vmlinuz-$(kernel_release)" -initrd "$initramfs" \
    -append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off tsc=unstable nohz=off highres=off" </dev/null)
  pid=$!
  while IFS= read -r -t "$emulator_silence_seconds" -u "$console" line || status=$?; [ "$status" = 0 ]; do
    case $line in
      'HOST alive'*) ;;
      *) printf '%s\n' "$line" ;;
    esac
  done
  exec {console}<&-
  if [ "$status" -gt 128 ]; then
    say "the emulated host has said nothing for $emulator_silence_seconds s"
    kill "$pid" || true
    wait "$pid" || true
    return 1
  fi
  wait "$pid"
}

# emulator_at_fault CONSOLE: was it the emulator that failed? It stood still, or it delivered an interrupt twice.
emulator_at_fault() {
  ! grep -q '^HOST down' "$1" || grep -q '^HOST delivered .* twice' "$1"
}

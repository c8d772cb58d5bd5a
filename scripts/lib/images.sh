# Makes what Linux machines boot from: an unpacked kernel, initial RAM file systems, ext4 images. Needs common.sh and
# packages.sh (setup_linux done); needs no root: nothing is mounted.

vmlinux_path=$wisp_cache/linux/vmlinux

# The cloud kernel as an ELF file, which boots without unpacking itself inside the guest.
make_vmlinux() {
  local image=$kernel_dir/boot/vmlinuz-$(kernel_release)
  if [ ! -s "$vmlinux_path" ] || [ "$image" -nt "$vmlinux_path" ]; then
    python3 "$wisp_root/scripts/lib/extract_vmlinux.py" "$image" "$vmlinux_path.new"
    mv "$vmlinux_path.new" "$vmlinux_path"
  fi
}

# stage_busybox FOLDER: /bin/busybox and a link for each applet, as the start of a root file system.
stage_busybox() {
  local folder=$1 applet
  mkdir -p "$folder"/{bin,sbin,dev,proc,sys,tmp,run,root,mnt}
  cp "$busybox_dir/bin/busybox" "$folder/bin/busybox"
  for applet in $("$busybox_dir/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -sf /bin/busybox "$folder/bin/$applet"
  done
}

# stage_modules FOLDER NAME...: the modules with all that they need, and /modules.list in loading order.
stage_modules() {
  local folder=$1 release path name
  shift
  release=$(kernel_release)
  mkdir -p "$folder/modules"
  : >"$folder/modules.list"
  for name in "$@"; do
    /sbin/modprobe --dirname "$kernel_dir" --set-version "$release" --show-depends "$name" |
      awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++' | while read -r path; do
    cp "$path" "$folder/modules/"
    printf '/modules/%s\n' "${path##*/}" >>"$folder/modules.list"
  done
}

# pack_initramfs FOLDER OUTPUT: not compressed, because unpacking is slow under emulation.
pack_initramfs() {
  local folder=$1 output=$2
  (cd "$folder" && find . -print0 | sort -z | cpio --null --create --format=newc --owner=0:0 --quiet) >"$output"
}

# stage_curl FOLDER: this host's curl with the libraries that it needs, for a guest.
stage_curl() {
  local folder=$1 program
  program=$(command -v curl)
  { printf '%s\n' "$program"; ldd "$program" | grep -o '/[^ ]*'; } | while read -r file; do
    install -D -m 0755 "$file" "$folder$file"
  done
}

# make_ext4 FOLDER OUTPUT SIZE_MIB: an ext4 image that holds the folder's contents, owned by root. Blocks are as large as
# pages, so that it may be mounted with dax, too.
make_ext4() {
  local folder=$1 output=$2 size_mib=$3
  rm -f "$output"
  truncate -s "${size_mib}M" "$output"
  /sbin/mke2fs -q -t ext4 -b 4096 -L wisp-root -E root_owner=0:0,lazy_itable_init=0 -d "$folder" "$output"
}

# make_guest_initramfs OUTPUT [MODULE...]: the initial RAM file system of a wisp guest: finds the drives by ACPI, mounts what
# root= names, or runs on by itself. The modules are those of devices other than drives.
make_guest_initramfs() {
  local output=$1 work
  shift
  work=$(mktemp -d)
  stage_busybox "$work"
  stage_modules "$work" virtio_mmio virtio_blk "$@"
  install -m 0755 "$wisp_root/scripts/lib/guest_init.sh" "$work/init"
  pack_initramfs "$work" "$output"
  rm -rf "$work"
}

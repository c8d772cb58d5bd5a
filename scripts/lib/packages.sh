# What the project needs from the distribution, and how it is got. Needs common.sh.
#
# Four kinds:
#   installed   compilers, libraries, the emulator: apt-get install, as root, only what is missing
#   unpacked    a kernel and a static busybox, for guests: downloaded and unpacked below .cache, never installed
#   extracted   httplib.h, from the distribution's source package: the binary package is a shared library with OpenSSL
#   modules     what tests use of other people's: the Go SDK and Python packages, by the languages' own tools, into .cache;
#               not needed to build
# Everything but the modules comes from the Debian mirror that the machine's own apt configuration names.

packages_build=(
  g++ cmake ninja-build pkg-config libseccomp-dev liburing-dev libsodium-dev nlohmann-json3-dev catch2
  clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev
  python3 python3-venv ca-certificates xz-utils dpkg-dev
)
packages_guest=(cpio curl e2fsprogs kmod lz4 zstd python3 xz-utils dpkg-dev ca-certificates)
packages_emulator=(qemu-system-x86)

httplib_version=0.11.4
# SHA-256 of the header as the distribution ships it today.
httplib_sha256=c324a892f254f3ff2cef7d927757c3afd2150e59792e008689f071b7a078d954

kernel_dir=$wisp_cache/linux/kernel
busybox_dir=$wisp_cache/linux/busybox

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Prints those of its arguments that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    is_installed "$name" || printf '%s\n' "$name"
  done
}

refreshed_lists=no
refresh_lists() {
  [ "$refreshed_lists" = no ] || return 0
  # One unreachable third-party archive must not end the set-up; a package that is really missing is noticed next.
  with_progress "apt-get update" as_root apt-get update || warn "apt-get update was not complete"
  refreshed_lists=yes
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if [ "${#missing[@]}" = 0 ]; then
    say "    packages: all $# are installed"
    return 0
  fi
  say "    packages to install: ${missing[*]}"
  refresh_lists
  with_progress "apt-get install" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "${missing[@]}"
}

# The "URI suite" pairs of the distribution's own archive, as apt is configured on this machine.
debian_mirrors() {
  local codename
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' |
    awk -F'|' -v name="$codename" '$1 == "Packages" && $6 == "main" && index($5, name) == 1 &&
        ($2 == "Debian" || $2 == "$(ORIGIN)") { print $4, $5 }' | sort -u
}

httplib_is_good() {
  local header=$1
  grep -q "define CPPHTTPLIB_VERSION \"$httplib_version\"" "$header" 2>/dev/null
}

# Fetches the source package with a private apt state, so that deb-src need not be enabled and no root is needed, and
# leaves httplib.h in .cache/httplib. apt checks the archive's signature.
fetch_httplib() {
  local target=$wisp_cache/httplib/httplib.h work mirror suite
  if httplib_is_good "$target"; then
    say "    httplib.h $httplib_version: present"
    return 0
  fi
  [ -n "$(debian_mirrors)" ] || refresh_lists
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/source"
  debian_mirrors | while read -r mirror suite; do
    printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite"
  done >"$work/sources.list"
  [ -s "$work/sources.list" ] || die "apt is configured with no Debian archive, so the source package of cpp-httplib" \
    "cannot be fetched. Put httplib.h $httplib_version into .cache/httplib/ by hand."
  local options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
  with_progress "source index of the Debian archive" apt-get "${options[@]}" update
  (cd "$work/source" && with_progress "source package of cpp-httplib" \
    apt-get "${options[@]}" source --only-source --download-only cpp-httplib)
  mkdir -p "$work/unpacked" "$wisp_cache/httplib"
  tar -xf "$work"/source/cpp-httplib_*.orig.tar.* -C "$work/unpacked" --strip-components=1
  httplib_is_good "$work/unpacked/httplib.h" || die "the distribution's cpp-httplib is not version $httplib_version," \
    "the one that wisp is tested with. Put that version's httplib.h into .cache/httplib/ by hand."
  if ! printf '%s  %s\n' "$httplib_sha256" "$work/unpacked/httplib.h" | sha256sum --check --status; then
    warn "httplib.h differs from the one that wisp was tested with (same version, signed by the distribution): used."
  fi
  install -m 0644 "$work/unpacked/httplib.h" "$target"
  rm -rf "$work"
  say "    httplib.h $httplib_version: in .cache/httplib"
}

# unpack_package NAME FOLDER: downloads a package and unpacks it there without installing it.
unpack_package() {
  local name=$1 folder=$2 work
  work=$(mktemp -d)
  (cd "$work" && with_progress "download of $name" apt-get -o APT::Sandbox::User= download "$name") || return 1
  rm -rf "$folder.new"
  mkdir -p "$folder.new"
  dpkg-deb -x "$work"/*.deb "$folder.new" || return 1
  rm -rf "$folder" "$work"
  mv "$folder.new" "$folder"
}

# The real package behind the distribution's current cloud kernel.
cloud_kernel_package() {
  apt-cache show --no-all-versions linux-image-cloud-amd64 2>/dev/null |
    sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1
}

fetch_kernel() {
  local package
  if compgen -G "$kernel_dir/boot/vmlinuz-*" >/dev/null && [ -e "$kernel_dir/complete" ]; then
    say "    kernel $(kernel_release): present"
    return 0
  fi
  package=$(cloud_kernel_package)
  if [ -z "$package" ]; then
    refresh_lists
    package=$(cloud_kernel_package)
  fi
  [ -n "$package" ] || die "apt knows no linux-image-cloud-amd64: is the Debian archive configured?"
  if ! unpack_package "$package" "$kernel_dir"; then
    # The lists may name a version that the archive has replaced since.
    refresh_lists
    unpack_package "$(cloud_kernel_package)" "$kernel_dir" || die "the cloud kernel cannot be downloaded"
  fi
  /sbin/depmod -b "$kernel_dir" "$(kernel_release)"
  touch "$kernel_dir/complete"
  say "    kernel $(kernel_release): unpacked below .cache/linux"
}

kernel_release() {
  local image
  image=$(compgen -G "$kernel_dir/boot/vmlinuz-*" | head -n 1)
  printf '%s\n' "${image##*/vmlinuz-}"
}

fetch_busybox() {
  if [ -x "$busybox_dir/bin/busybox" ]; then
    say "    busybox-static: present"
    return 0
  fi
  if ! unpack_package busybox-static "$busybox_dir"; then
    refresh_lists
    unpack_package busybox-static "$busybox_dir" || die "busybox-static cannot be downloaded"
  fi
  say "    busybox-static: unpacked below .cache/linux"
}

find_go() { PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin command -v go; }

# The modules of tests/clients/go_sdk, with their sums from its go.sum; the test builds from this cache alone.
fetch_go_modules() {
  local go cache=$wisp_cache/go
  if ! go=$(find_go); then
    say "    Go: not installed (the test with the Go SDK will be skipped)"
    return 0
  fi
  if cmp -s "$wisp_root/tests/clients/go_sdk/go.sum" "$cache/complete"; then
    say "    modules of the Go SDK: present"
    return 0
  fi
  mkdir -p "$cache"
  with_progress "modules of the Go SDK" env -C "$wisp_root/tests/clients/go_sdk" GOMODCACHE="$cache/mod" \
    GOCACHE="$cache/build" GOFLAGS="-mod=readonly -modcacherw" GOTOOLCHAIN=local "$go" list -deps . || return 1
  cp "$wisp_root/tests/clients/go_sdk/go.sum" "$cache/complete"
}

# What a lane needs; each is quick when everything is there.
setup_build() {
  install_packages "${packages_build[@]}"
  fetch_httplib
}
setup_guest() {
  install_packages "${packages_guest[@]}"
  fetch_kernel
  fetch_busybox
}
setup_emulator() { install_packages "${packages_emulator[@]}"; }

# A Python environment of the tests' own, with pinned versions.
fetch_python_packages() {
  local wanted=$wisp_root/tests/clients/requirements.txt folder=$wisp_cache/python
  if cmp -s "$wanted" "$folder/complete"; then
    say "    Python packages of tests: present"
    return 0
  fi
  python3 -m venv "$folder" || { say "    python3 -m venv does not work (python3-venv)"; return 1; }
  with_progress "Python packages of tests" "$folder/bin/pip" install --quiet -r "$wanted" || return 1
  cp "$wanted" "$folder/complete"
}

setup_clients() {
  local status=0
  fetch_go_modules || status=1
  fetch_python_packages || status=1
  return $status
}

build_is_set_up() {
  [ -z "$(missing_packages "${packages_build[@]}")" ] && httplib_is_good "$wisp_cache/httplib/httplib.h"
}
guest_is_set_up() {
  [ -z "$(missing_packages "${packages_guest[@]}")" ] && [ -e "$kernel_dir/complete" ] && [ -x "$busybox_dir/bin/busybox" ]
}
emulator_is_set_up() { [ -z "$(missing_packages "${packages_emulator[@]}")" ]; }

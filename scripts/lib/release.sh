# How a release is made. Needs common.sh and packages.sh.

release_programs=(wisp wisp-jailer)

# The time that everything in the release carries.
choose_epoch() {
  if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$wisp_root" log -1 --format=%ct 2>/dev/null) ||
      die "this folder has no git history to take a time from. Set SOURCE_DATE_EPOCH to seconds since 1970"
  fi
  export SOURCE_DATE_EPOCH
}

wisp_version() { sed -n 's/.*kWispVersion = "\(.*\)";/\1/p' "$1/vmm/base/version.h"; }

# copy_sources FOLDER: what a build needs, as it lies here.
copy_sources() {
  mkdir -p "$1"
  tar -C "$wisp_root" --exclude=./build --exclude=./.git --exclude=./.cache/linux --exclude=./.cache/log -cf - . |
    tar -C "$1" -xf -
}

# build_programs SOURCES BUILD: without ccache, whose results may come from another folder. The prefix maps take the folders
# out of __FILE__; the linker's maps tell the bill of materials what went in.
build_programs() {
  local sources=$1 build=$2
  local flags="-ffile-prefix-map='$sources/'= -ffile-prefix-map='$build/'= -ffile-prefix-map=../../="
  mkdir -p "$build"
  cmake -S "$sources" -B "$build" -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
    -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_C_FLAGS="$flags" -DCMAKE_EXE_LINKER_FLAGS="-Wl,-Map,. -Wl,--build-id=none" \
    -DCMAKE_CXX_COMPILER_LAUNCHER= -DCMAKE_C_COMPILER_LAUNCHER= >/dev/null
  CCACHE_DISABLE=1 with_progress "build of ${release_programs[*]}" cmake --build "$build" --target "${release_programs[@]}"
}

# The names of all manual pages, as `wisp help` knows them.
pages_of() { "$1" help help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]\{1,\}\)$/\1/p'; }

# stage_files SOURCES BUILD ROOT: the package's files.
stage_files() {
  local sources=$1 build=$2 root=$3 page name section share=$3/usr/share
  install -d "$root/usr/bin" "$share/man/man1" "$share/man/man8" "$share/bash-completion/completions" \
    "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d" "$share/doc/wisp"
  for name in "${release_programs[@]}"; do
    install -m 0755 "$build/$name" "$root/usr/bin/$name"
  done
  for page in $(pages_of "$build/wisp"); do
    case $page in wisp) name=wisp section=1 ;; wisp-jailer) name=wisp-jailer section=8 ;; *) name=wisp-$page section=1 ;; esac
    "$build/wisp" help --man "$page" | gzip -9n >"$share/man/man$section/$name.$section.gz"
  done
  "$build/wisp" completion bash >"$share/bash-completion/completions/wisp"
  ln -s wisp "$share/bash-completion/completions/wisp-jailer"
  "$build/wisp" completion zsh >"$share/zsh/vendor-completions/_wisp"
  "$build/wisp" completion fish >"$share/fish/vendor_completions.d/wisp.fish"
  ln -s wisp.fish "$share/fish/vendor_completions.d/wisp-jailer.fish"
  cp -r "$sources/README.md" "$sources/docs" "$share/doc/wisp/"
  {
    printf 'Files: *\nLicense: Apache-2.0\n\n'
    printf 'The libraries that are linked into the programs, with their licences, are in sbom.spdx.json.\n\n'
    cat "$sources/LICENSE"
  } >"$share/doc/wisp/copyright"
  find "$root" -type d -exec chmod 0755 {} +
  find "$share" -type f -exec chmod 0644 {} +
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

make_deb() {
  local root=$1 version=$2 target=$3
  mkdir "$root/DEBIAN"
  cat >"$root/DEBIAN/control" <<CONTROL
Package: wisp
Version: $version
Architecture: amd64
Maintainer: the wisp developers <wisp@localhost>
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f 1)
Section: admin
Priority: optional
Description: microVM monitor for KVM with the Firecracker API
 One process runs one virtual machine with only virtio devices, controlled
 over a REST API on a Unix socket. wisp-jailer starts it in confinement.
 The programs are static and need no other package.
CONTROL
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$root" "$target" >/dev/null
}

make_tarball() {
  local root=$1 name=$2 target=$3 folder
  folder=$(dirname "$root")/$name
  mkdir "$folder"
  cp -r "$root/usr/." "$folder/"
  tar -C "$(dirname "$folder")" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf - "$name" |
    gzip -9n >"$target"
}

# make_release SOURCES BUILD DIST
make_release() {
  local sources=$1 build=$2 dist=$3 version work
  version=$(wisp_version "$sources")
  rm -rf "$build" "$dist"
  mkdir -p "$dist"
  build_programs "$sources" "$build"
  work=$(mktemp -d "${TMPDIR:-/tmp}/wisp-stage.XXXXXX")
  cp "$build/wisp" "$build/wisp-jailer" "$dist/"
  python3 "$sources/scripts/lib/sbom.py" --version "$version" --build "$build" --header "$httplib_version" "$httplib_sha256" \
    "${release_programs[@]}" >"$dist/sbom.spdx.json"
  stage_files "$sources" "$build" "$work/root"
  install -m 0644 "$dist/sbom.spdx.json" "$work/root/usr/share/doc/wisp/"
  make_tarball "$work/root" "wisp-$version-x86_64" "$dist/wisp-$version-x86_64.tar.gz"
  make_deb "$work/root" "$version" "$dist/wisp_${version}_amd64.deb"
  rm -rf "$work"
  find "$dist" -type f -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
  (cd "$dist" && sha256sum -- * >../SHA256SUMS.new && mv ../SHA256SUMS.new SHA256SUMS)
}

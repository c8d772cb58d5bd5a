# Configures and builds one preset. Needs common.sh and packages.sh.

# Shows ninja's progress, a line every tenth of the way, and whatever the tools say. One linker warning is left out: a part
# of httplib.h that wisp never calls names getaddrinfo.
show_progress() {
  awk '/.getaddrinfo./ || /in function `httplib::/ { next }
       /^\[[0-9]+\/[0-9]+\] / {
         split(substr($1, 2), part, /[\/\]]/)
         tenth = int(10 * part[1] / part[2])
         if (tenth > shown) { shown = tenth; print "    " $0; fflush() }
         next
       }
       { print; fflush() }'
}

# build_preset PRESET [TARGET...]
build_preset() {
  local preset=$1 began=$SECONDS target options=()
  shift
  build_is_set_up || setup_build
  step "build: preset $preset"
  for target in "$@"; do
    options+=(--target "$target")
  done
  (
    cd "$wisp_root"
    cmake --preset "$preset" --log-level=WARNING >/dev/null
    cmake --build --preset "$preset" "${options[@]}" 2>&1 | show_progress
  ) || die "the preset $preset does not build"
  say "    build/$preset: done in $((SECONDS - began)) s"
}

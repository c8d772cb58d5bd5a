# Shared by every script: where the project is, how progress is shown, how a command becomes root.
# Source it; it turns on strict mode.
set -euo pipefail

wisp_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
wisp_cache=$wisp_root/.cache
wisp_started=$SECONDS

say() { printf '%s\n' "$*"; }
step() { printf '\n==> [%3ds] %s\n' "$((SECONDS - wisp_started))" "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a command as root: directly, or through sudo. Says what to do when neither works.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root for: $*. Run scripts/setup once as root (or install sudo), then start again as yourself."
  fi
}

# with_progress TEXT COMMAND...: the command's output goes to a log; a line every few seconds says that it still runs
# and what it said last. A failure shows the end of the log and returns the command's status.
with_progress() {
  local text=$1 log pid status=0 began=$SECONDS shown=0
  shift
  mkdir -p "$wisp_cache/log"
  log=$(mktemp "$wisp_cache/log/step.XXXXXX")
  say "    $text ..."
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - began - shown)) -ge 10 ]; then
      shown=$((SECONDS - began))
      printf '    ... %ds: %s\n' "$shown" "$(tail -n 1 "$log" | cut -c 1-100)"
    fi
  done
  wait "$pid" || status=$?
  if [ "$status" != 0 ]; then
    say "    failed after $((SECONDS - began)) s; the end of its output:"
    tail -n 40 "$log" | sed 's/^/    | /'
  else
    say "    $text: done in $((SECONDS - began)) s"
  fi
  rm -f "$log"
  return "$status"
}

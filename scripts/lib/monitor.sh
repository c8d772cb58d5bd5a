# Starts and drives one wisp process. POSIX sh, because busybox runs it in the emulated host; source it.
#
# Needs: wisp_program, http_client (tests/linux/uds_http), work (a folder). Per machine it makes in $work: NAME.sock,
# NAME.console (what the guest writes), NAME.log (the monitor's log and errors), NAME.keys (a FIFO: what is written there is
# typed at the guest's console).

# start_monitor NAME [OPTION...]: starts wisp; $monitor_pid is its process, $name the machine that api() talks to.
start_monitor() {
  name=$1
  shift
  rm -f "$work/$name.sock"
  launch_monitor "$wisp_program" --id "$name" --api-sock "$work/$name.sock" --log-path "$work/$name.log" "$@"
}

# launch_monitor COMMAND...: what becomes the monitor of the machine $name, and opens its API at $work/$name.sock.
launch_monitor() {
  rm -f "$work/$name.keys" "$work/$name.console" "$work/$name.log"
  mkfifo "$work/$name.keys"
  "$@" <>"$work/$name.keys" >"$work/$name.console" 2>>"$work/$name.log" &
  monitor_pid=$!
  wait_until 10 "test -S $work/$name.sock"
}

# wait_until SECONDS COMMAND: polls; fails when the time is over.
wait_until() {
  left=$(($1 * 10))
  while ! eval "$2"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 0.1
  done
}

# wait_for_console SECONDS PATTERN: until the guest's console shows the pattern, or the monitor is gone.
wait_for_console() {
  wait_until "$1" "grep -q '$2' $work/$name.console || ! kill -0 $monitor_pid 2>/dev/null"
  grep -q "$2" "$work/$name.console"
}

# api METHOD PATH [BODY]: sets $status and $answer.
api() {
  reply=$("$http_client" "$work/$name.sock" "$@" 2>&1) || true
  status=$(printf '%s\n' "$reply" | head -n 1)
  answer=$(printf '%s\n' "$reply" | tail -n +2)
}

# The guest's console takes these words as typed. Opened for both ways: for writing alone it would wait for a monitor that has
# ended.
type_line() { printf '%s\n' "$1" 1<>"$work/$name.keys"; }

# wait_for_exit SECONDS: waits for the monitor's end and sets $exit_code; "alive" when it does not end.
wait_for_exit() {
  if wait_until "$1" "! kill -0 $monitor_pid 2>/dev/null"; then
    exit_code=0
    wait "$monitor_pid" || exit_code=$?
  else
    exit_code=alive
  fi
}

stop_monitor() {
  kill -KILL "$monitor_pid" 2>/dev/null
  wait "$monitor_pid" 2>/dev/null
}

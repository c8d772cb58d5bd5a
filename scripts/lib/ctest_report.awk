# Shortens `ctest -V`: one line per test as ctest prints it, the output of those that fail, the reason of those that are
# skipped (their line "SKIP: ..."), then ctest's own summary.
/^[0-9]+: / {
  number = $1 + 0
  text = substr($0, length($1) + 2)
  if (text ~ /^(Test command|Working Directory|Environment variables|Test timeout)/) next
  output[number] = output[number] "    | " text "\n"
  if (text ~ /^SKIP: /) reason[number] = substr(text, 7)
  next
}
/^(Added [0-9]+ tests to meet|test [0-9]+$|UpdateCTestConfiguration|Parse Config file|Constructing a list|Done constructing|Updating test list|Checking test dependency|Internal ctest changing|Add coverage)/ { next }
/^ +Start +[0-9]+: / || /^$/ && !summary { next }
/% tests passed, / { summary = 1; print "" }
{
  print
  if (match($0, /Test +#[0-9]+:/)) {
    number = substr($0, RSTART, RLENGTH)
    gsub(/[^0-9]/, "", number)
    number += 0
    if ($0 ~ /\*\*\*Skipped/) print "    skipped: " (number in reason ? reason[number] : "the test gives no reason")
    else if ($0 ~ /\*\*\*/) printf "%s", output[number]
    delete output[number]
  }
  fflush()
}

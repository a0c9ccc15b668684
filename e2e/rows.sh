#!/bin/bash
# Prints how many of the behaviours in rows.tsv pass, for each group of them: it runs the tests that the table names, each once. A row
# passes when all its tests do; one without a test does not. With --list nothing runs, and a row that names its tests counts.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
--list | '') list=${1:-} ;;
*) echo "usage: e2e/rows.sh [--list]" >&2; exit 2 ;;
esac
export CGO_ENABLED=0
# The stock programs of CSI volumes are large: make csi builds them, and without them row A46 does not pass.
[ ! -d bin/csi ] || export SAMPAN_CSI_BIN=${SAMPAN_CSI_BIN:-$PWD/bin/csi}
declare -A verdict
rc=0
named() { grep -v '^#' e2e/rows.tsv | cut -f3 | grep -vE '^(not yet|history)$' | tr ' ' '\n' | sort -u; }
for test in $(named); do
  dir=${test%%:*} name=${test#*:}
  if ! grep -qsE "^func ${name%%/*}\(t \*testing\.T\)" "$dir"/*_test.go; then
    echo "rows.tsv names $test, which there is not" >&2
    exit 1
  fi
  verdict[$test]=ok
done
# Of a test of which rows name parts, all the parts run once, on what they share.
[ -n "$list" ] || for func in $(named | sed 's|/[^:]*$||' | sort -u); do
  parts=$(named | grep -E "^$func(/|$)")
  dir=${func%%:*} name=${func#*:}
  out=$(go test -tags grpcnotrace,e2e -count=1 -v -timeout 30m -run "^$name\$" "./$dir" 2>&1) || true
  for test in $parts; do
    # A test that was skipped, or of which none ran, shows nothing.
    grep -qE "^ *--- PASS: ${test#*:} " <<<"$out" && continue
    verdict[$test]=failed rc=1
    echo "$test did not pass" >&2
  done
  [ $rc = 0 ] || grep -E -- '--- FAIL|FAIL:' <<<"$out" | tail -20 >&2 || true
done
declare -A all passed
groups=(N O F M ST C H NC TM P Q A)
while IFS=$'\t' read -r id _ tests; do
  [ "${id:0:1}" != '#' ] && [ "$tests" != history ] || continue
  group=${id%%[0-9]*}
  all[$group]=$((${all[$group]:-0} + 1))
  [ "$tests" != 'not yet' ] || continue
  good=1
  for test in $tests; do [ "${verdict[$test]}" = ok ] || good=0; done
  passed[$group]=$((${passed[$group]:-0} + good))
done <e2e/rows.tsv
sum=0 rows=0
for i in "${!groups[@]}"; do
  g=${groups[$i]}
  printf 'A%-3s %-2s  %3d of %3d\n' $((i + 1)) "$g" "${passed[$g]:-0}" "${all[$g]:-0}"
  sum=$((sum + ${passed[$g]:-0})) rows=$((rows + ${all[$g]:-0}))
done
printf 'all      %3d of %3d\n' $sum $rows
exit $rc

#!/bin/bash
# Runs a list of upstream's e2e tests against a cluster of its own; docs/conformance.md says what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
SUITE=${SAMPAN_SUITE:-} LIST=${LIST:-$PWD/e2e/conformance/keel.txt} PROCS=${PROCS:-4} PORT=${PORT:-17900}
OUT=${OUT:-/var/tmp/sampan-conformance} DIR=/var/tmp/sampan-conformance-cluster
if [ -z "$SUITE" ] || [ ! -x "$SUITE/bin/e2e.test" ] || [ ! -x "$SUITE/bin/ginkgo" ]; then
  echo "SAMPAN_SUITE does not name a folder with bin/e2e.test and bin/ginkgo; see docs/conformance.md" >&2
  exit 2
fi
trap 'bin/sampan purge --yes --data-dir $DIR' EXIT
bin/sampan up --detach --no-merge --data-dir $DIR --listen 0.0.0.0:$PORT
for image in "$SUITE"/images/*.tar; do bin/sampan image import --data-dir $DIR "$image"; done
mkdir -p "$OUT"
focus=" (?:$(grep -v '^#' "$LIST" | sed -E 's/[][\.+*?()|{}^$]/\\&/g' | paste -sd '|'))\$"
rc=0
PATH=$PWD/bin:$PATH "$SUITE/bin/ginkgo" --procs="$PROCS" --timeout=3h --poll-progress-after=0 --no-color --keep-going --silence-skips \
  --focus="$focus" --output-dir="$OUT" --junit-report=junit.xml "$SUITE/bin/e2e.test" -- \
  --kubeconfig=$DIR/admin.kubeconfig --provider=skeleton --kubectl-path="$PWD/bin/kubectl" --disable-log-dump=true >"$OUT/log" 2>&1 || rc=$?
grep -E '^(Ran|FAIL!|SUCCESS!)|Passed.*Failed' "$OUT/log" | tail -3
grep -E '^\[(FAIL|FAILED)\]' "$OUT/log" | sort -u || true
exit $rc

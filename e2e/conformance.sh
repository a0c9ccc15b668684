#!/bin/bash
# Runs a list of upstream's e2e tests against a cluster of its own; docs/conformance.md says what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
SUITE=${SAMPAN_SUITE:-} LIST=${LIST:-$PWD/e2e/conformance/all.txt} PROCS=${PROCS:-4} NODES=${NODES:-2} PORT=${PORT:-17900}
OUT=${OUT:-/var/tmp/sampan-conformance} DIR=${DIR:-/var/tmp/sampan-conformance-cluster} MIRROR=${MIRROR:-}
if [ -z "$SUITE" ] || [ ! -x "$SUITE/bin/e2e.test" ] || [ ! -x "$SUITE/bin/ginkgo" ]; then
  echo "SAMPAN_SUITE does not name a folder with bin/e2e.test and bin/ginkgo; see docs/conformance.md" >&2
  exit 2
fi
mirror=
trap 'bin/sampan purge --yes --data-dir $DIR; [ -z "$mirror" ] || kill $mirror; rm -rf "$DIR-mirror"' EXIT
# shellcheck disable=SC2086
bin/sampan up --detach --no-merge --nodes "$NODES" --data-dir $DIR --listen 0.0.0.0:$PORT ${UPARGS:-}
if [ -z "$MIRROR" ] && [ -x "$SUITE/bin/imgtool" ]; then
  # Every node reaches the first one's address.
  first=$(bin/kubectl --kubeconfig $DIR/admin.kubeconfig get nodes -l node-role.kubernetes.io/control-plane -o 'jsonpath={.items[0].status.addresses[0].address}')
  MIRROR=$first:$((PORT + 1))
  "$SUITE/bin/imgtool" serve -listen $MIRROR -store "$DIR-mirror" "$SUITE"/images/*.tar >/dev/null 2>&1 &
  mirror=$!
fi
if [ -n "$MIRROR" ]; then
  mkdir -p "$DIR/certs.d/registry.k8s.io"
  printf 'server = "http://%s"\n\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' "$MIRROR" "$MIRROR" >"$DIR/certs.d/registry.k8s.io/hosts.toml"
else
  echo "no registry mirror: the tests that pull with policy Always will fail without a network" >&2
fi
for image in "$SUITE"/images/*.tar; do bin/sampan image import --data-dir $DIR "$image"; done
mkdir -p "$OUT"
focus=" (?:$(grep -v '^#' "$LIST" | sed -E 's/[][\.+*?()|{}^$]/\\&/g' | paste -sd '|'))\$"
rc=0 start=$SECONDS
PATH=$PWD/bin:$PATH "$SUITE/bin/ginkgo" --procs="$PROCS" --timeout=3h --poll-progress-after=0 --no-color --keep-going --silence-skips \
  --focus="$focus" --output-dir="$OUT" --junit-report=junit.xml "$SUITE/bin/e2e.test" -- \
  --kubeconfig=$DIR/admin.kubeconfig --provider=skeleton --kubectl-path="$PWD/bin/kubectl" --disable-log-dump=true >"$OUT/log" 2>&1 || rc=$?
grep -E '^(Ran|FAIL!|SUCCESS!)|Passed.*Failed' "$OUT/log" | tail -3
grep -E '^\[(FAIL|FAILED)\]' "$OUT/log" | sort -u || true
echo "$(grep -vc '^#' "$LIST") tests asked for, $((SECONDS - start)) s"
exit $rc

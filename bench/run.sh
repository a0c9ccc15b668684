#!/bin/bash
# Measures a built sampan on this machine and prints what it saw.
#   bench/run.sh start [N]     N cold starts on an empty data directory: exec to readyz, to node Ready, to the first pod Running
#   bench/run.sh idle [SEC]    one node without workload for SEC seconds (180): memory of every process, CPU per minute
# Needs root and `make build`. Each run has a data directory of its own and removes it.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=$PWD/bin DIR=/var/tmp/sampan-bench-$$ PORT=${PORT:-17555}
export KUBECONFIG=$DIR/admin.kubeconfig
trap '$BIN/sampan purge --yes --data-dir $DIR >/dev/null 2>&1 || true' EXIT

up() { $BIN/sampan up --detach --no-merge --data-dir "$DIR" --listen 0.0.0.0:$PORT; }
purge() { $BIN/sampan purge --yes --data-dir "$DIR"; }
ms() { echo $(( ($(date +%s%N) - $1) / 1000000 )); }

start() {
  for i in $(seq "${1:-5}"); do
    local t=$(date +%s%N)
    up >"/tmp/sampan-bench-up" 2>&1 || { cat /tmp/sampan-bench-up; exit 1; }
    local ready=$(ms $t)
    $BIN/kubectl create -f - >/dev/null <<P
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"first"},"spec":{"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false,"containers":[{"name":"c","image":"sampan.dev/pause:1","imagePullPolicy":"Never"}]}}
P
    $BIN/kubectl wait pod/first --for=jsonpath='{.status.phase}'=Running --timeout=30s >/dev/null
    local running=$(ms $t)
    echo "run $i: up returned (node Ready) after $ready ms, first pod Running after $running ms"
    sed 's/^/    /' /tmp/sampan-bench-up
    purge
  done
}

# every process of the cluster: those that name its directories, and their descendants
pids() { pgrep -f -- "$DIR|/run/sampan-$(printf %s "$DIR" | sha256sum | cut -c1-8)" | grep -vx $$ || true; }

idle() {
  local secs=${1:-180}
  up >/dev/null
  sleep 20 # what a start leaves to do is done by then
  local list; list=$(pids)
  declare -A before
  for p in $list; do before[$p]=$(awk '{print $14+$15}' /proc/$p/stat); done
  sleep "$secs"
  local hz total=0 cpu=0; hz=$(getconf CLK_TCK)
  for p in $list; do
    [ -d /proc/$p ] || continue
    local rss now used name
    rss=$(awk '/^VmRSS/{print $2}' /proc/$p/status); now=$(awk '{print $14+$15}' /proc/$p/stat)
    used=$((now - ${before[$p]})); name=$(tr '\0' ' ' </proc/$p/cmdline | cut -c1-60)
    echo "pid $p: RSS $((rss / 1024)) MB ($(awk '/^RssAnon/{print int($2/1024)}' /proc/$p/status) anonymous), CPU $(awk -v u=$used -v h=$hz -v s=$secs 'BEGIN{printf "%.2f", u/h*60/s}') s/min  $name"
    total=$((total + rss)); cpu=$((cpu + used))
  done
  awk -v t=$total -v c=$cpu -v h=$hz -v s=$secs 'BEGIN{printf "all: RSS %.0f MB, CPU %.2f s/min = %.2f %% of a core\n", t/1024, c/h*60/s, 100*c/h/s}'
}

case "${1:-}" in
start | idle) "$@" ;;
*) sed -n 2,6p "$0"; exit 2 ;;
esac

#!/bin/bash
# The checks of control groups of version 2, run by guest.service in the virtual machine that run.sh starts.
cd /opt
export KUBECONFIG=/root/admin.kubeconfig
read -ra want <checks || true
fs=/sys/fs/cgroup

# check NAME COMMAND…: runs the command; what it printed is why it failed. With names asked for, others are left out.
check() {
  local name=$1 out; shift
  wanted "$name" || return 0
  if out=$("$@" 2>&1); then echo "ok $name"; else echo "FAIL $name: $(tr '\n' '|' <<<"$out" | tail -c 700)"; fi
}
# wanted NAME: it is one of those asked for, or one of a part asked for ("systemd" has "systemd/up").
wanted() {
  [ ${#want[@]} -gt 0 ] || return 0
  local w; for w in "${want[@]}"; do case $1 in "$w" | "$w"/*) return 0 ;; esac; done
  return 1
}
# soon SECONDS COMMAND…: tries until it succeeds.
soon() {
  local end=$((SECONDS + $1)) out; shift
  until out=$("$@" 2>&1); do [ $SECONDS -lt $end ] || { echo "not in time: $*: $out"; return 1; }; sleep 0.5; done
}
is() { [ "$1" = "$2" ] || { echo "want $2, got $1"; return 1; }; }
has() { grep -qE -- "$1" <<<"$2" || { echo "no $1 in: $2"; return 1; }; }
k() { kubectl "$@"; }
field() { k get pod "$1" -o jsonpath="{$2}"; }
field_is() { is "$(field "$1" "$2")" "$3"; }

# podgroup POD: the directory of its control group; group POD [CONTAINER]: that of a container.
podgroup() {
  local uid; uid=$(field "$1" .metadata.uid)
  find $fs -type d \( -name "*pod$uid*" -o -name "*pod${uid//-/_}*" \) | awk '{print length, $0}' | sort -n | head -1 | cut -d' ' -f2-
}
group() {
  local id; id=$(field "$1" ".status.containerStatuses[?(@.name==\"${2:-c}\")].containerID"); id=${id#containerd://}
  find $fs -type d -name "*$id*" | head -1
}
file_is() { is "${1#$fs}: $(cat "$1")" "${1#$fs}: $2"; }

up() { # [FLAGS…]
  sampan up --detach --no-merge --data-dir /var/lib/sampan --kubeconfig-out $KUBECONFIG "$@" >/root/up.log 2>&1 || { cat /root/up.log; sampan logs --data-dir /var/lib/sampan | tail -30; return 1; }
  sampan image import --data-dir /var/lib/sampan bin/demo.tar && sampan image import --data-dir /var/lib/sampan busybox.tar
}
apply() { k apply -f "/opt/$1"; }
ready() { k wait --for=condition=Ready --timeout="${2:-120}s" pod -l "app=$1"; }

limits() { # of pods and containers
  local p g weight=$1
  p=$(podgroup limited) g=$(group limited)
  file_is "$p/memory.max" 67108864 && file_is "$g/memory.max" 67108864 && file_is "$p/cpu.max" "50000 100000" && file_is "$g/cpu.max" "50000 100000" &&
    file_is "$g/cpu.weight" "$weight" && file_is "$p/cpu.weight" "$weight" && file_is "$g/memory.oom.group" 1 && file_is "$p/hugetlb.2MB.max" 4194304 && file_is "$g/hugetlb.2MB.max" 4194304 &&
    file_is "$(group free)/hugetlb.2MB.max" 0 && file_is "$(podgroup free)/memory.max" max && file_is "$(podgroup free)/cpu.max" "max 100000" && file_is "$(podgroup free)/cpu.weight" 1
}
own_limits() { file_is "$(podgroup limited)/pids.max" 77; }
deployment() { k rollout status --timeout=120s deployment/web && is "$(k get deployment web -o jsonpath='{.status.readyReplicas}')" 2; }
oom() {
  soon 60 field_is hog '.status.containerStatuses[0].lastState.terminated.reason' OOMKilled &&
    field_is hog '.status.containerStatuses[0].lastState.terminated.exitCode' 137
}
oom_child() { # the whole container goes when one process of it is killed
  soon 60 field_is hogchild '.status.containerStatuses[0].state.terminated.reason' OOMKilled
}
resize() {
  local id; id=$(field small '.status.containerStatuses[0].containerID')
  k patch pod small --subresource resize --type merge -p '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"200m","memory":"48Mi"},"limits":{"cpu":"400m","memory":"96Mi"}}}]}}' &&
    soon 60 field_is small '.status.containerStatuses[0].resources.limits.memory' 96Mi && field_is small '.status.containerStatuses[0].containerID' "$id" &&
    file_is "$(group small)/memory.max" 100663296 && file_is "$(podgroup small)/memory.max" 100663296 && file_is "$(group small)/cpu.max" "40000 100000" && file_is "$(podgroup small)/cpu.max" "40000 100000" &&
    k patch pod small --subresource resize --type merge -p '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"32Mi"},"limits":{"cpu":"100m","memory":"64Mi"}}}]}}' &&
    soon 60 field_is small '.status.containerStatuses[0].resources.limits.memory' 64Mi && file_is "$(podgroup small)/memory.max" 67108864 && file_is "$(group small)/cpu.max" "10000 100000" && field_is small '.status.containerStatuses[0].restartCount' 0
}
summary() { k get --raw "/api/v1/nodes/$(hostname)/proxy/stats/summary"; }
psi() {
  local s; s=$(summary)
  has '"psi"' "$s" && has 'container_pressure_cpu_waiting_seconds_total\{.*pod="limited"' "$(k get --raw "/api/v1/nodes/$(hostname)/proxy/metrics/cadvisor")"
}
version() { has '^kubelet_cgroup_version.* 2$' "$(k get --raw "/api/v1/nodes/$(hostname)/proxy/metrics")"; }
usage() { # what the pod uses is seen
  local s; s=$(summary | tr -d ' \n'); has '"workingSetBytes":[1-9]' "$s" && has '"usageCoreNanoSeconds":[1-9]' "$s" && has '"process_count":[1-9]' "$s"
}
none_left() {
  [ -z "$(find $fs -type d -name '*kubepods*')" ] || { find $fs -type d -name '*kubepods*' | head -5; return 1; }
  [ -z "$(systemctl list-units --all --plain --no-legend '*kubepods*' 'cri-containerd-*')" ] || { systemctl list-units --all '*kubepods*' 'cri-containerd-*' | head -5; return 1; }
}
down() { sampan purge --yes --data-dir /var/lib/sampan && soon 10 none_left; }

qos() { # who promises nothing has the least
  file_is "$(dirname "$(podgroup free)")/cpu.weight" 1
}
noswap() { file_is "$(group limited)/memory.swap.max" 0 && file_is "$(group free)/memory.swap.max" 0; }
reloaded() { systemctl daemon-reload && sleep 1 && limits "$1"; }
pressed() { # memory.available is read
  is "$(k get node -o jsonpath='{.items[0].status.conditions[?(@.type=="MemoryPressure")].status}')" True
}
swap_on() { dd if=/dev/zero of=/swap bs=1M count=512 status=none && chmod 600 /swap && mkswap -q /swap && swapon /swap; }
# share BYTES: what of the swap a container has that requests so much
share() { awk -v n="$1" '/^MemTotal/ {m = $2 * 1024} /^SwapTotal/ {s = $2 * 1024} END {printf "%d", int(n / m * s / 4096) * 4096}' /proc/meminfo; }
limited_swap() { file_is "$(group small)/memory.swap.max" "$(share 33554432)" && file_is "$(group limited)/memory.swap.max" 0 && file_is "$(group free)/memory.swap.max" 0; }
protection() {
  file_is "$(group limited)/memory.min" 67108864 && file_is "$(podgroup limited)/memory.min" 67108864 && file_is "$(group limited)/memory.high" max &&
    file_is "$(group small)/memory.low" 33554432 && file_is "$(podgroup small)/memory.low" 33554432 && file_is "$(group small)/memory.high" 50331648 &&
    file_is "$(group free)/memory.low" 0 && has '^[1-9]' "$(cat "$(group free)/memory.high")" &&
    has '^[1-9]' "$(cat "$(dirname "$(podgroup small)")/memory.low")" && has '^[1-9]' "$(cat "$(dirname "$(podgroup limited)")/memory.min")"
}
swap_capacity() { is "$(k get node -o jsonpath='{.items[0].status.nodeInfo.swap.capacity}')" "$(awk '/^SwapTotal/ {print $2 * 1024}' /proc/meminfo)"; }
resized() { file_is "$(group small)/memory.high" 50331648 && file_is "$(podgroup small)/memory.low" 33554432 && file_is "$(group small)/memory.swap.max" "$(share 33554432)"; }

driver() { is "$(k get --raw "/api/v1/nodes/$(hostname)/proxy/configz" | tr -d ' \n' | grep -o '"cgroupDriver":"[a-z]*"')" '"cgroupDriver":"systemd"'; }
slices() { # pods are in slices and containers in scopes that systemd knows
  local p g uid; uid=$(field small .metadata.uid) p=$(podgroup small) g=$(group small)
  is "${p#$fs}" "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uid//-/_}.slice" && has '/cri-containerd-[0-9a-f]{64}\.scope$' "$g" && is "$(dirname "$g")" "$p" &&
    is "$(systemctl show -P ActiveState "$(basename "$p")")" active && is "$(systemctl show -P ActiveState "$(basename "$g")")" active &&
    is "$(systemctl show -P MemoryMax "$(basename "$p")")" "$1" && is "$(systemctl show -P CPUQuotaPerSecUSec "$(basename "$p")")" "$2" &&
    is "$(find "$p" -mindepth 1 -maxdepth 1 -type d ! -name '*.scope')" ""
}
deleted() { # nothing is left of one pod
  local unit; unit=$(basename "$(podgroup small)")
  k delete pod small --wait --timeout=90s && soon 20 is "$(systemctl show -P ActiveState "$unit")" inactive && soon 20 is "$(find $fs -name "$unit")" ""
}
killed() { # who comes after one that was killed goes on with the containers that run
  local id; id=$(field limited '.status.containerStatuses[0].containerID')
  kill -9 "$(cat /var/lib/sampan/sampan.pid)" && sleep 1 && up --kubelet-config /opt/systemd.yaml && ready cgroups && field_is limited '.status.containerStatuses[0].containerID' "$id" && field_is limited '.status.containerStatuses[0].restartCount' 0
}

ip link set lo up
ip link set "$(ls /sys/class/net | grep -vx lo | head -1)" up && ip addr add 10.0.2.15/24 dev "$(ls /sys/class/net | grep -vx lo | head -1)" && ip route add default via 10.0.2.2
hostname guest
echo "# $(uname -r), $(systemctl --version | head -1), $(stat -fc %T $fs), $(cat $fs/cgroup.controllers)"

# The node as it is by default.
check up up
check apply apply pods.yaml
check ready ready cgroups
check deployment deployment
check limits limits 59
check qos qos
check oom oom
check oom-child oom_child
check resize resize
check psi psi
check version version
check usage usage
check noswap noswap
check reload reloaded 59
check purge down

# The node whose groups systemd makes.
check systemd/up up --kubelet-config /opt/systemd.yaml
check systemd/driver driver
check systemd/apply apply pods.yaml
check systemd/ready ready cgroups 180
check systemd/deployment deployment
check systemd/slices slices 67108864 100ms
check systemd/limits limits 59
check systemd/oom oom
check systemd/usage usage
check systemd/psi psi
check systemd/reload reloaded 59
check systemd/resize resize
check systemd/told slices 67108864 100ms
check systemd/killed killed
check systemd/delete deleted
check systemd/purge down

# The node with swap, and with memory kept for pods.
check swapon swap_on
check memory/up up --kubelet-config /opt/kubelet-config.yaml
check memory/apply apply pods.yaml
check memory/ready ready cgroups
check memory/limited-swap limited_swap
check memory/protection protection
check memory/pids own_limits
check memory/capacity swap_capacity
check memory/resize resize
check memory/resized resized
check memory/purge down

# The node short of memory.
check pressure/up sampan up --detach --no-merge --data-dir /var/lib/sampan --kubeconfig-out $KUBECONFIG --eviction-hard "memory.available<2950Mi"
check pressure/condition soon 60 pressed
check pressure/purge down
echo done

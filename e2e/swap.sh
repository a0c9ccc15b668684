#!/bin/bash
# swap.sh FOLDER: put upstream's kube-scheduler, kube-controller-manager and kube-proxy in the places of ours and ours in the places
# of upstream's, one at a time, and print a table of what worked (docs/swap.md). It ends with 0 if every row works. FOLDER holds upstream's
# binaries of v1.37.1:
# kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy. They are built from their Go module:
#
#   mkdir build && cd build && go mod init build && go get k8s.io/kubernetes@v1.37.1   # with upstream's staging modules required at v0.37.1
#   go build -o FOLDER/ k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy}
#
# Everything runs in a network namespace of its own with one link that leads nowhere, since upstream's proxy writes rules under one
# name for all. It needs root, and what `make build` makes.
set -eu
[ $# -eq 1 ] && [ -x "$1/kube-scheduler" ] || { sed -n '2,8p' "$0" >&2; exit 2; }
stock=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
ns=sampan-swap-$$
work=$(mktemp -d)
trap 'ip netns del $ns; rm -rf "$work"' EXIT
ip netns add "$ns"
# Not 'ip netns exec', which mounts /sys anew and hides the cgroups.
inside() { nsenter --net=/run/netns/"$ns" "$@"; }
inside ip link set lo up
inside ip link add world type veth peer name nowhere
inside ip link set nowhere up
inside ip addr add 198.51.100.2/24 dev world
inside ip link set world up
inside ip route add default via 198.51.100.1
inside sysctl -qw net.ipv4.ip_forward=1
export CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' GOTOOLCHAIN=local
go test -tags grpcnotrace,e2e -c -o "$work/e2e.test" ./e2e/
cd e2e
export SAMPAN_STOCK=$stock
inside "$work/e2e.test" -test.run '^TestSwap$' -test.count=1 -test.timeout 30m >"$work/log" 2>&1 || failed=1
grep '^|' "$work/log" || true
if [ -n "${failed:-}" ]; then grep -v '^|' "$work/log" >&2; exit 1; fi

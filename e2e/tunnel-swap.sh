#!/bin/sh
# tunnel-swap.sh: builds the original Konnectivity (sigs.k8s.io/apiserver-network-proxy) outside the repository, runs its server and
# agent in the places of ours and ours in the places of its, and prints what worked and how long it took.
set -eu
version=${1:-v0.34.0}
top=$(cd "$(dirname "$0")/.." && pwd)
lab=${SAMPAN_KONNECTIVITY_LAB:-/var/tmp/sampan-konnectivity}/$version
if [ ! -x "$lab/server" ] || [ ! -x "$lab/agent" ]; then
	mkdir -p "$lab/module"
	cd "$lab/module"
	printf 'module stock\n\ngo 1.25\n' >go.mod
	GOFLAGS=-mod=mod CGO_ENABLED=0 go get "sigs.k8s.io/apiserver-network-proxy@$version"
	GOFLAGS=-mod=mod CGO_ENABLED=0 go build -o "$lab/" sigs.k8s.io/apiserver-network-proxy/cmd/server sigs.k8s.io/apiserver-network-proxy/cmd/agent
fi
cd "$top"
SAMPAN_KONNECTIVITY=$lab CGO_ENABLED=0 go test -tags grpcnotrace,e2e -count=1 -run 'TestTunnelSwap$' -v ./e2e/

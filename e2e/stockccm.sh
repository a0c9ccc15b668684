#!/bin/sh
# stockccm.sh: builds the sample program of k8s.io/cloud-provider, unchanged but for a small cloud put beside it, outside the repository,
# and has it be the cloud of a cluster.
set -eu
version=${1:-v0.37.1}
top=$(cd "$(dirname "$0")/.." && pwd)
lab=${SAMPAN_STOCKCCM_LAB:-/var/tmp/sampan-stockccm}/$version
if [ ! -x "$lab/cloud-controller-manager" ]; then
	mkdir -p "$lab/module"
	cd "$lab/module"
	printf 'module stock\n\ngo 1.26\n' >go.mod
	GOFLAGS=-mod=mod go get "k8s.io/cloud-provider@$version"
	cp "$(GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' k8s.io/cloud-provider)/sample/basic_main.go" main.go
	cp "$top/e2e/testdata/stockccm-provider.go" provider.go
	chmod u+w main.go
	GOFLAGS=-mod=mod go mod tidy
	CGO_ENABLED=0 go build -ldflags '-s -w' -o "$lab/cloud-controller-manager" .
fi
cd "$top"
SAMPAN_STOCKCCM=$lab/cloud-controller-manager CGO_ENABLED=0 go test -tags grpcnotrace,e2e -count=1 -run 'TestStockCloud$' -v ./e2e/

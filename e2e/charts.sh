#!/bin/bash
# charts.sh [VERSION]: install, test, upgrade, roll back and remove the charts of testdata/charts with stock helm, of which VERSION
# (v4.3.0) is built from its Go module. It needs root, and what `make build` makes.
set -eu
version=${1:-v4.3.0}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' GOTOOLCHAIN=local
(cd "$work" && go mod init helm >helm.log 2>&1 && go get "helm.sh/helm/${version%%.*}/cmd/helm@$version" >>helm.log 2>&1 &&
  go build -o bin/helm "helm.sh/helm/${version%%.*}/cmd/helm" >>helm.log 2>&1) || { cat "$work/helm.log" >&2; exit 1; }
SAMPAN_HELM=$work/bin/helm go test -tags grpcnotrace,e2e -run '^TestCharts$' -count=1 -timeout 30m -v ./e2e/

#!/bin/bash
# k8s.io/kubernetes v1.37.1, pkg/apis/core/v1/helper: AddOrUpdateTolerationInPodSpec reports a change, and puts a new list into the pod's
# spec, also where the very toleration is there already: it compares a pointer with a value by equality.Semantic, which are never equal.
# The guess was that false is what it answers when nothing is to
# be done; the DaemonSet controller, which adds its tolerations by it, so overwrites seconds that a template gives.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
mod=$(go mod download -json k8s.io/kubernetes@v1.37.1 | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
printf 'module finding\ngo 1.26\nrequire k8s.io/kubernetes v1.37.1\n' > go.mod
sed -n 's|^\s*\(k8s.io/[^ ]*\) => ./staging.*|replace \1 => \1 v0.37.1|p' "$mod" >> go.mod
cat > main.go <<'M'
package main

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper"
)

func main() {
	unreachable := v1.Toleration{Key: v1.TaintNodeUnreachable, Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute}
	spec := &v1.PodSpec{Tolerations: []v1.Toleration{unreachable}}
	same := unreachable
	fmt.Println("the same toleration, changed:", helper.AddOrUpdateTolerationInPodSpec(spec, &same), len(spec.Tolerations))
	spec.Tolerations[0].TolerationSeconds = new(int64(60))
	helper.AddOrUpdateTolerationInPodSpec(spec, &same)
	fmt.Println("seconds kept:", spec.Tolerations[0].TolerationSeconds != nil)
}
M
GOFLAGS=-mod=mod go mod tidy >/dev/null 2>&1
got=$(GOFLAGS=-mod=mod CGO_ENABLED=0 go run .)
echo "$got"
[ "$got" = "the same toleration, changed: true 1
seconds kept: false" ] || { echo "changed"; exit 1; }

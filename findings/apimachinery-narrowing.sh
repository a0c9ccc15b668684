#!/bin/bash
# k8s.io/apimachinery v0.37.1: runtime.DefaultUnstructuredConverter.FromUnstructured cuts an integer that is too wide for its field
# down to the field's width and reports no error, also in its validating form. 4294967298 for an int32 becomes 2, where
# encoding/json and a JSON merge patch refuse the same number. A kube-apiserver v1.37.1 therefore answers a strategic merge patch
# of spec.replicas 4294967298 with 200 and two replicas. A whole number beyond 2^63, which arrives as a float64, is taken too.
# The guess was that a number that does not fit is an error, as it is everywhere else in the API.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'M'
module finding
go 1.26
require (
	k8s.io/api v0.37.1
	k8s.io/apimachinery v0.37.1
)
M
cat > main.go <<'M'
package main

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func main() {
	for _, n := range []any{int64(4294967298), int64(-4294967295), float64(2147483648)} {
		doc := map[string]any{"spec": map[string]any{"replicas": n}}
		var d appsv1.Deployment
		err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(doc, &d, true)
		fmt.Printf("%T %v: %v", n, n, err)
		if err == nil && d.Spec.Replicas != nil {
			fmt.Printf(", in range %v", float64(*d.Spec.Replicas) == asFloat(n))
		}
		fmt.Println()
	}
	var d appsv1.Deployment
	fmt.Println("encoding/json refuses:", json.Unmarshal([]byte(`{"spec":{"replicas":4294967298}}`), &d) != nil)
}

func asFloat(n any) float64 {
	if f, ok := n.(float64); ok {
		return f
	}
	return float64(n.(int64))
}
M
GOFLAGS=-mod=mod go mod tidy >/dev/null 2>&1
got=$(GOFLAGS=-mod=mod go run .)
echo "$got"
want='int64 4294967298: <nil>, in range false
int64 -4294967295: <nil>, in range false
float64 2.147483648e+09: <nil>, in range false
encoding/json refuses: true'
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }

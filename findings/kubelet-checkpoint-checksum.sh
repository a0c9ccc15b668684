#!/bin/bash
# k8s.io/kubernetes v1.37.1, pkg/kubelet/checkpointmanager/checksum: the checksum in a checkpoint of the kubelet is not of what is in the
# file. It is FNV-1a of a print of Go's values that names their types: that of a string (as dataChecksum in cpu_manager_state) sums
# "(string)" and the string; two types that are the same JSON have two checksums, and where the kubelet's source has renamed a type, it
# sums the old name. A device manager's checkpoint (kubelet_internal_checkpoint) with null in place of an empty object is corrupt; one
# with other white space, or with a key that nobody knows, is not. The guess was that a checksum beside data in a file is of its bytes.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
mod=$(go mod download -json k8s.io/kubernetes@v1.37.1 | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
printf 'module finding\ngo 1.26\nrequire k8s.io/kubernetes v1.37.1\n' > go.mod
sed -n 's|^\s*\(k8s.io/[^ ]*\) => ./staging.*|replace \1 => \1 v0.37.1|p' "$mod" >> go.mod
cat > main.go <<'M'
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"

	"k8s.io/kubernetes/pkg/kubelet/checkpointmanager/checksum"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager/checkpoint"
)

type (
	was struct{ PolicyName string }
	is  struct{ PolicyName string }
)

func fnv1a(s string) checksum.Checksum {
	h := fnv.New32a()
	h.Write([]byte(s))
	return checksum.Checksum(h.Sum32())
}

// verified says whether a file with a device manager's checkpoint is taken.
func verified(file []byte) string {
	c := checkpoint.New(nil, nil)
	if err := c.UnmarshalCheckpoint(file); err != nil {
		return err.Error()
	}
	if c.VerifyChecksum() != nil {
		return "corrupt"
	}
	return "taken"
}

func main() {
	data := `{"policyName":"static"}`
	fmt.Println("a string is summed by its bytes:", checksum.New(data) == fnv1a(data))
	fmt.Println("by \"(string)\" and its bytes:", checksum.New(data) == fnv1a("(string)"+data))

	a, _ := json.Marshal(was{"static"})
	b, _ := json.Marshal(is{"static"})
	fmt.Printf("another name of the type: same JSON %v, same checksum %v\n", bytes.Equal(a, b), checksum.New(was{"static"}) == checksum.New(is{"static"}))

	file, err := checkpoint.New(nil, map[string][]string{}).MarshalCheckpoint()
	fmt.Println(string(file), err)
	replaced := func(old, now string) []byte { return bytes.Replace(file, []byte(old), []byte(now), 1) }
	var spaced bytes.Buffer
	_ = json.Indent(&spaced, file, "", "  ")
	fmt.Println("as written:", verified(file))
	fmt.Println("indented:", verified(spaced.Bytes()))
	fmt.Println("one more key:", verified(replaced(`"Data":{`, `"Data":{"More":1,`)))
	fmt.Println("null for the empty object:", verified(replaced(`"RegisteredDevices":{}`, `"RegisteredDevices":null`)))
}
M
GOFLAGS=-mod=mod go mod tidy >/dev/null 2>&1
got=$(GOFLAGS=-mod=mod go list -m k8s.io/kubernetes; GOFLAGS=-mod=mod go run .)
echo "$got"
want='k8s.io/kubernetes v1.37.1
a string is summed by its bytes: false
by "(string)" and its bytes: true
another name of the type: same JSON true, same checksum false
{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":3467439661} <nil>
as written: taken
indented: taken
one more key: taken
null for the empty object: corrupt'
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }

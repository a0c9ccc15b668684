#!/bin/bash
# github.com/go-jose/go-jose/v4 v4.1.3: a token's single audience is always written as a string; version 2 wrote it as an array unless
# told otherwise, and had the switch MarshalSingleStringAsArray (true by default), which version 4 does not have. Tokens of a
# kube-apiserver v1.37.1 always carry an array, and some verifiers read nothing else. The guess was that a newer major version of
# the same library writes the same token.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'M'
module finding
go 1.26
require (
	github.com/go-jose/go-jose/v4 v4.1.3
	gopkg.in/go-jose/go-jose.v2 v2.6.3
)
M
cat > main.go <<'M'
package main

import (
	"encoding/json"
	"fmt"

	four "github.com/go-jose/go-jose/v4/jwt"
	two "gopkg.in/go-jose/go-jose.v2/jwt"
)

func main() {
	a, _ := json.Marshal(four.Claims{Audience: four.Audience{"a"}})
	b, _ := json.Marshal(two.Claims{Audience: two.Audience{"a"}})
	fmt.Println("v4", string(a))
	fmt.Println("v2", string(b))
}
M
GOFLAGS=-mod=mod go mod tidy >/dev/null 2>&1
got=$(GOFLAGS=-mod=mod go run .)
echo "$got"
want='v4 {"aud":"a"}
v2 {"aud":["a"]}'
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }

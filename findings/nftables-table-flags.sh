#!/bin/bash
# github.com/google/nftables v0.3.0: Conn.AddTable does not send Table.Flags, so a table that is asked for with the flags "owner" or
# "dormant" is made without them and without an error. The guess was that a field of the struct which the library fills when it
# lists tables is also used when it makes one. Needs root and nftables; works in a network namespace of its own.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'M'
module finding
go 1.26
require github.com/google/nftables v0.3.0
M
cat > main.go <<'M'
package main

import (
	"fmt"
	"os"

	"github.com/google/nftables"
)

func main() {
	c, err := nftables.New()
	if err == nil {
		c.AddTable(&nftables.Table{Name: "asleep", Family: nftables.TableFamilyIPv4, Flags: 1}) // NFT_TABLE_F_DORMANT
		err = c.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
M
GOFLAGS=-mod=mod go mod tidy >/dev/null 2>&1
GOFLAGS=-mod=mod CGO_ENABLED=0 go build -o asleep .
got=$(unshare -n sh -c './asleep && nft list tables ip && nft list table ip asleep')
echo "$got"
case $got in *dormant*) echo "changed: the flag is sent now"; exit 1;; *"table ip asleep"*) ;; *) echo "no table"; exit 1;; esac

#!/bin/bash
# containerd v2.4.2: the CRI plugin's registry.config_path may be a list of folders, joined by colons (as its documented default,
# /etc/containerd/certs.d:/etc/docker/certs.d, is), but a pull by the transfer service, which is how it pulls by default, takes the list
# for the name of one folder. A hosts.toml in either folder is then not read, with no word in the log: the mirror it names gets no
# request, and the registry itself is asked. One folder works, and so does the same list with use_local_image_pull. The guess was
# that both ways to pull read a setting alike, or that a folder which does not exist is named in a warning. Needs root; what it
# writes is in a temporary folder.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'M'
module finding
go 1.26
require github.com/containerd/containerd/v2 v2.4.2
M
cat > main.go <<'M'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "github.com/containerd/containerd/v2/version"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// nothing is a registry without images that counts requests.
func nothing(n *atomic.Int32) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		http.NotFound(w, r)
	}))
}

// Arguments: containerd's socket and the folder for the registry's hosts.toml.
func main() {
	var atMirror, atOrigin atomic.Int32
	mirror, origin := nothing(&atMirror), nothing(&atOrigin)
	host := origin.Listener.Addr().String()
	of := filepath.Join(os.Args[2], host)
	toml := fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror.URL)
	must(os.MkdirAll(of, 0o755))
	must(os.WriteFile(filepath.Join(of, "hosts.toml"), []byte(toml), 0o644))

	conn, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	image := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: host + "/app:1"}}
	_, err = cri.NewImageServiceClient(conn).PullImage(ctx, image, grpc.WaitForReady(true))
	fmt.Printf("mirror asked: %v, registry asked: %v, not found: %v\n", atMirror.Load() > 0, atOrigin.Load() > 0, err != nil)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
M
export GOFLAGS=-mod=mod CGO_ENABLED=0
go build -o containerd github.com/containerd/containerd/v2/cmd/containerd 2>/dev/null
go get k8s.io/cri-api/pkg/apis/runtime/v1 google.golang.org/grpc 2>/dev/null
go build -o pull .
mkdir one two cni

# pull PATH LOCAL runs containerd with a config_path and pulls once; hosts.toml is in the folder "one".
pull() {
	rm -rf root state log
	cat > config.toml <<-C
	version = 3
	root = '$dir/root'
	state = '$dir/state'
	disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri', 'io.containerd.ttrpc.v1.otelttrpc']
	[grpc]
	address = '$dir/sock'
	[plugins.'io.containerd.cri.v1.images']
	snapshotter = 'native'
	use_local_image_pull = $2
	[plugins.'io.containerd.cri.v1.images'.registry]
	config_path = '$1'
	[plugins.'io.containerd.cri.v1.runtime'.cni]
	bin_dirs = ['$dir/cni']
	conf_dir = '$dir/cni'
	[plugins.'io.containerd.grpc.v1.cri']
	disable_tcp_service = true
	C
	./containerd --config config.toml >log 2>&1 &
	pid=$!
	./pull "$dir/sock" "$dir/one" || echo "the client failed"
	kill $pid; wait $pid || true
	if grep -q 'hosts.toml\|no such file.*one' log; then echo "the log says why"; fi
}
got=$(./containerd --version | awk '{print $3}' | cut -d+ -f1
echo "one folder:"; pull "$dir/one" false
echo "two folders:"; pull "$dir/one:$dir/two" false
echo "two folders, local pull:"; pull "$dir/one:$dir/two" true)
echo "$got"
want="2.4.2
one folder:
mirror asked: true, registry asked: true, not found: true
two folders:
mirror asked: false, registry asked: true, not found: true
two folders, local pull:
mirror asked: true, registry asked: true, not found: true"
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }

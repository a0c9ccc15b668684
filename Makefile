# sampan: `make up` builds what is needed and starts a cluster, `make test` passes the tests.
# `make help` lists the targets.

SHELL   := /bin/bash
BIN     := $(CURDIR)/bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TAGS    := grpcnotrace
export GOTOOLCHAIN := local
export GOFLAGS     := -buildvcs=false -trimpath
export CGO_ENABLED := 0

# ARCH builds for another architecture, with a C compiler and libseccomp for it: make build ARCH=arm64 GCC=aarch64-linux-gnu-gcc
HOSTARCH := $(shell go env GOHOSTARCH)
ARCH     := $(HOSTARCH)
GCC      := gcc
export GOARCH := $(ARCH)
export CC     := $(GCC)
MKIMAGE  := GOARCH=$(HOSTARCH) go run ./tools/mkimage -arch $(ARCH)
LDFLAGS := -s -w

.PHONY: build install dist up test race lint e2e csi vm conformance apidiff bench fmt help

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: $(BIN)/containerd $(BIN)/runc $(BIN)/kubectl $(BIN)/pause.tar $(BIN)/demo.tar $(BIN)/sampan-monitor $(BIN)/sampan-keep ## put sampan, containerd, the monitor, runc and kubectl into bin/
	go build -tags $(TAGS) -ldflags '$(LDFLAGS) -X sampan.dev/internal/config.Build=$(VERSION)' -o $(BIN)/sampan ./cmd/sampan
	go build -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/sampan-cni ./cmd/sampan-cni

# The tools come from their own modules, so that their dependencies do not mix with ours. Each is built once per version.
CTR_TAGS := no_btrfs no_devmapper no_zfs grpcnotrace
CTR_V     = $$(go -C tools/containerd list -m -f '{{.Version}}' github.com/containerd/containerd/v2)
RUNC_V    = $$(go -C tools/runc list -m -f '{{.Version}}' github.com/opencontainers/runc)
K8S_V     = $$(go -C tools/kubectl list -m -f '{{.Version}}' k8s.io/kubectl | sed 's/^v0/v1/')

$(BIN)/containerd: tools/containerd/go.mod
	@mkdir -p $(BIN)
	go -C tools/containerd build -tags '$(CTR_TAGS)' -ldflags "$(LDFLAGS) -X github.com/containerd/containerd/v2/version.Version=$(CTR_V)" \
	  -o $(BIN)/ github.com/containerd/containerd/v2/cmd/containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
	@touch $@

# runc links libseccomp statically, so that seccompProfile: RuntimeDefault works on a host without the library.
$(BIN)/runc: tools/runc/go.mod
	@mkdir -p $(BIN)
	@.ci/install
	CGO_ENABLED=1 go -C tools/runc build -tags 'seccomp netgo osusergo' -ldflags "$(LDFLAGS) -extldflags -static -X main.version=$(RUNC_V)" -o $@ github.com/opencontainers/runc
	@touch $@

# The monitor makes containers with runc's library, in C where that has to be (shim/doc.go).
SHIM_TAGS := seccomp netgo osusergo grpcnotrace
$(BIN)/sampan-monitor: shim/go.mod $(wildcard shim/*.go shim/launch/*.c)
	@mkdir -p $(BIN)
	@.ci/install
	CGO_ENABLED=1 go -C shim build -tags '$(SHIM_TAGS)' -ldflags "$(LDFLAGS) -extldflags -static" -o $@ .
	$(GCC) -Os -static -Wall -Werror -s -o $(BIN)/sampan-shim shim/launch/launch.c

$(BIN)/kubectl: tools/kubectl/go.mod tools/kubectl/main.go
	@mkdir -p $(BIN)
	go -C tools/kubectl build -ldflags "$(LDFLAGS) -X k8s.io/component-base/version.gitVersion=$(K8S_V) -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" -o $@ .

# For the end-to-end tests: that another etcd reads what our member wrote.
$(BIN)/etcd: tools/etcd/go.mod
	@mkdir -p $(BIN)
	go -C tools/etcd build -ldflags "$(LDFLAGS)" -o $(BIN)/etcdctl go.etcd.io/etcd/etcdctl/v3
	go -C tools/etcd build -ldflags "$(LDFLAGS)" -o $@ go.etcd.io/etcd/server/v3
	@touch $@

$(BIN)/pause.tar: tools/pause/pause.c tools/mkimage/main.go
	@mkdir -p $(BIN)
	$(GCC) -Os -static -Wall -Werror -s -o $(BIN)/pause tools/pause/pause.c
	$(MKIMAGE) -o $@ -tag sampan.dev/pause:1 -entrypoint /pause -file $(BIN)/pause=/pause

# What the README's first Deployment runs, without a registry.
$(BIN)/demo.tar: tools/demo/demo.c tools/mkimage/main.go
	@mkdir -p $(BIN)
	$(GCC) -Os -static -Wall -Wextra -Werror -s -o $(BIN)/demo tools/demo/demo.c
	$(MKIMAGE) -o $@ -tag sampan.dev/demo:1 -entrypoint /demo -file $(BIN)/demo=/demo

$(BIN)/sampan-keep: tools/keep/keep.c
	@mkdir -p $(BIN)
	$(GCC) -Os -static -Wall -Werror -s -o $@ $<

# DESTDIR=DIR makes a tree for a package; PREFIX is /usr/local unless said otherwise.
install: build ## install what build makes on this machine, with a unit for systemd (sampan uninstall takes it away)
	$(BIN)/sampan install $(if $(PREFIX),--prefix $(PREFIX)) $(if $(DESTDIR),--root $(DESTDIR))

dist: ## release archives for amd64 and arm64 in dist/, with their contents and checksums: ARCHES="amd64 arm64"
	VERSION=$(VERSION) .ci/dist $(or $(ARCHES),amd64 arm64)

up: build ## build what is needed and start a cluster on this machine
	$(BIN)/sampan up --detach

test: build ## unit, conformance and end-to-end tests
	@.ci/install
	go vet -tags $(TAGS) ./...
	go test -tags $(TAGS) ./...
	CGO_ENABLED=1 go -C shim test -tags '$(SHIM_TAGS)' .
	$(MAKE) e2e

race: ## unit tests under the race detector
	CGO_ENABLED=1 go test -race -tags $(TAGS) ./internal/...
	CGO_ENABLED=1 go -C shim test -race -tags '$(SHIM_TAGS)' .

lint: ## formatting and vet
	@test -z "$$(gofmt -l cmd internal e2e shim tools)" || { gofmt -l cmd internal e2e shim tools; exit 1; }
	go vet -tags $(TAGS) ./...
	CGO_ENABLED=1 go -C shim vet -tags '$(SHIM_TAGS)' .

e2e: build $(BIN)/etcd ## scripts with real kubectl and real containers (root)
	go test -tags $(TAGS),e2e -count=1 -parallel 4 -timeout 40m ./e2e/
	go -C e2e/chaos run . -bin $(BIN)/sampan -kills 10
	go -C e2e/chaos run ./pods -bin $(BIN) -pods 8 -kills 5
	go -C e2e/envtest test -count=1 .

csi: build ## volumes of a CSI driver, with the stock sidecars; and that driver against csi-test's sanity suite
	go -C e2e/csi test -count=1 .
	@mkdir -p $(BIN)/csi
	go -C e2e/csi build -ldflags "-s -w" -o $(BIN)/csi/ . github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher \
	  github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer \
	  github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller
	@mkdir -p $(BIN)/csi/crd
	install -m 644 "$$(go -C e2e/csi list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)"/config/crd/snapshot.*.yaml $(BIN)/csi/crd
	SAMPAN_CSI_BIN=$(BIN)/csi go test -tags $(TAGS),e2e -count=1 -timeout 18m -run '^TestCSI' ./e2e/

vm: build ## control groups of version 2 with systemd, in a virtual machine of Debian (root; e2e/vm/run.sh says what it takes)
	e2e/vm/run.sh $(BIN)

conformance: build ## the upstream e2e suite, where its parts have been built (docs/conformance.md)
	./e2e/conformance.sh

apidiff: ## compare what a cluster serves with what a kube-apiserver v1.37.1 does: KUBECONFIG=FILE (docs/differences.md)
	go run ./tools/apidiff -kubeconfig "$(KUBECONFIG)"

bench: build ## measurements, beside real Kubernetes where it is built: BENCH="list -pairs 3" (bench/README.md)
	go -C bench build -o $(BIN)/sampan-bench .
	$(BIN)/sampan-bench $(BENCH)

fmt: ## gofmt everything
	gofmt -w cmd internal e2e shim tools

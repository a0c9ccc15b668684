//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// way is one to reach a node from the control plane.
type way struct {
	name   string
	server *cluster
	config *rest.Config

	execs, trips []time.Duration // whole execs of true; a byte there and back through one exec
	rates        []float64       // MB/s out of an exec
}

// TestTunnelCost prints what an exec takes through each kind of tunnel, and without one, measured in turns. It asks for
// SAMPAN_TUNNEL_COST=1, since on a busy machine the figures say nothing.
func TestTunnelCost(t *testing.T) {
	if os.Getenv("SAMPAN_TUNNEL_COST") == "" {
		t.Skip("SAMPAN_TUNNEL_COST is not set: this measures")
	}
	ways := []*way{newWay(t, "direct"), newWay(t, "konnectivity"), newWay(t, "ssh")}
	const rounds = 7
	for range rounds {
		for _, w := range ways {
			w.measure(t)
		}
	}
	t.Logf("%-14s %14s %14s %10s", "", "exec of true", "round trip", "MB/s")
	for _, w := range ways {
		t.Logf("%-14s %14v %14v %10.0f", w.name, median(w.execs).Round(10*time.Microsecond), median(w.trips).Round(time.Microsecond), median(w.rates))
	}
	for _, w := range ways[1:] {
		t.Logf("%-14s %13.2fx %13.2fx %9.2fx", w.name, float64(median(w.execs))/float64(median(ways[0].execs)),
			float64(median(w.trips))/float64(median(ways[0].trips)), median(w.rates)/median(ways[0].rates))
	}
}

func median[T time.Duration | float64](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

// newWay makes a cluster of a control plane and a node on another machine, with a pod.
func newWay(t *testing.T, name string) *way {
	t.Helper()
	m := newOtherMachine(t)
	flags, tunnel := []string{"--no-node", "--tls-san", m.here}, freePort(t)
	var l *login
	switch name {
	case "konnectivity":
		flags = append(flags, "--node-tunnel=konnectivity", "--tunnel-listen", "0.0.0.0:"+tunnel)
	case "ssh":
		l = newLogin(t, m.netns, m.addr)
		l.begin(t)
		flags = append(flags, "--node-tunnel=ssh", "--ssh-user", "root", "--ssh-keyfile", filepath.Join(l.dir, "user"))
	}
	server, node := newCluster(t, flags...), newCluster(t)
	server.up(t)
	node.netns = m.netns
	join := append(append(server.join(t, m.here), "--data-dir", node.dir, "--hostname-override", "joined", "--node-ip", m.addr), server.flags[5:9]...)
	if name == "konnectivity" {
		join = append(join, "--tunnel", "--tunnel-server", m.here+":"+tunnel)
	}
	node.agent(t, join)
	until(t, 60*time.Second, "node joined", func() error {
		_, err := server.said("get", "node", "joined")
		return err
	})
	server.kubectl(t, "wait", "node/joined", "--for=condition=Ready", "--timeout=300s")
	node.images(t)
	if l != nil {
		key, err := os.ReadFile(filepath.Join(l.dir, "host.pub"))
		if err != nil {
			t.Fatal(err)
		}
		server.kubectl(t, "annotate", "node", "joined", "sampan.dev/ssh-host-keys="+string(key[:len(key)-1]))
	}
	server.kubectlIn(t, tunnelPods, "apply", "-f", "-")
	server.kubectl(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=300s")
	until(t, 60*time.Second, "an exec works", func() error {
		_, err := server.said("exec", "web", "--", "true")
		return err
	})
	w := &way{name: name, server: server}
	w.config, _ = server.door(t)
	w.config.Timeout = 0 // an exec may take longer
	return w
}

// exec runs a command in the pod.
func (w *way) exec(ctx context.Context, stdin io.Reader, stdout io.Writer, command ...string) error {
	url := w.config.Host + "/api/v1/namespaces/default/pods/web/exec?stdout=true"
	if stdin != nil {
		url += "&stdin=true"
	}
	for _, c := range command {
		url += "&command=" + c
	}
	e, err := remotecommand.NewWebSocketExecutor(w.config, "GET", url)
	if err != nil {
		return err
	}
	return e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout})
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func (w *way) measure(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for range 10 {
		began := time.Now()
		if err := w.exec(ctx, nil, io.Discard, "true"); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		w.execs = append(w.execs, time.Since(began))
	}
	in, toPod := io.Pipe()
	fromPod, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- w.exec(ctx, in, out, "cat") }()
	one := make([]byte, 1)
	for i := range 200 {
		began := time.Now()
		if _, err := toPod.Write([]byte{byte(i)}); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		if _, err := io.ReadFull(fromPod, one); err != nil || one[0] != byte(i) {
			t.Fatalf("%s: %v came back of %v: %v", w.name, one[0], byte(i), err)
		}
		if i > 0 { // the first waits for the exec
			w.trips = append(w.trips, time.Since(began))
		}
	}
	toPod.Close()
	if err := <-done; err != nil {
		t.Fatalf("%s: %v", w.name, err)
	}
	const size = 32 << 20
	var n counter
	began := time.Now()
	if err := w.exec(ctx, nil, &n, "head", "-c", fmt.Sprint(size), "/dev/zero"); err != nil || n != size {
		t.Fatalf("%s: %d bytes: %v", w.name, n, err)
	}
	w.rates = append(w.rates, size/1e6/time.Since(began).Seconds())
}

package etcd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStock has stock binaries read what the embedded member wrote: etcdctl through the listener, and etcd by opening the
// same directory, which the embedded member then takes back. Build them with
//
//	go build go.etcd.io/etcd/server/v3 && go build go.etcd.io/etcd/etcdctl/v3
//
// and name them in SAMPAN_TEST_ETCD and SAMPAN_TEST_ETCDCTL.
func TestStock(t *testing.T) {
	etcd, ctl := os.Getenv("SAMPAN_TEST_ETCD"), os.Getenv("SAMPAN_TEST_ETCDCTL")
	if etcd == "" || ctl == "" {
		t.Skip("SAMPAN_TEST_ETCD and SAMPAN_TEST_ETCDCTL are not set")
	}
	certs, dir, addr := newCerts(t), t.TempDir(), freeAddr(t)
	s := embedded(t, EmbeddedConfig{Dir: dir, Listen: addr, TLS: certs.server})
	for i := range 100 {
		if _, err := s.Create(t.Context(), fmt.Sprintf("/registry/pods/d/%02d", i), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(ctl, "--endpoints=https://"+addr, "--cacert="+certs.ca, "--cert="+certs.cert, "--key="+certs.key,
		"get", "/registry/", "--prefix", "--keys-only").CombinedOutput()
	if err != nil || bytes.Count(out, []byte("/registry/pods/d/")) != 100 {
		t.Errorf("etcdctl: %v\n%s", err, out)
	}
	s.Close()

	client, peer := "http://"+freeAddr(t), "http://"+freeAddr(t)
	cmd := exec.Command(etcd, "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer)
	var log bytes.Buffer
	cmd.Stderr, cmd.Stdout = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x, err := External(t.Context(), ExternalConfig{Servers: []string{client}, Log: quiet()})
	if err != nil {
		t.Fatalf("stock etcd: %v\n%s", err, log.String())
	}
	if _, err := x.Create(t.Context(), "/registry/pods/d/stock", []byte("y"), 0); err != nil {
		t.Error(err)
	}
	x.Close()
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, `"level":"fatal"`) || strings.Contains(line, `"level":"panic"`) {
			t.Errorf("stock etcd says: %s", line)
		}
	}

	s = embedded(t, EmbeddedConfig{Dir: dir})
	if kv, _, err := s.Get(t.Context(), "/registry/pods/d/stock"); err != nil || string(kv.Value) != "y" {
		t.Errorf("taken back: %+v %v", kv, err)
	}
	begin := time.Now()
	if _, err := s.Create(t.Context(), "/registry/pods/d/after", []byte("z"), 0); err != nil || time.Since(begin) > time.Second {
		t.Errorf("write after taking back: %v in %v", err, time.Since(begin))
	}
}

package etcd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sampan.dev/internal/hub/store"
)

// mapped is how much of a mapped file is in this process.
func mapped(t *testing.T, path string) (kb int) {
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	in := false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case strings.Contains(f[0], "-"):
			in = strings.HasSuffix(strings.TrimSpace(line), " "+path)
		case in && f[0] == "Rss:":
			n, _ := strconv.Atoi(f[1])
			kb += n
		}
	}
	return kb
}

// TestScanGivesPagesBack looks at much and then has little of it mapped; what was there can still be read.
func TestScanGivesPagesBack(t *testing.T) {
	s := embedded(t, EmbeddedConfig{Dir: t.TempDir()})
	var writes []store.Write
	value := []byte(strings.Repeat("x", 1<<20))
	for i := range 2 * letGoEvery >> 20 {
		writes = append(writes, store.Write{Key: fmt.Sprintf("/registry/things/%03d", i), Value: value})
	}
	if err := s.Apply(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	s.now.Load().member.srv.Backend().ForceCommit()
	path := s.now.Load().member.srv.Cfg.BackendPath()
	for range 2 {
		n := 0
		_, err := s.Scan(t.Context(), "/registry/things/", func(kvs []store.KV) error {
			for _, kv := range kvs {
				if string(kv.Value) != string(value) {
					t.Errorf("%s holds something else", kv.Key)
				}
				n++
			}
			if kb := mapped(t, path); kb < letGoEvery>>10 {
				t.Errorf("%d KB are mapped during the scan", kb)
			}
			return nil
		})
		if err != nil || n != len(writes) {
			t.Fatalf("%d values: %v", n, err)
		}
		if kb := mapped(t, path); kb > 8<<10 {
			t.Errorf("%d KB are mapped after the scan", kb)
		}
	}
}

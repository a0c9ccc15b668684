package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestCompare(t *testing.T) {
	want := facts{"discovery v1 pods": "a", "metric x": "counter STABLE", "object roles r": "{}"}
	have := facts{"discovery v1 pods": "b", "path /mine get": "{}", "object roles mine": "{}", "object roles r": "{}"}
	var got []string
	for _, d := range compare(want, have) {
		got = append(got, d.String())
	}
	if !reflect.DeepEqual(got, []string{"discovery v1 pods:\n  want a\n  have b", "metric x: missing", "path /mine get: not upstream's"}) {
		t.Errorf("%q", got)
	}
}

func TestExplained(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.md")
	text := "| difference | why |\n|---|---|\n| `metric go_*` | ours |\n| `path /mine**` | ours |\n| `path /apis/*/*/watch/**` | old |\n| `somebody else's` | no |\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := readExplained(file)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"metric go_x": "metric go_*", "metric x": "", "path /mine/a/b get": "path /mine**",
		"path /apis/apps/v1/watch/deployments get": "path /apis/*/*/watch/**", "path /apis/apps/v1/deployments get": "", "somebody else's": "",
	} {
		if got := e.of(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestGolden: the golden file has every part, and reads as it was written.
func TestGolden(t *testing.T) {
	f, err := golden.Open("golden.gz")
	if err != nil {
		t.Fatal(err)
	}
	want, err := parse(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"discovery v1 pods", "discovery apps/v1 deployments/scale", "order groups", "column v1 pods 00 Name", "path /api/v1/pods get",
		"definition io.k8s.api.core.v1.Pod", "definition io.k8s.api.core.v1.PodSpec containers", "openapi/v3 apis/apps/v1",
		"metric apiserver_request_total", "check readyz etcd", "object clusterroles admin", "object flowschemas exempt",
	} {
		if want[key] == "" {
			t.Errorf("no %q", key)
		}
	}
	again := filepath.Join(t.TempDir(), "again.gz")
	if err := want.write(again); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	back, err := parse(bytes.NewReader(data))
	if err != nil || !reflect.DeepEqual(want, back) {
		t.Errorf("%d facts, %d back, %v", len(want), len(back), err)
	}
}

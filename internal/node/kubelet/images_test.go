package kubelet

import (
	"strings"
	"testing"
)

func TestImageNames(t *testing.T) {
	for in, want := range map[string]string{
		"busybox": "busybox:latest", "busybox:1": "busybox:1", "a.b/c/d": "a.b/c/d:latest", "localhost:5000/x": "localhost:5000/x:latest",
		"x@sha256:" + strings.Repeat("a", 64): "x@sha256:" + strings.Repeat("a", 64),
		"Upper":                               "", "x:": "", "": "", "a b": "",
	} {
		got, err := tagged(in)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, c := range []struct {
		key, image string
		want       bool
	}{
		{"https://index.docker.io/v1/", "busybox", true}, {"docker.io", "me/x:1", true}, {"quay.io", "quay.io/a/b", true}, {"quay.io/a", "quay.io/a/b", true},
		{"quay.io/c", "quay.io/a/b", false}, {"*.example.com", "r.example.com/x", true}, {"*.example.com", "example.com/x", false}, {"r:5000", "r:5000/x:1", true},
	} {
		if got := authFits(c.key, registryPath(c.image)); got != c.want {
			t.Errorf("%s for %s: %t", c.key, c.image, got)
		}
	}
}

package source

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func podsOf(list ...string) map[types.UID]*corev1.Pod {
	out := map[types.UID]*corev1.Pod{}
	for _, text := range list { // "uid name"
		uid, name, _ := strings.Cut(text, " ")
		p := &corev1.Pod{}
		p.Name, p.UID = name, types.UID(uid)
		out[p.UID] = p
	}
	return out
}

func TestReplace(t *testing.T) {
	for _, c := range []struct {
		name, before, found string // comma-separated "uid name"
		unsure              bool
		after, gone         string // UIDs
	}{
		{"nothing changed", "1 a,2 b", "1 a,2 b", false, "1 2", ""},
		{"one is new", "1 a", "1 a,2 b", false, "1 2", ""},
		{"one went", "1 a,2 b", "1 a", false, "1", "2"},
		{"one changed", "1 a", "3 a", false, "3", "1"},
		{"one may be what could not be read", "1 a,2 b", "1 a", true, "1 2", ""},
		{"one changed while another could not be read", "1 a,2 b", "3 a", true, "2 3", "1"},
	} {
		split := func(s string) map[types.UID]*corev1.Pod { return podsOf(strings.Split(s, ",")...) }
		s := newSet(sources{})
		s.replace(split(c.before), sources{}, false)
		gone := s.replace(split(c.found), sources{}, c.unsure)
		text := func(list []types.UID) string {
			slices.Sort(list)
			var out []string
			for _, uid := range list {
				out = append(out, string(uid))
			}
			return strings.Join(out, " ")
		}
		if after := text(slices.Collect(maps.Keys(s.mu.pods))); after != c.after || text(gone) != c.gone {
			t.Errorf("%s: %s are left, %s gone", c.name, after, text(gone))
		}
	}
}

func TestManifests(t *testing.T) {
	a := adopter{node: "N1"}
	const spec = `"spec": {"containers": [{"name": "c", "image": "i"}]}`
	for _, c := range []struct{ text, want string }{
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, ` + spec + `}`, "default/a-n1"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns"}, ` + spec + `}`, "ns/a-n1"},
		{`{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}`, "default/a-n1 default/b-n1"},
		{`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}`, "error: invalid pod: Service of v1"},
		{`{"apiVersion": "v1", "kind": "Pod"}`, "error: invalid pod: name is needed for the pod"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}}`,
			"error: static pods may not reference API objects: volume v"},
		{"{", "error: error converting YAML to JSON"},
	} {
		got := ""
		list, err := a.served("http://x", []byte(c.text))
		if err != nil {
			got = "error: " + err.Error()
		}
		for _, p := range list {
			if err == nil {
				got = strings.TrimSpace(got + " " + key(p))
				if len(p.UID) != 32 || p.Annotations[pods.AnnotationHash] != string(p.UID) || p.Annotations[pods.AnnotationSource] != "http" || p.Spec.NodeName != "N1" {
					t.Errorf("%+v", p)
				}
			}
		}
		if got != c.want && !(strings.HasPrefix(c.want, "error: ") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	one := func(path, text string) types.UID {
		p, err := a.file(path, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p.UID
	}
	text := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, ` + spec + `}`
	if one("/x", text) != one("/x", text) || one("/x", text) == one("/y", text) || one("/x", text) == one("/x", text+" ") {
		t.Error("the UID is not that of the content and the path")
	}
}

// Whoever waits until every source was read has been told of all their pods by then, and no mirror counts as stale before.
func TestReadIsClosedWhenPodsWereTold(t *testing.T) {
	var up atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write([]byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "served"}}`))
	}))
	defer srv.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f.yaml"), []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "file"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	var s *Static
	read := func() bool {
		select {
		case <-s.Read():
			return true
		default:
			return false
		}
	}
	mirror := podsOf("m served-n")["m"]
	mirror.Namespace, mirror.Annotations = "default", map[string]string{}
	s = New(Config{Path: dir, URL: srv.URL, Node: "n", Log: slog.New(slog.DiscardHandler),
		Upsert: func(_ context.Context, p *corev1.Pod) {
			if read() && !told[p.Name] {
				t.Errorf("all was read before %s was told", p.Name)
			}
			told[p.Name] = true
		}}, Showing{Log: slog.New(slog.DiscardHandler)})
	s.Begin(t.Context())
	if read() || s.mirrors.stale(mirror) || !told["file-n"] {
		t.Error("a source that does not answer counts as read")
	}
	up.Store(true)
	s.ask(t.Context())
	if !read() || !told["served-n"] || !s.mirrors.stale(mirror) {
		t.Errorf("read: %v, told: %v", read(), told)
	}
}

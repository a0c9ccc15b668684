package manifests

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/hubtest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	aMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n"
	bMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: kube-system}\n"
	aPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: demo}]}\n"
)

// steps feeds the loop: each wait runs the next function and lets the loop look again.
type scripted struct {
	waits []time.Duration
	next  []func()
	end   context.CancelFunc
}

func (s *scripted) add(string) error { return nil }

func (s *scripted) wait(d time.Duration) error {
	s.waits = append(s.waits, d)
	if len(s.next) == 0 {
		s.end()
		return nil
	}
	f := s.next[0]
	s.next = s.next[1:]
	f()
	return nil
}

// TestFollow changes a folder step by step and looks at the cluster after each.
func TestFollow(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	dir := t.TempDir()
	root := h.As(api.User{Name: "manifests", Groups: []string{api.GroupMasters}}).(Client)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(ns, name string) *corev1.ConfigMap {
		t.Helper()
		m, err := client.Get[*corev1.ConfigMap](t.Context(), root, client.ConfigMaps, ns, name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	is := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("not so: %s; record %v", what, get(Namespace, Name))
		}
	}
	record := func(file string) Entry {
		entries, err := Entries(get(Namespace, Name))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.File == file })
		if i < 0 {
			return Entry{}
		}
		return entries[i]
	}

	ctx, end := context.WithCancel(t.Context())
	s := &scripted{end: end, next: []func(){
		func() {
			is("an empty folder leaves no trace", get(Namespace, Name) == nil)
			write("a.yaml", aMap+"---\n# nothing\n---\n"+bMap)
			write("pod.yaml", aPod)
			write("notes.txt", "no manifest")
			write(".hidden.yaml", "no: [")
		},
		func() {
			is("both objects of a file are there", get("default", "a") != nil && get("kube-system", "b") != nil)
			is("they say where they are from", get("default", "a").Annotations[AnnotationFile] == "a.yaml")
			is("the record has them", len(record("a.yaml").Objects) == 2 && len(record("a.yaml").Errors) == 0)
			_, err := client.Get[*corev1.Pod](t.Context(), root, client.Pods, "default", "p")
			is("the kubelet's file is left alone", apierrors.IsNotFound(err))
			write("a.yaml", aMap+"---\nkind: [")
		},
		func() {
			is("a broken file keeps what it had applied", get("default", "a") != nil && get("kube-system", "b") != nil)
			is("the record says what is wrong", len(record("a.yaml").Objects) == 2 && len(record("a.yaml").Errors) == 1)
			write("a.yaml", strings.Replace(aMap, "k: v", "k: w", 1))
		},
		func() {
			is("a change is applied", get("default", "a").Data["k"] == "w")
			is("what a file no longer says is deleted", get("kube-system", "b") == nil)
			write("sub/dir/w.yml", "apiVersion: sampan.dev/v1\nkind: Widget\nmetadata: {name: w}\n")
			write("again.json", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}},{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}]}`)
		},
		func() {
			w := record("sub/dir/w.yml")
			is("an unknown kind is an error that names it", len(w.Errors) == 1 && strings.Contains(w.Errors[0], `no matches for kind "Widget" in version "sampan.dev/v1"`))
			is("the first of two files has an object", get("default", "a").Data["k"] == "w" && strings.Contains(strings.Join(record("again.json").Errors, ""), "ConfigMap default/a stands in a.yaml already"))
			is("the items of a list are applied", get("default", "c") != nil)
			remove("sub/dir/w.yml")
			remove("again.json")
			// Somebody makes c anew, so that it is ours no longer.
			if err := client.Delete(t.Context(), root, client.ConfigMaps, "default", "c", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Create(t.Context(), root, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}}); err != nil {
				t.Fatal(err)
			}
		},
		func() {
			is("what somebody else made stays", get("default", "c") != nil)
			remove("a.yaml")
		},
		func() {
			is("the last object is gone", get("default", "a") == nil)
			is("and the record", get(Namespace, Name) == nil)
		},
	}}
	if err := follow(ctx, Config{Dir: dir, KeepPods: true, Client: root, Log: slog.New(slog.DiscardHandler)}, s); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{0, 0, 0, 0, soonest, 0, 0, 0}; !reflect.DeepEqual(s.waits, want) {
		t.Errorf("it waited %v, want %v: for ever where nothing is left to try again", s.waits, want)
	}
}

// TestFolderGone deletes the folder itself: nobody has said by that that what it held should go.
func TestFolderGone(t *testing.T) {
	if _, err := read(filepath.Join(t.TempDir(), "none"), false, func(string) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that there is no such folder", err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"# only a comment\n", ""},
		{"a: b: c", "document 1: "},
		{"kind: ConfigMap\nmetadata: {name: x}", "document 1: apiVersion: Required value"},
		{"apiVersion: v1\nmetadata: {name: x}", "document 1: kind: Required value"},
		{aMap + "---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}", "document 2: Pod: metadata.name: Required value: an object of a file is found again by its name"},
		{"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]", "document 1: items[0]: Pod: metadata.name: Required value: an object of a file is found again by its name"},
		{"apiVersion: v1\napiVersion: v1\nkind: Pod\nmetadata: {name: x}", "already set in map"},
	} {
		_, err := parse([]byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

// TestOrder holds what is needed by others before those, and deletes the other way round.
func TestOrder(t *testing.T) {
	objs, err := parse([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n" + aMap + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n"))
	if err != nil {
		t.Fatal(err)
	}
	record := []Entry{{File: "gone", Objects: []ID{{"v1", "Namespace", "", "m"}, {"apps/v1beta1", "Deployment", "", "d"}, {"v1", "Pod", "m", "p"}}}}
	w := plan([]file{{name: "f", objects: objs}}, record, func(id ID) ID { return id })
	var got []string
	for _, s := range w.apply {
		got = append(got, s.id.Kind)
	}
	for _, id := range w.remove {
		got = append(got, "-"+id.String())
	}
	if want := "Namespace ConfigMap Deployment -Pod m/p -Namespace m"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s (another version of the same object is the same object)", strings.Join(got, " "), want)
	}
}

// TestKeys holds that files have keys that a ConfigMap takes, each its own.
func TestKeys(t *testing.T) {
	seen := map[string]string{}
	for _, f := range []string{"a.yaml", "a/b.yaml", "a_b.yaml", "a b.yaml", strings.Repeat("x", 250) + ".yaml", strings.Repeat("x", 251) + ".yaml"} {
		k := key(f)
		if seen[k] != "" || len(k) > 253 || notInKeys.MatchString(k) {
			t.Errorf("%q has key %q, as has %q", f, k, seen[k])
		}
		seen[k] = f
	}
}

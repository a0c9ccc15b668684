package serve

import (
	"context"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const sample = `2026-01-02T03:04:05.1Z stdout F one
2026-01-02T03:04:06Z stderr F two
2026-01-02T03:04:07Z stdout P thr
2026-01-02T03:04:07.5Z stdout F ee
rubbish
2026-01-02T03:04:08Z stdout F four
`

func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ query, want string }{
		{"", "one\ntwo\nthree\nfour\n"},
		{"tailLines=1", "four\n"},
		{"tailLines=0", ""},
		{"tailLines=100", "one\ntwo\nthree\nfour\n"},
		{"tail=all", "one\ntwo\nthree\nfour\n"},
		{"stream=Stderr", "two\n"},
		{"stream=Stdout&limitBytes=6", "one\nth"},
		{"limitBytes=4", "one\n"},
		{"sinceTime=2026-01-02T03:04:06Z", "two\nthree\nfour\n"},
		{"sinceSeconds=2", "three\nfour\n"}, // now is :09
		{"timestamps=true&tailLines=1", "2026-01-02T03:04:08.000000000Z four\n"},
		{"timestamps=true&sinceSeconds=2", "2026-01-02T03:04:07.000000000Z three\n2026-01-02T03:04:08.000000000Z four\n"},
	} {
		q, _ := url.ParseQuery(c.query)
		o, _, err := parseLogOptions(q, time.Date(2026, 1, 2, 3, 4, 9, 0, time.UTC))
		if err != nil {
			t.Fatal(c.query, err)
		}
		rec := httptest.NewRecorder()
		l := &logReader{path: path, opts: o, out: &flusher{w: rec}}
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		if err := l.run(t.Context()); err != nil {
			t.Error(c.query, err)
		}
		l.close()
		if got := rec.Body.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
}

func TestTailAcrossBlocks(t *testing.T) {
	var b strings.Builder
	for range 3000 {
		b.WriteString("0123456789\n")
	}
	r := strings.NewReader(b.String())
	for n, want := range map[int64]int64{1: 2999 * 11, 372: 2628 * 11, 373: 2627 * 11, 3000: 0, 5000: 0} {
		if got, err := tailStart(r, n); err != nil || got != want {
			t.Errorf("tail %d: %d %v, want %d", n, got, err, want)
		}
	}
}

func TestBadLogOptions(t *testing.T) {
	for query, code := range map[string]int{"tailLines=x": 400, "tailLines=-1": 422, "limitBytes=0": 422, "sinceSeconds=0": 422, "follow=maybe": 400, "stream=None": 422, "sinceTime=now": 400} {
		q, _ := url.ParseQuery(query)
		if _, got, err := parseLogOptions(q, time.Now()); err == nil || got != code {
			t.Errorf("%s: %d %v", query, got, err)
		}
	}
}

// pipe is where a follower writes; it is read while the follower runs.
type pipe struct {
	*httptest.ResponseRecorder
	got chan string
}

func (p pipe) Write(b []byte) (int, error) { p.got <- string(b); return len(b), nil }

func TestFollowThroughRotationUntilTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "0.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	p := pipe{httptest.NewRecorder(), make(chan string, 100)}
	l := &logReader{path: path, opts: logOptions{follow: true, tail: -1, limit: -1, stdout: true, stderr: true}, out: &flusher{w: p, flush: true},
		running: func() (bool, error) { return !ended.Load(), nil }}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	done := make(chan error, 1)
	go func() { done <- l.run(t.Context()) }()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-p.got:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("nothing, want %q", want)
		}
	}
	write := func(s string) {
		t.Helper()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	write("2026-01-02T03:04:05Z stdout F one\n")
	expect("one\n")
	write("2026-01-02T03:04:05Z stdout F half ") // an entry may come in pieces
	write("done\n")
	expect("half done\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("2026-01-02T03:04:06Z stdout F last of the old\n")
	expect("last of the old\n")
	f.Close()
	if f, err = os.Create(path); err != nil {
		t.Fatal(err)
	}
	write("2026-01-02T03:04:07Z stdout F first of the new\n")
	expect("first of the new\n")
	write("2026-01-02T03:04:08Z stdout F end\n")
	f.Close()
	expect("end\n")
	time.AfterFunc(50*time.Millisecond, func() { ended.Store(true) }) // the runtime knows a little later
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("still following after the end")
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := &logReader{path: path, opts: logOptions{follow: true, limit: -1, tail: -1}, out: &flusher{w: httptest.NewRecorder()}, running: func() (bool, error) { return true, nil }}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	start := time.Now()
	_ = l.run(ctx)
	if d := time.Since(start); d > 2*time.Minute {
		t.Errorf("took %v", d)
	}
}

func TestRunOf(t *testing.T) {
	term := func(id string) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{ContainerID: id}
	}
	for _, c := range []struct {
		name     string
		st       corev1.ContainerStatus
		previous bool
		want     string
		err      string
	}{
		{name: "running", st: corev1.ContainerStatus{ContainerID: "containerd://a", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, want: "a"},
		{name: "terminated", st: corev1.ContainerStatus{State: corev1.ContainerState{Terminated: term("containerd://b")}}, want: "b"},
		{name: "previous", previous: true, st: corev1.ContainerStatus{LastTerminationState: corev1.ContainerState{Terminated: term("containerd://c")}}, want: "c"},
		{name: "no previous", previous: true, err: `previous terminated container "c" in pod "p" not found`},
		{name: "waiting after a run", st: corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: term("containerd://d")}}, want: "d"},
		{name: "waiting", st: corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}},
			err: `container "c" in pod "p" is waiting to start: ContainerCreating`},
		{name: "pull", st: corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}},
			err: `container "c" in pod "p" is waiting to start: trying and failing to pull image`},
	} {
		c.st.Name = "c"
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c.st}}}
		got, err := runOf(pod, "c", c.previous)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
}

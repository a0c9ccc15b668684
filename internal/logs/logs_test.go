package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sample = `time=2026-11-30T08:00:00.000Z level=INFO msg="node is ready"
time=2026-11-30T08:00:01.000Z level=WARN msg="slow" component=hub method=GET
time=2026-11-30T08:00:02.000Z level=ERROR msg="a part failed" component=daemon part=dns error="port 53 is taken"
goroutine 7 [running]:
main.main()
time=2026-11-30T08:00:03.000Z level=WARN msg="again" component=deployment-controller key=a/b
{"time":"2026-11-30T08:00:04Z","level":"INFO","msg":"json","component":"kubelet"}
time=2026-11-30T08:00:05.000Z level=INFO msg="inner" component=hub component=store
`

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	write(t, path, sample)
	write(t, path+".1", "time=2026-11-30T07:00:00Z level=INFO msg=old1 component=hub\n")
	write(t, path+".2", "time=2026-11-30T06:00:00Z level=INFO msg=old2\n")
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		what string
		q    Query
		want []string // a part of each line
	}{
		{"all, the oldest first", Query{}, []string{"old2", "old1", "node is ready", "slow", "a part failed", "goroutine", "main.main", "again", "json", "inner"}},
		{"a component", Query{Part: "hub"}, []string{"old1", "slow"}},
		{"the inner one", Query{Part: "store"}, []string{"inner"}},
		{"a part that failed, with its stack", Query{Part: "dns"}, []string{"a part failed", "goroutine", "main.main"}},
		{"a controller", Query{Part: "deployment"}, []string{"again"}},
		{"all controllers", Query{Part: "controllers"}, []string{"again"}},
		{"JSON", Query{Part: "kubelet"}, []string{"json"}},
		{"since", Query{Since: at("2026-11-30T08:00:03Z")}, []string{"again", "json", "inner"}},
		{"a component since", Query{Part: "hub", Since: at("2026-11-30T08:00:00Z")}, []string{"slow"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var out bytes.Buffer
			if err := Copy(t.Context(), &out, path, c.q); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(c.want), out.String())
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q, want %q", i, lines[i], want)
				}
			}
		})
	}
	var none NoSuchPart
	if err := Copy(t.Context(), io.Discard, path, Query{Part: "kubelt"}); !errors.As(err, &none) || strings.Join(none.Has, " ") != "daemon deployment-controller dns hub kubelet store" {
		t.Errorf("a part that there is not: %v", err)
	}
	if err := Copy(t.Context(), io.Discard, path+".none", Query{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log that there is not: %v", err)
	}
}

// What is added is shown as soon as it is a whole line, also when the file is turned over meanwhile.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	write(t, path, "time=2026-11-30T08:00:00Z msg=first\n")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Copy(ctx, w, path, Query{Follow: true}) }()
	buf := make([]byte, 1000)
	next := func(want string) {
		t.Helper()
		n, err := r.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), want) {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	next("first")
	add("time=2026-11-30T08:00:01Z msg=sec")
	add("ond\n")
	next("msg=second")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add("time=2026-11-30T08:00:02Z msg=third\n")
	next("third")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

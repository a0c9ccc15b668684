package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// registrar is what listens at a socket below plugins_registry.
type registrar struct {
	registerapi.UnimplementedRegistrationServer
	info *registerapi.PluginInfo
	told chan *registerapi.RegistrationStatus
}

func (r *registrar) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	return r.info, nil
}

func (r *registrar) NotifyRegistrationStatus(_ context.Context, s *registerapi.RegistrationStatus) (*registerapi.RegistrationStatusResponse, error) {
	r.told <- s
	return &registerapi.RegistrationStatusResponse{}, nil
}

// listen starts a registrar; stop ends it, which removes its socket.
func listen(t *testing.T, path string, info *registerapi.PluginInfo) (r *registrar, stop func()) {
	t.Helper()
	r = &registrar{info: info, told: make(chan *registerapi.RegistrationStatus, 10)}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	registerapi.RegisterRegistrationServer(s, r)
	go s.Serve(l) //nolint:errcheck // it ends with stop
	t.Cleanup(s.Stop)
	return r, s.Stop
}

// book is a handler that notes what it is called with.
type book struct {
	calls  chan string
	refuse error
}

func (b *book) Validate(name, endpoint string, versions []string) error {
	b.calls <- fmt.Sprint("validate ", name, " ", filepath.Base(endpoint), " ", versions)
	return nil
}

func (b *book) Register(_ context.Context, name, _ string, _ []string) error {
	b.calls <- "register " + name
	err := b.refuse
	b.refuse = nil
	return err
}

func (b *book) Unregister(_ context.Context, name, _ string) { b.calls <- "unregister " + name }

func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came in a minute")
	}
	panic("unreachable")
}

func expect(t *testing.T, b *book, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(t, b.calls); got != w {
			t.Fatalf("called %q, want %q", got, w)
		}
	}
}

// watched starts a watcher; end ends it as a kubelet's end does.
func watched(t *testing.T, dir string, b *book) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &Watcher{Dir: dir, Handlers: map[string]Handler{"CSIPlugin": b}, Log: slog.New(slog.DiscardHandler)}
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	end = func() { cancel(); <-done }
	t.Cleanup(end)
	return end
}

func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestWatcher(t *testing.T) {
	dir := folder(t)
	b := &book{calls: make(chan string, 10), refuse: errors.New("not yet")}
	info := &registerapi.PluginInfo{Type: "CSIPlugin", Name: "a", SupportedVersions: []string{"1.0.0"}}
	first, stop := listen(t, filepath.Join(dir, "a.sock"), info) // is there before the watcher
	listen(t, filepath.Join(dir, ".hidden.sock"), info)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	end := watched(t, dir, b)
	expect(t, b, "validate a a.sock [1.0.0]", "register a")
	if s := next(t, first.told); s.PluginRegistered || s.Error != "RegisterPlugin error -- plugin registration failed with err: not yet" {
		t.Errorf("told %v", s)
	}
	expect(t, b, "validate a a.sock [1.0.0]", "register a") // tried again
	if s := next(t, first.told); !s.PluginRegistered || s.Error != "" {
		t.Errorf("told %v", s)
	}

	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	other, _ := listen(t, filepath.Join(dir, "sub", "b.sock"), &registerapi.PluginInfo{Type: "CSIPlugin", Name: "b", Endpoint: "/run/b-own.sock"})
	expect(t, b, "validate b b-own.sock []", "register b")
	next(t, other.told)

	stop()
	expect(t, b, "unregister a")
	listen(t, filepath.Join(dir, "a.sock"), info)
	expect(t, b, "validate a a.sock [1.0.0]", "register a")

	end()
	select {
	case got := <-b.calls:
		t.Errorf("the kubelet's end made %q", got)
	default:
	}
}

func TestReplacedSocket(t *testing.T) {
	dir := folder(t)
	b := &book{calls: make(chan string, 10)}
	path := filepath.Join(dir, "a.sock")
	info := &registerapi.PluginInfo{Type: "CSIPlugin", Name: "a"}
	listen(t, path, info)
	watched(t, dir, b)
	expect(t, b, "validate a a.sock []", "register a")
	listen(t, path+".new", &registerapi.PluginInfo{Type: "Other"}) // of a type that nobody handles
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "unregister a")
}

func TestUnknownType(t *testing.T) {
	dir := folder(t)
	r, _ := listen(t, filepath.Join(dir, "x.sock"), &registerapi.PluginInfo{Type: "Teapot", Name: "x"})
	watched(t, dir, &book{calls: make(chan string, 1)})
	if s := next(t, r.told); s.PluginRegistered || !strings.HasPrefix(s.Error, "RegisterPlugin error -- no handler registered for plugin type: Teapot at socket ") {
		t.Errorf("told %v", s)
	}
}

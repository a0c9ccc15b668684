package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	criportforward "k8s.io/cri-streaming/pkg/streaming/portforward"
	criremote "k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// fakeRuntime is the streaming server of a container runtime.
type fakeRuntime struct{}

// ExecInContainer echoes its input to stdout, says "err" on stderr, and ends with the code that the command names.
func (fakeRuntime) ExecInContainer(_ context.Context, _, _, _ string, cmd []string, in io.Reader, out, errw io.WriteCloser, tty bool, resize <-chan criremote.TerminalSize, _ time.Duration) error {
	if tty {
		size := <-resize
		fmt.Fprintf(out, "%dx%d ", size.Width, size.Height)
	}
	if in != nil {
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
	if errw != nil {
		fmt.Fprint(errw, "err")
	}
	if code, _ := strconv.Atoi(cmd[0]); code != 0 {
		return exec.CodeExitError{Err: errors.New("exit"), Code: code}
	}
	return nil
}

func (fakeRuntime) PortForward(_ context.Context, _, _ string, port int32, s io.ReadWriteCloser) error {
	defer s.Close()
	b := make([]byte, 100)
	n, err := s.Read(b)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s, "%d:%s", port, b[:n])
	return err
}

// serve makes the hop and a server in front of it that uses this package.
func serve(t *testing.T) *url.URL {
	t.Helper()
	cri := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Header.Get("Authorization") != "" {
			t.Error("the client's credential went on")
		}
		switch r.URL.Path {
		case "/exec":
			opts := &criremote.Options{Stdin: q.Has("stdin"), Stdout: q.Has("stdout"), Stderr: q.Has("stderr"), TTY: q.Has("tty")}
			criremote.ServeExec(w, r, fakeRuntime{}, "", "", "", q["command"], opts, time.Minute, 10*time.Second, criremote.SupportedStreamingProtocols)
		case "/portforward":
			criportforward.ServePortForward(w, r, fakeRuntime{}, "", "", nil, time.Minute, 10*time.Second, criportforward.SupportedProtocols)
		default:
			http.Error(w, "no such container", http.StatusNotFound)
		}
	}))
	t.Cleanup(cri.Close)
	transport := NewTransport(nil, nil)
	t.Cleanup(transport.CloseIdleConnections)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, _ := url.Parse(cri.URL + r.URL.Path + "?" + r.URL.RawQuery)
		fail := func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
		q := r.URL.Query()
		if r.URL.Path == "/portforward" {
			PortForward(w, r, Hop{URL: to, Transport: transport}, fail)
			return
		}
		Exec(w, r, Hop{URL: to, Transport: transport}, Options{Stdin: q.Has("stdin"), Stdout: q.Has("stdout"), Stderr: q.Has("stderr"), TTY: q.Has("tty")}, fail)
	}))
	t.Cleanup(front.Close)
	u, _ := url.Parse(front.URL)
	return u
}

type oneSize struct{ sent chan struct{} }

func (q oneSize) Next() *remotecommand.TerminalSize {
	select {
	case <-q.sent:
		return nil
	default:
		close(q.sent)
		return &remotecommand.TerminalSize{Width: 80, Height: 24}
	}
}

func TestExecRoundTrip(t *testing.T) {
	front := serve(t)
	cfg := &rest.Config{Host: front.String(), BearerToken: "secret"}
	executors := map[string]func(u *url.URL) (remotecommand.Executor, error){
		"spdy": func(u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(cfg, "POST", u)
		},
		"websocket v5": func(u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(cfg, "GET", u.String())
		},
		"websocket v4": func(u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutorForProtocols(cfg, "GET", u.String(), "v4.channel.k8s.io")
		},
	}
	for name, executor := range executors {
		t.Run(name, func(t *testing.T) {
			big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB each way
			run := func(query, in string, tty bool) (string, string, error) {
				u := *front
				u.Path, u.RawQuery = "/exec", query
				ex, err := executor(&u)
				if err != nil {
					t.Fatal(err)
				}
				var out, errw bytes.Buffer
				o := remotecommand.StreamOptions{Stdout: &out, Tty: tty}
				if in != "" {
					o.Stdin = strings.NewReader(in)
				}
				if strings.Contains(query, "stderr") {
					o.Stderr = &errw
				}
				if tty {
					o.TerminalSizeQueue = oneSize{make(chan struct{})}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err = ex.StreamWithContext(ctx, o)
				return out.String(), errw.String(), err
			}
			if out, errs, err := run("command=0&stdout=1&stderr=1", "", false); err != nil || out != "" || errs != "err" {
				t.Errorf("output only: %q %q %v", out, errs, err)
			}
			if name != "websocket v4" { // which cannot end its input
				if out, errs, err := run("command=0&stdin=1&stdout=1&stderr=1", big, false); err != nil || out != big || errs != "err" {
					t.Errorf("echo: %d bytes, %q %v", len(out), errs, err)
				}
			}
			var exit exec.CodeExitError
			if _, _, err := run("command=42&stdout=1", "", false); !errors.As(err, &exit) || exit.Code != 42 {
				t.Errorf("exit code: %v", err)
			}
			if out, _, err := run("command=0&stdout=1&tty=1", "", true); err != nil || out != "80x24 " {
				t.Errorf("terminal: %q %v", out, err)
			}
		})
	}
}

func TestRefusalsPassThrough(t *testing.T) {
	front := serve(t)
	front.Path, front.RawQuery = "/nothing", "stdout=1"
	ex, err := remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", front)
	if err != nil {
		t.Fatal(err)
	}
	if err := ex.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard}); err == nil || !strings.Contains(err.Error(), "no such container") {
		t.Errorf("got %v", err)
	}
	resp, err := http.Get(front.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), "Upgrade request required") {
		t.Errorf("got %s", b)
	}
}

func TestPortForwardRoundTrip(t *testing.T) {
	front := serve(t)
	front.Path = "/portforward"
	cfg := &rest.Config{Host: front.String()}
	rt, up, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(front, cfg)
	if err != nil {
		t.Fatal(err)
	}
	spdyDialer := spdy.NewDialer(up, &http.Client{Transport: rt}, "POST", front)
	t.Run("spdy", func(t *testing.T) {
		forwardTwo(t, func(p []string, stop, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(spdyDialer, p, stop, ready, io.Discard, io.Discard)
		})
	})
	t.Run("websocket", func(t *testing.T) {
		forwardTwo(t, func(p []string, stop, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(tunnel, p, stop, ready, io.Discard, io.Discard)
		})
	})
}

// forwardTwo forwards two ports and speaks through both, twice.
func forwardTwo(t *testing.T, open func([]string, chan struct{}, chan struct{}) (*portforward.PortForwarder, error)) {
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := open([]string{"0:8080", "0:9090"}, stop, ready)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, p := range ports {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.Local))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprint(c, "hello")
			b, err := io.ReadAll(c)
			if want := fmt.Sprintf("%d:hello", p.Remote); string(b) != want {
				t.Errorf("%q %v, want %q", b, err, want)
			}
			c.Close()
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

package probe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// run drives a worker in virtual time. answers are the exit codes of an exec probe, the last one for ever; it returns what
// was reported and recorded, with the second it happened at.
func run(t *testing.T, kind Kind, p corev1.Probe, answers string, until time.Duration) string {
	t.Helper()
	var log []string
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		note := func(format string, args ...any) {
			log = append(log, fmt.Sprintf("%d:", int(time.Since(begin)/time.Second))+fmt.Sprintf(format, args...))
		}
		codes := strings.Fields(answers)
		i := 0
		p.ProbeHandler = corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}
		w := &Worker{Kind: kind, Probe: &p, Started: begin,
			Target: Target{Container: &corev1.Container{}, Exec: func(context.Context, []string, time.Duration) ([]byte, int32, error) {
				code, _ := strconv.Atoi(codes[min(i, len(codes)-1)])
				i++
				if code == 99 {
					return nil, 0, context.DeadlineExceeded
				}
				return nil, int32(code), nil
			}},
			Report: func(r Result) { note("%v", r) },
			Event:  func(reason, message string) { note("%s", reason) },
		}
		ctx, cancel := context.WithTimeout(t.Context(), until)
		defer cancel()
		w.Run(ctx)
		if ctx.Err() == nil {
			note("end")
		}
	})
	return strings.Join(log, " ")
}

func TestWorker(t *testing.T) {
	p := corev1.Probe{PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1, TimeoutSeconds: 1}
	delayed, twice := p, p
	delayed.InitialDelaySeconds = 25
	twice.SuccessThreshold = 2
	for _, c := range []struct {
		name    string
		kind    Kind
		probe   corev1.Probe
		answers string
		want    string
	}{
		{"ready at once", Readiness, p, "0", "0:success 10:success 20:success 30:success 40:success 50:success"},
		{"initial delay", Readiness, delayed, "0", "25:success 35:success 45:success 55:success"},
		{"three failures", Readiness, p, "0 1 1 1 0", "0:success 10:Unhealthy 20:Unhealthy 30:Unhealthy 30:failure 40:success 50:success"},
		{"a success between starts over", Readiness, p, "1 1 0 1 1 1", "0:Unhealthy 10:Unhealthy 20:success 30:Unhealthy 40:Unhealthy 50:Unhealthy 50:failure"},
		{"two successes", Readiness, twice, "0 1 0 0", "10:Unhealthy 30:success 40:success 50:success"},
		{"liveness ends with failure", Liveness, p, "1", "0:Unhealthy 10:Unhealthy 20:Unhealthy 20:failure 20:end"},
		{"startup ends with success", Startup, p, "1 0", "0:Unhealthy 10:success 10:end"},
		{"startup ends with failure", Startup, p, "1", "0:Unhealthy 10:Unhealthy 20:Unhealthy 20:failure 20:end"},
		{"a timeout is a failure", Liveness, p, "99", "0:Unhealthy 10:Unhealthy 20:Unhealthy 20:failure 20:end"},
	} {
		if got := run(t, c.kind, c.probe, c.answers, 59*time.Second); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, r.UserAgent(), " ", r.Header.Get("X-A"), " ", r.Host)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		default:
			http.Error(w, "secret", http.StatusTeapot)
		}
	}))
	defer srv.Close()
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	c := &corev1.Container{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(n)}}}
	do := func(path string, p intstr.IntOrString, headers ...corev1.HTTPHeader) string {
		r, out, err := Do(t.Context(), &corev1.Probe{TimeoutSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: p, HTTPHeaders: headers}}}, Target{Container: c, PodIP: host})
		if err != nil {
			return "error: " + err.Error()
		}
		return r.String() + ": " + out
	}
	for _, k := range []struct{ got, want string }{
		{do("/ok", intstr.FromString("web"), corev1.HTTPHeader{Name: "X-A", Value: "b"}, corev1.HTTPHeader{Name: "Host", Value: "me"}), "success: kube-probe/1.37 b me"},
		{do("/near", intstr.FromInt32(int32(n))), "success: kube-probe/1.37  " + srv.Listener.Addr().String()},
		{do("/no", intstr.FromInt32(int32(n))), "failure: HTTP probe failed with statuscode: 418"},
		{do("/ok", intstr.FromString("nope")), `error: strconv.Atoi: parsing "nope": invalid syntax`},
	} {
		if k.got != k.want {
			t.Errorf("got %q, want %q", k.got, k.want)
		}
	}
	if got := do("/away", intstr.FromInt32(int32(n))); !strings.HasPrefix(got, "warning: Probe terminated redirects, Response body: ") {
		t.Error(got)
	}
	if got := do("/slow", intstr.FromInt32(int32(n))); !strings.HasPrefix(got, "failure: Get ") || !strings.Contains(got, "deadline exceeded") {
		t.Error(got)
	}
}

func TestTCPAndGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := health.NewServer()
	srv := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, h)
	go srv.Serve(l)
	defer srv.Stop()
	bare, _ := net.Listen("tcp", "127.0.0.1:0")
	plain := grpc.NewServer()
	go plain.Serve(bare)
	defer plain.Stop()
	h.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	do := func(addr net.Addr, service string) string {
		r, out, err := Do(t.Context(), &corev1.Probe{TimeoutSeconds: 1, ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(addr.(*net.TCPAddr).Port), Service: &service}}}, Target{Container: &corev1.Container{}, PodIP: "127.0.0.1"})
		return fmt.Sprint(r, ": ", out, err)
	}
	for _, k := range []struct{ got, want string }{
		{do(l.Addr(), ""), "success: service healthy<nil>"},
		{do(l.Addr(), "down"), `failure: service unhealthy (responded with "NOT_SERVING")<nil>`},
		{do(bare.Addr(), ""), "failure: error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health<nil>"},
	} {
		if k.got != k.want {
			t.Errorf("got %s\nwant %s", k.got, k.want)
		}
	}
	port := intstr.FromInt32(int32(l.Addr().(*net.TCPAddr).Port))
	tcp := &corev1.Probe{TimeoutSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}}
	if r, _, _ := Do(t.Context(), tcp, Target{Container: &corev1.Container{}, PodIP: "127.0.0.1"}); r != Success {
		t.Error(r)
	}
	srv.Stop()
	if r, out, _ := Do(t.Context(), tcp, Target{Container: &corev1.Container{}, PodIP: "127.0.0.1"}); r != Failure || !strings.Contains(out, "connection refused") {
		t.Error(r, out)
	}
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "1", "B": "$(A)"}
	lookup := func(n string) (string, bool) { v, ok := vars[n]; return v, ok }
	for in, want := range map[string]string{
		"$(A)": "1", "x$(A)y$(A)": "x1y1", "$$(A)": "$(A)", "$$$(A)": "$1", "$(B)": "$(A)", "$(C)": "$(C)", "$A": "$A", "$": "$", "$(": "$(", "$(A": "$(A", "$$": "$", "$()": "$()", "$(A)$": "1$",
	} {
		if got := Expand(in, lookup); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

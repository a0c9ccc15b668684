package connect

import (
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLastApart(t *testing.T) {
	r := &lastApart{r: iotest.DataErrReader(strings.NewReader("the end"))}
	buf := make([]byte, 64)
	if n, err := r.Read(buf); n != 7 || err != nil {
		t.Fatalf("first read: %d, %v", n, err)
	}
	if n, err := r.Read(buf); n != 0 || err != io.EOF {
		t.Fatalf("second read: %d, %v", n, err)
	}
}

func TestContainerOfAPod(t *testing.T) {
	pod := func(names ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
		p.Spec.InitContainers = []corev1.Container{{Name: "init"}}
		for _, n := range names {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: n})
		}
		return p
	}
	for _, tt := range []struct {
		pod             *corev1.Pod
		ask, want, fail string
	}{
		{pod("a"), "", "a", ""},
		{pod("a", "b"), "b", "b", ""},
		{pod("a", "b"), "init", "init", ""},
		{pod("a", "b"), "", "", "a container name must be specified for pod web, choose one of: [init a b]"},
		{pod("a"), "x", "", "container x is not valid for pod web"},
	} {
		got, err := container(tt.pod, tt.ask)
		if got != tt.want || tt.fail == "" != (err == nil) || err != nil && err.Error() != tt.fail {
			t.Errorf("container %q = %q, %v", tt.ask, got, err)
		}
	}
}

func TestLogOptions(t *testing.T) {
	parse := func(q string) (corev1.PodLogOptions, error) {
		v, err := url.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		return logOptions(v)
	}
	o, err := parse("follow=true&previous=false&timestamps&tailLines=5&container=c&sinceTime=2026-01-02T03:04:05Z")
	if err != nil || !o.Follow || o.Previous || !o.Timestamps || *o.TailLines != 5 || o.Container != "c" || o.SinceTime.Year() != 2026 {
		t.Errorf("options %+v, %v", o, err)
	}
	if _, err := parse("tailLines=many"); err == nil {
		t.Error("a word was taken for a number")
	}
	for q, want := range map[string]string{
		"tailLines=-1":   "tailLines: Invalid value: -1: must be greater than or equal to 0",
		"limitBytes=0":   "limitBytes: Invalid value: 0: must be greater than 0",
		"sinceSeconds=0": "sinceSeconds: Invalid value: 0: must be greater than 0",
		"sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z": "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
		"stream=Stdout": "stream: Forbidden: may not be specified",
		"stream=Foo":    "stream: Forbidden: may not be specified",
	} {
		o, err := parse(q)
		if err != nil {
			t.Fatal(err)
		}
		if errs := invalidLogOptions(&o); len(errs) != 1 || errs[0].Error() != want {
			t.Errorf("%s: %v, want %s", q, errs, want)
		}
	}
}

func TestExecParameters(t *testing.T) {
	v, _ := url.ParseQuery("command=sh&command=-c&command=ls&stdin=1&tty=true&container=c")
	o := execOptions(v)
	if !slices.Equal(o.Command, []string{"sh", "-c", "ls"}) || !o.Stdin || !o.TTY || o.Container != "c" {
		t.Errorf("options %+v", o)
	}
	if got := forwardedPorts(url.Values{"ports": {"80,443", "22"}}); !slices.Equal(got, []string{"80", "443", "22"}) {
		t.Errorf("ports %v", got)
	}
}

func TestLinksGoThroughTheProxy(t *testing.T) {
	r := &rewriting{prefix: "/api/v1/namespaces/n/pods/p/proxy", host: "10.0.0.1:80"}
	page := `<html><a href="/x?y=1">abs</a><a href="rel">rel</a><a href="http://other/x">other</a><img src="http://10.0.0.1:80/i.png"/><p>/x</p></html>`
	want := `<html><a href="/api/v1/namespaces/n/pods/p/proxy/x?y=1">abs</a><a href="rel">rel</a><a href="http://other/x">other</a><img src="/api/v1/namespaces/n/pods/p/proxy/i.png"/><p>/x</p></html>`
	if got := string(r.rewritePage([]byte(page))); got != want {
		t.Errorf("page\n%s\nwant\n%s", got, want)
	}
}

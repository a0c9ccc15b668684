package connect

import (
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// query reads the parameters of a stream as upstream's conversions do: a flag is on when it is there and is not "0" or
// "false", and of several values the first counts. The first error is kept.
type query struct {
	values url.Values
	err    error
}

func (q *query) flag(name string) bool {
	if !q.values.Has(name) {
		return false
	}
	v := q.values.Get(name)
	return v != "0" && !strings.EqualFold(v, "false")
}

func (q *query) number(name string) *int64 {
	v := q.values.Get(name)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil && q.err == nil {
		q.err = apierrors.NewBadRequest(err.Error())
	}
	return &n
}

func (q *query) time(name string) *metav1.Time {
	v := q.values.Get(name)
	if v == "" {
		return nil
	}
	var t metav1.Time
	if err := t.UnmarshalQueryParameter(v); err != nil && q.err == nil {
		q.err = apierrors.NewBadRequest(err.Error())
	}
	return &t
}

func execOptions(v url.Values) corev1.PodExecOptions {
	q := query{values: v}
	// The documentation says that stdout and stderr default to true; upstream never did that, and a client that opens no such
	// stream would wait for one in vain.
	return corev1.PodExecOptions{
		Stdin: q.flag("stdin"), Stdout: q.flag("stdout"), Stderr: q.flag("stderr"), TTY: q.flag("tty"),
		Container: v.Get("container"), Command: v["command"],
	}
}

func attachOptions(v url.Values) corev1.PodAttachOptions {
	q := query{values: v}
	return corev1.PodAttachOptions{
		Stdin: q.flag("stdin"), Stdout: q.flag("stdout"), Stderr: q.flag("stderr"), TTY: q.flag("tty"),
		Container: v.Get("container"),
	}
}

func logOptions(v url.Values) (corev1.PodLogOptions, error) {
	q := query{values: v}
	o := corev1.PodLogOptions{
		Container: v.Get("container"), Follow: q.flag("follow"), Previous: q.flag("previous"), Timestamps: q.flag("timestamps"),
		SinceSeconds: q.number("sinceSeconds"), SinceTime: q.time("sinceTime"), TailLines: q.number("tailLines"), LimitBytes: q.number("limitBytes"),
		InsecureSkipTLSVerifyBackend: q.flag("insecureSkipTLSVerifyBackend"),
	}
	if v.Has("stream") {
		s := v.Get("stream")
		o.Stream = &s
	}
	return o, q.err
}

// forwardedPorts are those that a WebSocket client names; SPDY clients name theirs in the streams.
func forwardedPorts(v url.Values) []string {
	var ports []string
	for _, p := range v["ports"] {
		ports = append(ports, strings.Split(p, ",")...)
	}
	return ports
}

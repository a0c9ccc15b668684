package connect

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/stream"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// session hands an exec or attach to the kubelet. SPDY and WebSocket up to version 4 are copied as they are; version 5 is
// translated here, because kubelets of others do not speak it.
func (c *Connector) session(w http.ResponseWriter, r *http.Request, req *verb.Request) error {
	pod, err := c.pod(r.Context(), req)
	if err != nil {
		return err
	}
	var name string
	params := url.Values{}
	switch req.Ref.Subresource {
	case "exec":
		o := execOptions(r.URL.Query())
		name = o.Container
		params["command"] = o.Command
		streams(params, o.Stdin, o.Stdout, o.Stderr, o.TTY)
	case "attach":
		o := attachOptions(r.URL.Query())
		name = o.Container
		streams(params, o.Stdin, o.Stdout, o.Stderr, o.TTY)
	}
	if name, err = container(pod, name); err != nil {
		return err
	}
	to, err := c.hop(r, pod, fmt.Sprintf("/%s/%s/%s/%s", req.Ref.Subresource, pod.Namespace, pod.Name, name), params)
	if err != nil {
		return err
	}
	// What is asked for comes last: upstream leaves it to the kubelet.
	if req.Ref.Subresource == "exec" && len(params["command"]) == 0 {
		return apierrors.NewBadRequest("you must specify at least 1 command for the container")
	}
	if !params.Has("input") && !params.Has("output") && !params.Has("error") {
		return apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	}
	opts := stream.Options{Stdin: params.Has("input"), Stdout: params.Has("output"), Stderr: params.Has("error"), TTY: params.Has("tty")}
	return joined(func(fail stream.Fail) { stream.Exec(w, r, to, opts, fail) })
}

// streams names the streams as the kubelet's URLs do.
func streams(params url.Values, stdin, stdout, stderr, tty bool) {
	for name, on := range map[string]bool{"input": stdin, "output": stdout, "error": stderr, "tty": tty} {
		if on {
			params.Set(name, "1")
		}
	}
}

func (c *Connector) portForward(w http.ResponseWriter, r *http.Request, req *verb.Request) error {
	pod, err := c.pod(r.Context(), req)
	if err != nil {
		return err
	}
	params := url.Values{}
	for _, p := range forwardedPorts(r.URL.Query()) {
		params.Add("port", p)
	}
	to, err := c.hop(r, pod, fmt.Sprintf("/portForward/%s/%s", pod.Namespace, pod.Name), params)
	if err != nil {
		return err
	}
	return joined(func(fail stream.Fail) { stream.PortForward(w, r, to, fail) })
}

// hop is the kubelet's end of a session.
func (c *Connector) hop(r *http.Request, pod *corev1.Pod, path string, params url.Values) (stream.Hop, error) {
	if pod.Spec.NodeName == "" {
		return stream.Hop{}, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	host, err := c.kubelet(r.Context(), pod.Spec.NodeName)
	if err != nil {
		return stream.Hop{}, err
	}
	return stream.Hop{URL: &url.URL{Scheme: "https", Host: host, Path: path, RawQuery: params.Encode()}, Transport: c.kubelets}, nil
}

// joined runs a session and returns the error that kept it from beginning.
func joined(run func(stream.Fail)) error {
	var failed error
	run(func(_ http.ResponseWriter, _ *http.Request, err error) {
		var status apierrors.APIStatus
		if errors.Is(err, egress.ErrNotAllowed) {
			failed = apierrors.NewBadRequest(egress.ErrNotAllowed.Error())
			return
		}
		if failed = err; !errors.As(err, &status) {
			failed = fmt.Errorf("error dialing backend: %w", err)
		}
	})
	return failed
}

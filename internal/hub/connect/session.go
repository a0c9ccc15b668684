package connect

import (
	"fmt"
	"net/http"
	"net/url"

	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// session hands an exec or attach to the kubelet: the upgraded connection, WebSocket or SPDY, is copied as it is.
func (c *Connector) session(w http.ResponseWriter, r *http.Request, req *verb.Request) error {
	var name string
	params := url.Values{}
	switch req.Ref.Subresource {
	case "exec":
		o := execOptions(r.URL.Query())
		if len(o.Command) == 0 {
			return apierrors.NewBadRequest("you must specify at least 1 command for the container")
		}
		name = o.Container
		params["command"] = o.Command
		streams(params, o.Stdin, o.Stdout, o.Stderr, o.TTY)
	case "attach":
		o := attachOptions(r.URL.Query())
		name = o.Container
		streams(params, o.Stdin, o.Stdout, o.Stderr, o.TTY)
	}
	if len(params) == 0 || !params.Has("input") && !params.Has("output") && !params.Has("error") {
		return apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	}
	pod, err := c.pod(r.Context(), req)
	if err != nil {
		return err
	}
	if name, err = container(pod, name); err != nil {
		return err
	}
	return c.upgrade(w, r, pod, fmt.Sprintf("/%s/%s/%s/%s", req.Ref.Subresource, pod.Namespace, pod.Name, name), params)
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
	return c.upgrade(w, r, pod, fmt.Sprintf("/portForward/%s/%s", pod.Namespace, pod.Name), params)
}

func (c *Connector) upgrade(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, path string, params url.Values) error {
	if pod.Spec.NodeName == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	if r.Header.Get("Upgrade") == "" {
		return apierrors.NewBadRequest("Upgrade request required")
	}
	host, err := c.kubelet(r.Context(), pod.Spec.NodeName)
	if err != nil {
		return err
	}
	c.forward(w, r, &url.URL{Scheme: "https", Host: host, Path: path, RawQuery: params.Encode()}, c.kubelets)
	return nil
}

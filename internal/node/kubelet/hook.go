package kubelet

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/probe"

	corev1 "k8s.io/api/core/v1"
)

// hook runs a lifecycle hook. The error is what the API shows of a failed postStart.
func (b *base) hook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, h *corev1.LifecycleHandler, ips []string) error {
	switch {
	case h.Exec != nil:
		out, errOut, code, err := b.rt.ExecSync(ctx, id, h.Exec.Command, 0)
		if err == nil && code != 0 {
			err = fmt.Errorf("command '%s' exited with %d: %s", strings.Join(h.Exec.Command, " "), code, errOut)
		}
		if err != nil {
			return fmt.Errorf("Exec lifecycle hook (%v) for Container %q in Pod %q failed - error: %v, message: %q", h.Exec.Command, c.Name, pods.Describe(pod), err, string(out)+string(errOut))
		}
		return nil
	case h.HTTPGet != nil:
		if err := b.httpHook(ctx, pod, c, h.HTTPGet, ips); err != nil {
			return fmt.Errorf("HTTP lifecycle hook (%s) for Container %q in Pod %q failed - error: %v", h.HTTPGet.Path, c.Name, pods.Describe(pod), err)
		}
		return nil
	case h.Sleep != nil:
		t := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("Sleep lifecycle hook (%d) for Container %q in Pod %q failed - error: container terminated before sleep hook finished", h.Sleep.Seconds, c.Name, pods.Describe(pod))
		}
	}
	return fmt.Errorf("Cannot run handler: invalid handler: %v", h)
}

func (b *base) httpHook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, a *corev1.HTTPGetAction, ips []string) error {
	if a.Host == "" && len(ips) == 0 {
		return fmt.Errorf("failed to find networking container")
	}
	req, err := probe.Request(ctx, a, c, cmp.Or(ips...), "lifecycle")
	if err != nil {
		return err
	}
	res, err := probe.Client(0).Do(req)
	if err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		req = req.Clone(ctx)
		req.URL.Scheme = "http"
		req.Header.Del("Authorization")
		if res, err = probe.Client(0).Do(req); err == nil {
			b.events.Pod(pod, "", corev1.EventTypeWarning, "LifecycleHTTPFallback", "request to HTTPS lifecycle hook %s got HTTP response, retry with HTTP succeeded", req.URL.Host)
		}
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 10<<10))
	return nil
}

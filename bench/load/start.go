package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The lines between the driver and a load that times a start: the load says that it is ready to look, the driver says when it
// executed the server, the load says when /readyz answered, for a driver that starts more then.
const (
	Armed  = "armed"
	Readyz = "readyz"
)

// armed waits until the driver has started the server and returns when that was.
func (r *run) armed() (time.Time, error) {
	fmt.Println(Armed)
	line, err := bufio.NewReader(r.stdin).ReadString('\n')
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of the start: %w", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Unix(0, ns), err
}

// readyz waits until the server says that it is ready. It asks as nobody and believes any certificate, because on an empty disk
// there are no keys yet. It speaks HTTP/1.1: over HTTP/2 an API server ends the connection of a client that is nobody after every
// answer, and the handshakes of such a client would be what is timed.
func (r *run) readyz() error {
	hc := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer hc.CloseIdleConnections()
	return r.until(3*time.Millisecond, func() bool {
		resp, err := hc.Get("https://" + r.address + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK
	})
}

// ready times a start to /readyz.
func (r *run) ready() error {
	_, err := r.readySince()
	return err
}

// readySince times a start to /readyz and returns when it began.
func (r *run) readySince() (time.Time, error) {
	since, err := r.armed()
	if err != nil {
		return since, err
	}
	if err := r.readyz(); err != nil {
		return since, err
	}
	r.put("readyz_ms", milliseconds(time.Since(since)))
	return since, nil
}

// start times a start from an empty disk.
func (r *run) start() error {
	since, err := r.readySince()
	if err != nil {
		return err
	}
	fmt.Println(Readyz)
	if err := r.until(3*time.Millisecond, func() bool { _, err := os.Stat(r.kubeconfig); return err == nil }); err != nil {
		return err
	}
	cs, err := r.client()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	mark := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		r.put(name, milliseconds(time.Since(since)))
	}
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() {
		if errs[0] = r.nodeReady(cs); errs[0] == nil {
			mark("node_ready_ms")
		}
	})
	wg.Go(func() { errs[1] = r.firstPod(cs, mark) })
	wg.Wait()
	return errors.Join(errs[0], errs[1])
}

func (r *run) nodeReady(cs kubernetes.Interface) error {
	return follow(r.ctx, nodesOf(cs), "", func(n *corev1.Node, _ bool) bool { return hasCondition(n.Status.Conditions) })
}

func hasCondition(list []corev1.NodeCondition) bool {
	for _, c := range list {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// firstPod makes a pod as soon as the server takes it, which it does once the namespace has its service account, and waits until
// it runs.
func (r *run) firstPod(cs kubernetes.Interface, mark func(string)) error {
	pods := cs.CoreV1().Pods("default")
	err := r.until(10*time.Millisecond, func() bool {
		ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
		defer cancel()
		_, err := pods.Create(ctx, r.realPod("default", "first"), metav1.CreateOptions{})
		return err == nil
	})
	if err != nil {
		return err
	}
	mark("pod_created_ms")
	err = follow(r.ctx, podsOf(cs, "default"), "metadata.name=first", func(p *corev1.Pod, _ bool) bool { return p.Status.Phase == corev1.PodRunning })
	if err == nil {
		mark("pod_running_ms")
	}
	return err
}

package load

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const protobuf = "application/vnd.kubernetes.protobuf"

// config returns settings for one connection that is shared with no other config: client-go shares transports between equal
// configs, and one with a proxy function of its own is equal to none.
func (r *run) config() (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", r.kubeconfig)
	if err != nil {
		return nil, err
	}
	c.QPS, c.Burst = -1, -1
	c.UserAgent = "sampan-bench"
	c.ContentType, c.AcceptContentTypes = "application/json", "application/json"
	if r.content == "protobuf" {
		c.ContentType, c.AcceptContentTypes = protobuf, protobuf+",application/json"
	}
	c.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	return c, nil
}

// client returns a client with a connection of its own.
func (r *run) client() (*kubernetes.Clientset, error) {
	c, err := r.config()
	if err != nil {
		return nil, err
	}
	hc, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfigAndClient(c, hc)
}

// raw returns a bare HTTP client with a connection of its own that leaves bodies as they come, and the server's URL.
func (r *run) raw() (*http.Client, string, error) {
	c, err := r.config()
	if err != nil {
		return nil, "", err
	}
	c.DisableCompression = true
	hc, err := rest.HTTPClientFor(c)
	return hc, c.Host, err
}

// get reads and throws away the answer to a GET. encoding is that of Accept-Encoding.
func (r *run) get(hc *http.Client, u, accept, encoding string) (size int64, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, u, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", encoding)
	since := time.Now()
	resp, err := hc.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	size, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", u, resp.Status)
	}
	if err == nil && encoding == "gzip" && resp.Header.Get("Content-Encoding") != "gzip" {
		err = fmt.Errorf("%s: the answer is not gzipped", u)
	}
	return size, time.Since(since), err
}

// namespace makes a namespace that pods can be made in: its service account is there on return, made by us where nobody else
// does it.
func (r *run) namespace(cs kubernetes.Interface, name string) error {
	_, err := cs.CoreV1().Namespaces().Create(r.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	_, err = cs.CoreV1().ServiceAccounts(name).Create(r.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// each calls f(worker, i) for every i below n on so many workers, and returns the first error, after which no more begin.
func each(n, workers int, f func(worker, i int) error) error {
	var mu sync.Mutex
	var first error
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == n {
			return -1
		}
		next++
		return next - 1
	}
	var wg sync.WaitGroup
	for w := range min(workers, n) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				if err := f(w, i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

// until polls every step until done says so, or the run ends.
func (r *run) until(step time.Duration, done func() bool) error {
	for !done() {
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(step):
		}
	}
	return nil
}

// pause waits, or returns early when the run ends.
func (r *run) pause(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}

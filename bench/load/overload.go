package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	floodSpace = "bench-flood"
	nodeLeases = 10
	renewEvery = time.Second      // more often than kubelets, for more samples
	renewIn    = 10 * time.Second // a kubelet's interval: a renewal that takes longer is missed
	slowRead   = 4 << 10          // bytes that a slow reader takes at a time
	slowPause  = 200 * time.Millisecond
)

// overload has more asked of the server than it can do, for a minute: large creates by -workers clients, lists by -concurrent
// clients, -watchers readers that hardly read, and beside them nodes that renew their leases and one client that asks for
// little. Those who flood are a user who is no administrator, whom no server lets in without a limit.
func (r *run) overload() error {
	admin, err := r.client()
	if err != nil {
		return err
	}
	if err := r.prepareFlood(admin); err != nil {
		return err
	}
	ctx, end := context.WithTimeout(r.ctx, r.lasting)
	defer end()
	f := &flood{r: r, ctx: ctx}
	modest, err := r.beside("modest")
	if err != nil {
		return err
	}
	var load sync.WaitGroup
	for i := range r.workers {
		load.Go(func() { f.many("post", i, f.post) })
	}
	for i := range r.concurrent {
		load.Go(func() { f.many("list", i, f.list) })
	}
	for i := range r.watchers {
		load.Go(func() { f.many("slow", i, f.slowly) })
	}
	load.Wait()
	f.report()
	return modest()
}

// modest is what goes on beside the flood: nodes that renew their leases, and a client that asks for little.
func (r *run) modest() error {
	ctx, end := context.WithTimeout(r.ctx, r.lasting)
	defer end()
	f := &flood{r: r, ctx: ctx}
	var all sync.WaitGroup
	for i := range nodeLeases {
		all.Go(func() { f.renew(i) })
	}
	all.Go(f.ask)
	all.Wait()
	r.put("lease_missed", float64(f.missed.Load()))
	r.put("lease_p99_ms", f.renewed.at(.99))
	r.put("lease_max_ms", f.renewed.at(1))
	r.put("get_p50_ms", f.asked.at(.5))
	r.put("get_p99_ms", f.asked.at(.99))
	r.put("get_failed", float64(f.failed.Load()))
	f.tellReasons()
	return nil
}

// beside starts another load in a process of its own, so that what it measures is not its waiting for this one. wait takes its
// values over when it has ended.
func (r *run) beside(name string) (wait func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(r.ctx, self, "load", name, "-kubeconfig", r.kubeconfig, "-prefix", r.prefix, "-lasting", r.lasting.String(), "-timeout", r.timeout.String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var o Output
		if err := json.Unmarshal(out.Bytes(), &o); err != nil {
			return err
		}
		maps.Copy(r.values, o.Values)
		r.notes = append(r.notes, o.Notes...)
		return nil
	}, nil
}

// prepareFlood makes who floods, what is listed and what is asked for.
func (r *run) prepareFlood(cs kubernetes.Interface) error {
	if err := r.namespace(cs, floodSpace); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "bench-flood"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "bench-flood"}, {APIGroup: rbacv1.GroupName, Kind: "User", Name: "bench-modest"}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}
	if _, err := cs.RbacV1().ClusterRoleBindings().Create(r.ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	if _, err := cs.CoreV1().ConfigMaps("default").Create(r.ctx, configMap("bench-modest"), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	// The collection is of -n kilobytes in pieces of 100.
	return each(max(1, r.n/100), 4, func(_, i int) error {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("listed-%d", i), Labels: map[string]string{"bench": "listed"}}, Data: map[string]string{"k": noise(100 << 10)}}
		for {
			_, err := cs.CoreV1().ConfigMaps("default").Create(r.ctx, m, metav1.CreateOptions{})
			if !apierrors.IsTooManyRequests(err) {
				return err
			}
			r.pause(time.Second)
		}
	})
}

// noise is text that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	dice := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[dice.IntN(64)]
	}
	return string(b)
}

// flood counts what comes of an overload.
type flood struct {
	r   *run
	ctx context.Context

	counts  sync.Map // "post_ok" -> *atomic.Int64
	renewed times
	asked   times
	missed  atomic.Int64
	failed  atomic.Int64 // modest requests
	reason  sync.Map     // of failures, each once
}

func (f *flood) count(name string) {
	n, _ := f.counts.LoadOrStore(name, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// client is one with a connection of its own, as somebody else than the administrator.
func (f *flood) client(user string, groups ...string) (*http.Client, string, error) {
	c, err := f.r.config()
	if err != nil {
		return nil, "", err
	}
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c.DisableCompression = true
	hc, err := rest.HTTPClientFor(c)
	return hc, c.Host, err
}

// many asks again and again until the time is over. A server that says when to come back is obeyed.
func (f *flood) many(what string, i int, once func(hc *http.Client, host string, i, n int) (*http.Response, error)) {
	hc, host, err := f.client("bench-flood")
	if err != nil {
		f.reason.Store(err.Error(), true)
		return
	}
	for n := 0; f.ctx.Err() == nil; n++ {
		resp, err := once(hc, host, i, n)
		wait := time.Duration(0)
		switch {
		case f.ctx.Err() != nil:
		case err != nil:
			f.count(what + "_broken")
			f.reason.Store(short(err), true)
			wait = time.Second
		case resp.StatusCode == http.StatusTooManyRequests:
			f.count(what + "_429")
			after, aerr := strconv.Atoi(resp.Header.Get("Retry-After"))
			if aerr != nil {
				f.count("429_without_retry_after")
			}
			wait = time.Duration(max(1, after)) * time.Second
		case resp.StatusCode >= 300:
			f.count(fmt.Sprintf("%s_%d", what, resp.StatusCode))
			wait = time.Second
		default:
			f.count(what + "_ok")
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(wait):
		}
	}
}

// short is what went wrong, without addresses.
func short(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

func (f *flood) do(hc *http.Client, method, url, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(f.ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return hc.Do(req)
}

var megabyte = sync.OnceValue(func() string { return noise(1000 << 10) })

func (f *flood) post(hc *http.Client, host string, i, n int) (*http.Response, error) {
	body := fmt.Sprintf(`{"metadata":{"name":"f-%d-%d"},"data":{"k":"%s"}}`, i, n, megabyte())
	return f.drained(f.do(hc, "POST", host+"/api/v1/namespaces/"+floodSpace+"/configmaps", body))
}

const listPath = "/api/v1/namespaces/default/configmaps?labelSelector=bench%3Dlisted"

func (f *flood) list(hc *http.Client, host string, _, _ int) (*http.Response, error) {
	return f.drained(f.do(hc, "GET", host+listPath, ""))
}

func (f *flood) drained(resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// slowly reads so little at a time that the answer is still there when the time is over.
func (f *flood) slowly(hc *http.Client, host string, _, _ int) (*http.Response, error) {
	resp, err := f.do(hc, "GET", host+listPath, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	buf := make([]byte, slowRead)
	for f.ctx.Err() == nil { // what has come already could be read on
		if _, err := io.ReadFull(resp.Body, buf); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return resp, nil
		} else if err != nil {
			return nil, err
		}
		f.r.pause(slowPause)
	}
	return resp, nil
}

// renew keeps the lease of a node as its kubelet does: with tries of ten seconds at most, and what is refused is tried again.
func (f *flood) renew(i int) {
	name := fmt.Sprintf("bench-node-%d", i)
	hc, host, err := f.client("system:node:"+name, "system:nodes", "system:authenticated")
	if err != nil {
		f.reason.Store(err.Error(), true)
		return
	}
	const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
	made := false
	for f.ctx.Err() == nil {
		since := time.Now()
		done := false
		for !done && time.Since(since) < renewIn {
			method, url := "PATCH", host+leases+"/"+name
			body := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
			if !made {
				method, url = "POST", host+leases
				body = fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"holderIdentity":%q,"leaseDurationSeconds":40}}`, name, name)
			}
			status, err := f.try(hc, method, url, body)
			done = err == nil && status < 300
			made = made || done || status == http.StatusConflict
			if !done {
				f.note("lease", status, err)
				time.Sleep(200 * time.Millisecond)
			}
		}
		if !done {
			f.missed.Add(1)
		}
		f.renewed.add(time.Since(since))
		time.Sleep(max(0, renewEvery-time.Since(since)))
	}
}

// try makes one request that the end of the flood does not cut off.
func (f *flood) try(hc *http.Client, method, url, body string) (int, error) {
	ctx, cancel := context.WithTimeout(f.r.ctx, renewIn)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := f.drained(hc.Do(req))
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

func (f *flood) note(what string, status int, err error) {
	if err != nil {
		f.reason.Store(what+": "+short(err), true)
	} else {
		f.reason.Store(fmt.Sprintf("%s: %d", what, status), true)
	}
}

// ask is the client that asks for little: one small object, ten times a second.
func (f *flood) ask() {
	hc, host, err := f.client("bench-modest", "system:authenticated")
	if err != nil {
		f.reason.Store(err.Error(), true)
		return
	}
	for f.ctx.Err() == nil {
		since := time.Now()
		status, err := f.try(hc, "GET", host+"/api/v1/namespaces/default/configmaps/bench-modest", "")
		f.asked.add(time.Since(since))
		if err != nil || status != http.StatusOK {
			f.failed.Add(1)
			f.note("get", status, err)
		}
		time.Sleep(max(0, 100*time.Millisecond-time.Since(since)))
	}
}

func (f *flood) report() {
	for _, name := range []string{"post_ok", "post_429", "list_ok", "list_429", "slow_ok", "slow_429", "post_broken", "list_broken", "slow_broken", "429_without_retry_after"} {
		f.count(name)
	}
	f.counts.Range(func(name, n any) bool {
		v := n.(*atomic.Int64).Load()
		switch name {
		case "post_ok", "post_429", "list_ok", "list_429", "slow_ok", "slow_429", "post_broken", "list_broken", "slow_broken", "429_without_retry_after":
			v-- // made above, so that there is a value
		}
		f.r.put(name.(string), float64(v))
		return true
	})
	f.tellReasons()
}

func (f *flood) tellReasons() {
	f.reason.Range(func(text, _ any) bool {
		f.r.notes = append(f.r.notes, f.r.prefix+text.(string))
		return true
	})
}

package load

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const listSpace, listNodes = "bench-list", 300

// list makes n pods and lists them in every form that clients use.
func (r *run) list() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	hc, host, err := r.raw()
	if err != nil {
		return err
	}
	if err := r.makePods(cs, hc, host); err != nil {
		return fmt.Errorf("make pods: %w", err)
	}
	pods := host + "/api/v1/namespaces/" + listSpace + "/pods"
	some := "&labelSelector=" + "sampan-bench/tenth%3D3"
	for _, f := range []struct {
		name, query, encoding string
		lists                 int
	}{
		{"all", "?resourceVersion=0", "identity", 7},
		{"fresh", "", "identity", 5}, // consistent: no resourceVersion
		{"gzip", "?resourceVersion=0", "gzip", 7},
		{"selected", "?resourceVersion=0" + some, "identity", 15},
		{"of_node", "?resourceVersion=0&fieldSelector=spec.nodeName%3Dhollow-00007", "identity", 50},
		{"page", "?limit=500", "identity", 40},
	} {
		for _, form := range []struct{ name, accept string }{{"pb", protobuf}, {"json", "application/json"}} {
			if err := r.listForm(hc, form.name+"_"+f.name, pods+f.query, form.accept, f.encoding, f.lists); err != nil {
				return err
			}
		}
	}
	return r.parallel(pods + "?resourceVersion=0")
}

// makePods creates the pods on nodes that exist, and measures what the server holds for each.
func (r *run) makePods(cs *kubernetes.Clientset, hc *http.Client, host string) error {
	if err := r.namespace(cs, listSpace); err != nil {
		return err
	}
	owner, err := cs.CoreV1().ConfigMaps(listSpace).Create(r.ctx, configMap("frontend"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := r.hollow(cs, listNodes); err != nil {
		return err
	}
	heap, rss := r.heap(hc, host), r.pids.RSS()
	before := r.pids.Take()
	if err := r.podsUpTo(cs, owner, 0, r.n); err != nil {
		return err
	}
	used := r.window(before)
	r.put("pods_per_s", float64(r.n)/used.At.Sub(before.At).Seconds())
	r.pause(3 * time.Second)
	if after := r.heap(hc, host); after > 0 && heap > 0 {
		r.put("heap_per_pod_kb", (after-heap)/1024/float64(r.n))
	}
	r.put("rss_per_pod_kb", (r.pids.RSS()-rss)*1024/float64(r.n))
	return nil
}

// podsUpTo creates the pods from one number up to another, of an owner that exists.
func (r *run) podsUpTo(cs *kubernetes.Clientset, owner *corev1.ConfigMap, from, to int) error {
	ref := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}
	return each(to-from, 32, func(_, i int) error {
		i += from
		p := bigPod(listSpace, fmt.Sprintf("frontend-5d5f9f7c7b-%06d", i), fmt.Sprintf("hollow-%05d", i%listNodes), ref)
		p.Labels["sampan-bench/tenth"] = strconv.Itoa(i / listNodes % 10)
		_, err := cs.CoreV1().Pods(listSpace).Create(r.ctx, p, metav1.CreateOptions{})
		return err
	})
}

func (r *run) listForm(hc *http.Client, name, url, accept, encoding string, lists int) error {
	size, _, err := r.get(hc, url, accept, encoding)
	if err != nil {
		return err
	}
	var t times
	before := r.pids.Take()
	for range lists {
		_, took, err := r.get(hc, url, accept, encoding)
		if err != nil {
			return err
		}
		t.add(took)
	}
	used := r.window(before)
	r.put(name+"_ms", t.at(.5))
	r.put(name+"_cpu_ms", 1000*used.CPU/float64(lists))
	r.put(name+"_mb", float64(size)/1e6)
	return nil
}

// parallel lists so many times at once, on a connection each, and measures by how much the server grows.
func (r *run) parallel(url string) error {
	clients := make([]*http.Client, r.concurrent)
	for i := range clients {
		hc, host, err := r.raw()
		if err != nil {
			return err
		}
		clients[i] = hc
		if _, _, err := r.get(hc, host+"/readyz", "*/*", "identity"); err != nil {
			return err
		}
	}
	for _, form := range []struct{ name, accept string }{{"pb", protobuf}, {"json", "application/json"}} {
		r.pause(2 * time.Second)
		peak := r.pids.Peak()
		before := r.pids.Take()
		err := each(r.concurrent, r.concurrent, func(w, _ int) error {
			_, _, err := r.get(clients[w], url, form.accept, "identity")
			return err
		})
		used := r.window(before)
		first, most := peak()
		if err != nil {
			return err
		}
		r.put(form.name+"_parallel_ms", milliseconds(used.At.Sub(before.At)))
		r.put(form.name+"_parallel_extra_mb", most-first)
	}
	return nil
}

// heap returns the bytes that the API server's process holds after a garbage collection, 0 where it does not tell. Both sides
// serve upstream's profile.
func (r *run) heap(hc *http.Client, host string) float64 {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, host+"/debug/pprof/heap?gc=1&debug=1", nil)
	if err != nil {
		return 0
	}
	resp, err := hc.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	value := 0.0
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
			value, _ = strconv.ParseFloat(v, 64)
		}
	}
	return value
}

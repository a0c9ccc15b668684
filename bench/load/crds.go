package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// crds makes n custom resource definitions, waits until all are Established and discovered, and lets the server settle. Then it
// lists the objects of each, of which there are none.
func (r *run) crds() error {
	hc, host, err := r.raw()
	if err != nil {
		return err
	}
	if _, _, err := r.get(hc, host+"/readyz", "*/*", "identity"); err != nil {
		return err
	}
	r.pause(settling) // a server that has just started gives memory back
	grown := r.grows(hc, host)
	before := r.pids.Take()
	if err := r.establish(hc, host); err != nil {
		return err
	}
	r.put("established_s", time.Since(before.At).Seconds())
	if err := r.until(20*time.Millisecond, func() bool { return r.discovered(hc, host) >= r.n }); err != nil {
		return fmt.Errorf("not all are discovered: %w", err)
	}
	r.put("served_s", time.Since(before.At).Seconds())
	r.pause(settling)
	r.put("cpu_s", r.window(before).CPU) // with what is done behind the answers
	grown("")

	reading := r.pids.Take()
	err = each(r.n, r.workers, func(_, i int) error {
		return r.until(20*time.Millisecond, func() bool { // a server may say 429 while it makes ready to answer
			_, _, err := r.get(hc, host+widgetKind(i).path(), "application/json", "identity")
			return err == nil
		})
	})
	if err != nil {
		return err
	}
	r.put("read_s", time.Since(reading.At).Seconds())
	r.pause(settling)
	r.put("read_cpu_s", r.window(reading).CPU)
	grown("read_")
	return nil
}

// settling is how long a server has to finish what it does behind the answers.
const settling = 15 * time.Second

// grows returns a function that puts by how much memory has grown since: resident, and held by the API server after a garbage
// collection.
func (r *run) grows(hc *http.Client, host string) func(prefix string) {
	rss := r.pids.RSS()
	heap := r.heap(hc, host)
	return func(prefix string) {
		r.put(prefix+"rss_growth_mb", r.pids.RSS()-rss)
		if now := r.heap(hc, host); now > 0 && heap > 0 {
			r.put(prefix+"heap_growth_mb", (now-heap)/(1<<20))
		}
	}
}

// establish makes the definitions and returns when each has been seen to be Established.
func (r *run) establish(hc *http.Client, host string) error {
	c, err := r.config()
	if err != nil {
		return err
	}
	dyn, err := dynamic.NewForConfig(c)
	if err != nil {
		return err
	}
	all := dyn.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	defs := collection{func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) }, all.Watch}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	var wg sync.WaitGroup
	var seen error
	wg.Go(func() {
		established := map[string]bool{}
		seen = follow(ctx, defs, "", func(u *unstructured.Unstructured, gone bool) bool {
			if !gone && isEstablished(u) {
				established[u.GetName()] = true
			}
			return len(established) >= r.n
		})
	})
	err = each(r.n, r.workers, func(_, i int) error {
		body, err := widgetKind(i).definition()
		if err != nil {
			return err
		}
		return r.post(hc, host+"/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
	})
	if err != nil {
		cancel()
	}
	wg.Wait()
	return errors.Join(err, seen)
}

func isEstablished(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}

// discovered says how many of the kinds the server's discovery names.
func (r *run) discovered(hc *http.Client, host string) int {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, host+"/apis", nil)
	if err != nil {
		return 0
	}
	req.Header.Set("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	resp, err := hc.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var doc struct {
		Items []struct {
			Metadata struct{ Name string }
			Versions []struct {
				Resources []struct{ Resource string }
			}
		}
	}
	if json.NewDecoder(resp.Body).Decode(&doc) != nil {
		return 0
	}
	named := map[string]bool{}
	for _, g := range doc.Items {
		for _, v := range g.Versions {
			for _, res := range v.Resources {
				named[res.Resource+"."+g.Metadata.Name] = true
			}
		}
	}
	n := 0
	for i := range r.n {
		if w := widgetKind(i); named[w.plural+"."+w.group] {
			n++
		}
	}
	return n
}

package load

import (
	"fmt"
	"net/http"
	"time"
)

// custom makes n custom resources of one kind and lists them.
func (r *run) custom() error {
	hc, host, err := r.raw()
	if err != nil {
		return err
	}
	w := widgetKind(0)
	if err := r.define(hc, host, w); err != nil {
		return err
	}
	r.pause(2 * time.Second)
	heap := r.heap(hc, host)
	before := r.pids.Take()
	err = each(r.n, 32, func(_, i int) error {
		body, err := w.object(fmt.Sprintf("frontend-%06d", i))
		if err != nil {
			return err
		}
		return r.post(hc, host+w.path(), body)
	})
	if err != nil {
		return err
	}
	used := r.window(before)
	r.put("created_per_s", float64(r.n)/used.At.Sub(before.At).Seconds())
	r.put("create_cpu_us", 1e6*used.CPU/float64(r.n))
	r.pause(3 * time.Second)
	if after := r.heap(hc, host); after > 0 && heap > 0 {
		r.put("heap_per_object_kb", (after-heap)/1024/float64(r.n))
	}
	for _, f := range []struct {
		name, query, encoding string
		lists                 int
	}{
		{"json_all", "?resourceVersion=0", "identity", 7},
		{"json_fresh", "", "identity", 5},
		{"json_gzip", "?resourceVersion=0", "gzip", 5},
		{"json_page", "?limit=500", "identity", 40},
	} {
		if err := r.listForm(hc, f.name, host+w.path()+f.query, "application/json", f.encoding, f.lists); err != nil {
			return err
		}
	}
	return nil
}

// define makes one definition and returns when its objects can be listed.
func (r *run) define(hc *http.Client, host string, w widget) error {
	body, err := w.definition()
	if err != nil {
		return err
	}
	if err := r.post(hc, host+"/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body); err != nil {
		return err
	}
	return r.until(10*time.Millisecond, func() bool {
		_, _, err := r.get(hc, host+w.path(), "application/json", "identity")
		return err == nil
	})
}

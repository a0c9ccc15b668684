package load

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// page reads the first page of 500 when there are a tenth of n pods, and when there are all.
func (r *run) page() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	hc, host, err := r.raw()
	if err != nil {
		return err
	}
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
	forms := []struct{ name, accept string }{{"pb", protobuf}, {"json", "application/json"}}
	made := 0
	before := r.pids.Take()
	for _, step := range []struct {
		name string
		pods int
	}{{"few", r.n / 10}, {"many", r.n}} {
		if err := r.podsUpTo(cs, owner, made, step.pods); err != nil {
			return fmt.Errorf("make pods: %w", err)
		}
		made = step.pods
		if step.name == "many" {
			r.put("pods_per_s", float64(r.n)/r.window(before).At.Sub(before.At).Seconds())
		}
		r.pause(settling)
		for _, form := range forms {
			url := host + "/api/v1/namespaces/" + listSpace + "/pods?limit=500"
			if err := r.listForm(hc, form.name+"_"+step.name, url, form.accept, "identity", 200); err != nil {
				return err
			}
		}
	}
	for _, form := range forms {
		for _, v := range []string{"_cpu_ms", "_ms"} {
			if few := r.values[r.prefix+form.name+"_few"+v]; few > 0 {
				r.put(form.name+"_ratio"+v, r.values[r.prefix+form.name+"_many"+v]/few)
			}
		}
	}
	return nil
}

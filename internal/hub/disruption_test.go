package hub

import (
	"fmt"
	"strings"
	"testing"
)

const (
	evictedPods = "/api/v1/namespaces/default/pods"
	budgets     = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
)

// evictable starts a hub with a pod that is as its status says.
func evictable(t *testing.T, status string, further ...string) (evict func() answer, patch func(path, body string) answer) {
	t.Helper()
	h := start(t, func(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} })
	patch = func(path, body string) answer {
		t.Helper()
		a := do(h, "PATCH", path, body, "Content-Type: application/merge-patch+json")
		if a.code != 200 {
			t.Fatalf("%s: %d %s", path, a.code, a.body)
		}
		return a
	}
	do(h, "POST", evictedPods, `{"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"}]}}`)
	patch(evictedPods+"/p/status", `{"status":`+status+`}`)
	if a := do(h, "POST", budgets, `{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}`); a.code != 201 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for _, body := range further {
		if a := do(h, "POST", budgets, body); a.code != 201 {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	return func() answer {
		return do(h, "POST", evictedPods+"/p/eviction", `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}`)
	}, patch
}

const readyPod = `{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}`

// refused checks a 429 and its cause.
func refused(t *testing.T, a answer, cause string, retry bool) {
	t.Helper()
	s := a.status(t)
	if a.code != 429 || s.Message != "Cannot evict pod as it would violate the pod's disruption budget." || len(s.Details.Causes) != 1 ||
		s.Details.Causes[0].Type != "DisruptionBudget" || s.Details.Causes[0].Message != cause || (a.header.Get("Retry-After") != "") != retry {
		t.Errorf("%d %s, Retry-After %q", a.code, a.body, a.header.Get("Retry-After"))
	}
}

func TestEvictionTakesFromTheBudget(t *testing.T) {
	evict, patch := evictable(t, readyPod)
	refused(t, evict(), "The disruption budget b is still being processed by the server.", true)
	patch(budgets+"/b/status", `{"status":{"observedGeneration":1,"currentHealthy":1,"desiredHealthy":1}}`)
	refused(t, evict(), "The disruption budget b needs 1 healthy pods and has 1 currently", false)
	patch(budgets+"/b/status", `{"status":{"disruptionsAllowed":1,"currentHealthy":2}}`)
	if a := evict(); a.code != 201 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	b := patch(budgets+"/b", `{}`).object(t)
	if dig(b, "status.disruptionsAllowed") != 0.0 || dig(b, "status.disruptedPods.p") == nil || !strings.Contains(fmt.Sprint(dig(b, "status.conditions")), "reason:InsufficientPods status:False type:DisruptionAllowed") ||
		!strings.Contains(fmt.Sprint(dig(b, "metadata.managedFields")), "manager:kube-apiserver operation:Update subresource:status") {
		t.Errorf("%v", b)
	}
	if p := patch(evictedPods+"/p", `{}`).object(t); dig(p, "metadata.deletionTimestamp") == nil || !strings.Contains(fmt.Sprint(dig(p, "status.conditions")), "EvictionByEvictionAPI") {
		t.Errorf("%v", p)
	}
}

// Older drainers send evictions of policy/v1beta1, which has the same fields; no other version is taken.
func TestEvictionOfOldClients(t *testing.T) {
	h := start(t, func(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} })
	expect(t, h, "201 POST "+evictedPods, `{"metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"}]}}`)
	for version, code := range map[string]int{"policy/v1beta1": 201, "policy/v1": 201, "policy/v2": 400, "v1beta1": 400, "apps/v1beta1": 400} {
		for format, body := range map[string]string{
			"application/json": `{"apiVersion":"` + version + `","kind":"Eviction","metadata":{"name":"p"},"deleteOptions":{"gracePeriodSeconds":3}}`,
			"application/yaml": "apiVersion: " + version + "\nkind: Eviction\nmetadata: {name: p}\ndeleteOptions: {gracePeriodSeconds: 3}",
		} {
			if a := do(h, "POST", evictedPods+"/p/eviction?dryRun=All", body, "Content-Type: "+format); a.code != code {
				t.Errorf("%s, %s: %d %s", version, format, a.code, a.body)
			}
		}
	}
}

// A pod of two budgets cannot be evicted: nobody says which of them it would be taken from.
func TestEvictionOfTwoBudgets(t *testing.T) {
	evict, patch := evictable(t, readyPod, `{"metadata":{"name":"second"},"spec":{"maxUnavailable":1,"selector":{"matchLabels":{"a":"b"}}}}`)
	patch(budgets+"/b/status", `{"status":{"observedGeneration":1,"currentHealthy":2,"desiredHealthy":1,"disruptionsAllowed":1}}`)
	if a := evict(); a.code != 500 || a.status(t).Message != "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support." {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// What serves nobody is deleted whatever its budget says, and a pod that is not ready may be, when nothing is disrupted by it.
func TestEvictionPastTheBudget(t *testing.T) {
	for name, c := range map[string]struct {
		pod, budget string
		evicts      bool
	}{
		"pending":                   {`{"phase":"Pending"}`, `{"spec":{}}`, true},
		"ended":                     {`{"phase":"Failed"}`, `{"spec":{}}`, true},
		"not ready":                 {`{"phase":"Running"}`, `{"spec":{}}`, false},
		"not ready, always allowed": {`{"phase":"Running"}`, `{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			evict, patch := evictable(t, c.pod)
			patch(budgets+"/b", c.budget)
			if a := evict(); (a.code == 201) != c.evicts || a.code != 201 && a.code != 429 {
				t.Errorf("%d %s", a.code, a.body)
			}
		})
	}
	evict, patch := evictable(t, `{"phase":"Running"}`)
	patch(budgets+"/b/status", `{"status":{"observedGeneration":1,"currentHealthy":1,"desiredHealthy":1}}`)
	if a := evict(); a.code != 201 {
		t.Errorf("not ready, with enough others: %d %s", a.code, a.body)
	}
}

// A job is deleted without its pods, as it was before there were propagation policies, and the caller is told.
func TestJobDeletion(t *testing.T) {
	h := start(t, nil)
	const jobs = "/apis/batch/v1/namespaces/default/jobs"
	const body = `{"metadata":{%s},"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}`
	do(h, "POST", jobs, fmt.Sprintf(body, `"name":"j"`))
	a := do(h, "DELETE", jobs+"/j", "")
	const warning = `299 - "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"`
	if j := a.object(t); a.code != 200 || j["kind"] != "Job" || fmt.Sprint(dig(j, "metadata.finalizers")) != "[orphan]" || a.header.Get("Warning") != warning {
		t.Errorf("%d %s, warning %q", a.code, a.body, a.header.Get("Warning"))
	}
	do(h, "POST", jobs, fmt.Sprintf(body, `"name":"k"`))
	if a := do(h, "DELETE", jobs+"/k?propagationPolicy=Background", ""); a.code != 200 || a.object(t)["kind"] != "Status" || a.header.Get("Warning") != "" {
		t.Errorf("%d %s, warning %q", a.code, a.body, a.header.Get("Warning"))
	}
	j := do(h, "POST", jobs, fmt.Sprintf(body, `"generateName":"g-"`)).object(t)
	if name := dig(j, "metadata.name"); dig(j, "spec.template.metadata.labels.job-name") != name || dig(j, "metadata.labels.job-name") != name {
		t.Errorf("%v", j)
	}
}

// An annotation that stands for a number and is none makes a body that cannot be decoded.
func TestDaemonSetAnnotation(t *testing.T) {
	h := start(t, nil)
	a := do(h, "POST", "/apis/apps/v1/namespaces/default/daemonsets", `{"metadata":{"name":"d","annotations":{"deprecated.daemonset.template.generation":"x"}}}`)
	if s := a.status(t); a.code != 400 || !strings.HasSuffix(s.Message, `strconv.ParseInt: parsing "x": invalid syntax`) {
		t.Errorf("%d %s", a.code, a.body)
	}
}

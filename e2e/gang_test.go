//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

const podGroup = `apiVersion: scheduling.k8s.io/v1alpha3
kind: PodGroup
metadata: {name: gang}
spec: {schedulingPolicy: {gang: {minCount: 4}}}
`

// TestGang: of four pods of a group of which three fit none is bound, and all are when there is room for the fourth. Without the feature
// nothing of it is there.
func TestGang(t *testing.T) {
	c := start(t, "--feature-gates=GenericWorkload=true", "--runtime-config=scheduling.k8s.io/v1alpha3=true")
	cpu := resource.MustParse(strings.TrimSpace(c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].status.allocatable.cpu}")))
	member := func(i int, share int64) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: member-%d}
spec:
  terminationGracePeriodSeconds: 0
  schedulingGroup: {podGroupName: gang}
  containers:
  - {name: c, image: 'sampan.dev/busybox:1', command: [sleep, '3600'], resources: {requests: {cpu: %dm}}}
---
`, i, cpu.MilliValue()*share/100)
	}
	bound := func() int {
		return len(strings.Fields(c.kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}")))
	}
	c.kubectlIn(t, podGroup, "create", "-f", "-")
	for i := range 4 {
		c.kubectlIn(t, member(i, 30), "create", "-f", "-")
	}
	c.kubectl(t, "wait", "podgroup/gang", "--for=condition=PodGroupInitiallyScheduled=false", "--timeout=60s")
	if said := c.kubectl(t, "get", "podgroup", "gang", "-o", "jsonpath={.status.conditions[0].message}"); !strings.HasPrefix(said, "minCount (4) cannot be satisfied: 3 scheduled, 0 remaining") {
		t.Errorf("the group says %q", said)
	}
	until(t, 30*time.Second, "all pods are told", func() error {
		if said := c.kubectl(t, "get", "events", "--field-selector=reason=FailedScheduling", "-o", "jsonpath={.items[*].note}{.items[*].message}"); strings.Count(said, "pod group is unschedulable") != 3 || strings.Count(said, "Insufficient cpu") != 1 {
			return fmt.Errorf("the events say %s", said)
		}
		return nil
	})
	if n := bound(); n != 0 {
		t.Fatalf("%d of four are bound, of which three fit", n)
	}
	if row := strings.Fields(c.kubectl(t, "get", "podgroups", "--no-headers")); len(row) != 5 || row[1] != "Gang" || row[3] != "Unschedulable" {
		t.Errorf("the row is %q", row)
	}

	c.kubectl(t, "delete", "pod", "member-3")
	c.kubectlIn(t, member(3, 2), "create", "-f", "-")
	c.kubectl(t, "wait", "podgroup/gang", "--for=condition=PodGroupInitiallyScheduled", "--timeout=60s")
	c.kubectl(t, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=90s")
	if n := bound(); n != 4 {
		t.Errorf("%d of four are bound, all of which fit", n)
	}

	c.kubectl(t, "delete", "podgroup", "gang", "--wait=false")
	if left := c.kubectl(t, "get", "podgroup", "gang", "-o", "jsonpath={.metadata.finalizers}"); !strings.Contains(left, "podgroup-protection") {
		t.Errorf("the group in use has the finalizers %s", left)
	}
	c.kubectl(t, "delete", "pods", "--all")
	c.kubectl(t, "wait", "podgroup/gang", "--for=delete", "--timeout=60s")
}

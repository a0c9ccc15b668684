package quota

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// list reads "cpu=1 memory=2Gi".
func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func pod(requests, limits corev1.ResourceList, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func stale(rv string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.ResourceVersion = rv } }

func TestUsage(t *testing.T) {
	podGR := schema.GroupResource{Resource: "pods"}
	svcGR := schema.GroupResource{Resource: "services"}
	pvcGR := schema.GroupResource{Resource: "persistentvolumeclaims"}
	no := false
	claim := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: new("gold"), Resources: corev1.VolumeResourceRequirements{Requests: list("storage", "1.5")}}}
	grown := claim.DeepCopy()
	grown.Status.AllocatedResources = list("storage", "4")
	for _, tc := range []struct {
		name string
		of   schema.GroupResource
		obj  runtime.Object
		want string
	}{
		{"pod", podGR, pod(list("cpu", "1", "memory", "1Gi", "ephemeral-storage", "2", "hugepages-2Mi", "2Mi", "example.com/gpu", "3"), list("cpu", "2")),
			"count/pods=1,cpu=1,ephemeral-storage=2,hugepages-2Mi=2Mi,limits.cpu=2,memory=1Gi,pods=1,requests.cpu=1,requests.ephemeral-storage=2,requests.example.com/gpu=3,requests.hugepages-2Mi=2Mi,requests.memory=1Gi"},
		{"pod that has ended", podGR, pod(list("cpu", "1"), nil, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), "count/pods=1"},
		{"pod that should have", podGR, pod(list("cpu", "1"), nil, func(p *corev1.Pod) {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Now().Add(-time.Minute)}, new(int64(30))
		}), "count/pods=1"},
		{"pod with grace left", podGR, pod(nil, nil, func(p *corev1.Pod) {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Now()}, new(int64(30))
		}), "count/pods=1,pods=1"},
		{"cluster IP", svcGR, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: make([]corev1.ServicePort, 2)}},
			"count/services=1,services=1,services.loadbalancers=0,services.nodeports=0"},
		{"node port", svcGR, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: make([]corev1.ServicePort, 2)}},
			"count/services=1,services=1,services.loadbalancers=0,services.nodeports=2"},
		{"load balancer without node ports", svcGR, &corev1.Service{Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: &no, Ports: []corev1.ServicePort{{NodePort: 30000}, {}}}},
			"count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"},
		{"claim", pvcGR, claim, "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2"},
		{"claim that was allocated more", pvcGR, grown,
			"count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=4,persistentvolumeclaims=1,requests.storage=4"},
		{"devices", schema.GroupResource{Group: "resource.k8s.io", Resource: "resourceclaims"}, &resourcev1.ResourceClaim{Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{
			{Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 2}},
			{FirstAvailable: []resourcev1.DeviceSubRequest{
				{DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1},
				{DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 3},
				{DeviceClassName: "nic", AllocationMode: resourcev1.DeviceAllocationModeAll},
			}}}}}}, "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=5,nic.deviceclass.resource.k8s.io/devices=32"},
		{"counted", schema.GroupResource{Resource: "secrets"}, &corev1.Secret{}, "count/secrets=1,secrets=1"},
		{"counted by group", schema.GroupResource{Group: "apps", Resource: "deployments"}, &corev1.Secret{}, "count/deployments.apps=1"},
	} {
		if got := text(Of(tc.of).Usage(tc.obj)); got != tc.want {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
}

func quota(name string, hard, used corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes},
		Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
}

func byClass(op corev1.ScopeSelectorOperator, values ...string) *corev1.ScopeSelector {
	return &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: op, Values: values}}}
}

// The words are those of a real v1.37.1.
func TestCheck(t *testing.T) {
	high := quota("high", list("pods", "1"), list("pods", "1"))
	high.Spec.ScopeSelector = byClass(corev1.ScopeSelectorOpIn, "high", "higher")
	classed := func(name string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.PriorityClassName = name } }
	ending := func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = new(int64(1)) }
	cpu := quota("q", list("requests.cpu", "1", "pods", "5"), list("requests.cpu", "800m", "pods", "1"))
	limited := []Limited{{Resource: "pods", MatchContains: []string{"requests.cpu"}}}
	byScope := []Limited{{Resource: "pods", MatchScopes: byClass(corev1.ScopeSelectorOpIn, "high").MatchExpressions}}
	for _, tc := range []struct {
		name   string
		rules  Rules
		c      Change
		of     string // plural; "" is pods
		err    string
		result string // what is used afterwards, of each quota
	}{
		{name: "fits", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}}, c: Change{New: pod(list("cpu", "200m"), nil)}, result: "[pods=2,requests.cpu=1]"},
		{name: "too much", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}}, c: Change{New: pod(list("cpu", "300m"), nil)},
			err: "exceeded quota: q, requested: requests.cpu=300m, used: requests.cpu=800m, limited: requests.cpu=1"},
		{name: "asks for nothing", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}}, c: Change{New: pod(nil, nil)}, err: "failed quota: q: must specify requests.cpu for: c"},
		{name: "whole pod asks", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}}, c: Change{New: pod(nil, nil, func(p *corev1.Pod) {
			p.Spec.Resources = &corev1.ResourceRequirements{Requests: list("cpu", "100m")}
		})}, result: "[pods=2,requests.cpu=900m]"},
		{name: "not counted yet", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("q", list("pods", "5"), nil)}}, c: Change{New: pod(nil, nil)},
			err: "status unknown for quota: q, resources: pods"},
		{name: "resize by the difference", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}},
			c:   Change{Subresource: "resize", New: pod(list("cpu", "1"), nil), Old: pod(list("cpu", "500m"), nil, stale("1"))},
			err: "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=800m, limited: requests.cpu=1"},
		{name: "resize to less", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}},
			c: Change{Subresource: "resize", New: pod(list("cpu", "100m"), nil), Old: pod(list("cpu", "500m"), nil, stale("1"))}, result: "[]"},
		{name: "update that changes nothing", rules: Rules{Quotas: []*corev1.ResourceQuota{cpu}}, c: Change{New: pod(nil, nil), Old: pod(nil, nil, stale("1"))}, result: "[]"},
		{name: "update into a scope", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("t", list("pods", "1"), list("pods", "1"), corev1.ResourceQuotaScopeTerminating)}},
			c: Change{New: pod(nil, nil, ending), Old: pod(nil, nil, stale("1"))}, err: "exceeded quota: t, requested: pods=1, used: pods=1, limited: pods=1"},
		{name: "out of scope", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("t", list("pods", "0"), list("pods", "0"), corev1.ResourceQuotaScopeTerminating)}}, c: Change{New: pod(nil, nil)}, result: "[]"},
		{name: "best effort", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("b", list("pods", "0"), list("pods", "0"), corev1.ResourceQuotaScopeBestEffort)}}, c: Change{New: pod(nil, nil)},
			err: "exceeded quota: b, requested: pods=1, used: pods=0, limited: pods=0"},
		{name: "class", rules: Rules{Quotas: []*corev1.ResourceQuota{high}}, c: Change{New: pod(nil, nil, classed("higher"))}, err: "exceeded quota: high, requested: pods=1, used: pods=1, limited: pods=1"},
		{name: "another class", rules: Rules{Quotas: []*corev1.ResourceQuota{high}}, c: Change{New: pod(nil, nil, classed("low"))}, result: "[]"},
		{name: "affinity elsewhere", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("x", list("pods", "0"), list("pods", "0"), corev1.ResourceQuotaScopeCrossNamespacePodAffinity)}},
			c: Change{New: pod(nil, nil, func(p *corev1.Pod) {
				p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{Namespaces: []string{"n"}}}}}
			})}, err: "exceeded quota: x, requested: pods=1, used: pods=0, limited: pods=0"},
		{name: "two quotas", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("a", list("pods", "5"), list("pods", "0")), quota("c", list("secrets", "5"), list("secrets", "1"))}},
			c: Change{New: &corev1.Secret{}}, of: "secrets", result: "[ secrets=2]"},
		{name: "service becomes a load balancer", rules: Rules{Quotas: []*corev1.ResourceQuota{quota("s", list("services.loadbalancers", "0"), list("services.loadbalancers", "0"))}}, of: "services",
			c:   Change{New: &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}, Old: &corev1.Service{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}}},
			err: "exceeded quota: s, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0"},
		{name: "limited without a quota", rules: Rules{Limited: limited}, c: Change{New: pod(list("cpu", "1"), nil)}, err: "insufficient quota to consume: requests.cpu"},
		{name: "limited with one", rules: Rules{Limited: limited, Quotas: []*corev1.ResourceQuota{cpu}}, c: Change{New: pod(list("cpu", "100m"), nil)}, result: "[pods=2,requests.cpu=900m]"},
		{name: "limited scope", rules: Rules{Limited: byScope}, c: Change{New: pod(nil, nil, classed("high"))}, err: "insufficient quota to match these scopes: [{PriorityClass In [high]}]"},
		{name: "negative", rules: Rules{}, c: Change{New: pod(list("cpu", "-1"), nil)}, err: "quota usage is negative for resource(s): cpu,requests.cpu"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			of := tc.of
			if of == "" {
				of = "pods"
			}
			out, err := tc.rules.Check(schema.GroupResource{Resource: of}, tc.c)
			if err != nil || tc.err != "" {
				if fmt.Sprint(err) != tc.err {
					t.Errorf("%v", err)
				}
				return
			}
			var got []string
			for _, l := range out {
				got = append(got, text(l))
			}
			if tc.result == "[]" {
				for _, s := range got {
					if s != "" {
						t.Errorf("%q", got)
					}
				}
			} else if fmt.Sprint(got) != tc.result {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestUsed(t *testing.T) {
	q := quota("q", list("requests.cpu", "9", "count/pods", "9"), nil, corev1.ResourceQuotaScopeNotBestEffort)
	got := Of(schema.GroupResource{Resource: "pods"}).Used(q, []runtime.Object{pod(list("cpu", "1"), nil), pod(list("cpu", "2"), nil), pod(nil, nil)})
	if text(got) != "count/pods=2,requests.cpu=3" {
		t.Error(text(got))
	}
	if got := Of(schema.GroupResource{Resource: "services"}).Used(q, nil); got != nil {
		t.Error(got)
	}
}

func TestResources(t *testing.T) {
	q := quota("q", list("requests.storage", "1", "count/widgets.example.com", "1", "configmaps", "1", "x.deviceclass.resource.k8s.io/devices", "1", "nonsense", "1"), nil)
	got := map[string]bool{}
	for _, r := range Resources(q) {
		got[r.String()] = true
	}
	if len(got) != 4 || !got["persistentvolumeclaims"] || !got["widgets.example.com"] || !got["configmaps"] || !got["resourceclaims.resource.k8s.io"] {
		t.Error(got)
	}
}

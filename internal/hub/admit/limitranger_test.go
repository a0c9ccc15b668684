package admit_test

import (
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/hubtest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// limited makes a hub whose default namespace has a LimitRange.
func limited(t *testing.T, limits string) *hubtest.Hub {
	t.Helper()
	h := newHub(t)
	l := read(t, &corev1.LimitRange{}, "spec: {limits: "+limits+"}")
	l.Name, l.Namespace = "l", "default"
	if _, err := client.Create(t.Context(), h.Root, client.LimitRanges, l); err != nil {
		t.Fatal(err)
	}
	return h
}

func read[T any](t *testing.T, into *T, text string) *T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
	return into
}

// podOf makes a pod of a spec; images are filled in.
func podOf(t *testing.T, spec string) *corev1.Pod {
	t.Helper()
	p := read(t, &corev1.Pod{}, "spec: "+spec)
	p.Name, p.Namespace = "p", "default"
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			list[i].Image = "i"
		}
	}
	return p
}

// A pod that comes right after the LimitRange has its defaults.
func TestLimitDefaults(t *testing.T) {
	h := limited(t, `[{type: Container, default: {cpu: 500m, memory: 500Mi}, defaultRequest: {cpu: 100m, memory: 200Mi}}]`)
	p, err := client.Create(t.Context(), h.Root, client.Pods, podOf(t, `{containers: [{name: a}, {name: b, resources: {limits: {cpu: 300m}}}], initContainers: [{name: i, resources: {requests: {memory: 1Mi}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; " +
		"memory request for container b; memory limit for container b; cpu request for init container i; cpu, memory limit for init container i"
	if got := p.Annotations["kubernetes.io/limit-ranger"]; got != want {
		t.Errorf("annotation\n%s\nwant\n%s", got, want)
	}
	for _, c := range []struct {
		of   corev1.ResourceList
		want string
	}{
		{p.Spec.Containers[0].Resources.Requests, "100m 200Mi"}, {p.Spec.Containers[0].Resources.Limits, "500m 500Mi"},
		{p.Spec.Containers[1].Resources.Requests, "300m 200Mi"}, {p.Spec.Containers[1].Resources.Limits, "300m 500Mi"},
		{p.Spec.InitContainers[0].Resources.Requests, "100m 1Mi"}, {p.Spec.InitContainers[0].Resources.Limits, "500m 500Mi"},
	} {
		if got := c.of.Cpu().String() + " " + c.of.Memory().String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	// What changes nothing of what it asks for is not looked at.
	p = p.DeepCopy()
	p.Labels = map[string]string{"a": "b"}
	delete(p.Annotations, "kubernetes.io/limit-ranger")
	if p, err = client.Update(t.Context(), h.Root, client.Pods, p); err != nil || p.Annotations["kubernetes.io/limit-ranger"] != "" {
		t.Errorf("%v %v", p.Annotations, err)
	}
}

func TestLimitBounds(t *testing.T) {
	for _, c := range []struct{ name, limits, spec, want string }{
		{"within", `[{type: Container, min: {cpu: 100m}, max: {cpu: "1"}}]`, `{containers: [{name: a, resources: {requests: {cpu: 200m}, limits: {cpu: 500m}}}]}`, ""},
		{"max is a default", `[{type: Container, max: {cpu: "1"}}]`, `{containers: [{name: a}]}`, ""},
		{"no request", `[{type: Pod, min: {memory: 1Mi}}]`, `{containers: [{name: a}]}`, "minimum memory usage per Pod is 1Mi.  No request is specified"},
		{"request below", `[{type: Container, min: {cpu: 100m}}]`, `{containers: [{name: a, resources: {requests: {cpu: 50m}}}]}`, "minimum cpu usage per Container is 100m, but request is 50m"},
		{"no limit", `[{type: Pod, max: {cpu: "1"}}]`, `{containers: [{name: a, resources: {requests: {cpu: "1"}}}]}`, "maximum cpu usage per Pod is 1.  No limit is specified"},
		{"limit above", `[{type: Container, max: {cpu: "1"}}]`, `{containers: [{name: a, resources: {limits: {cpu: "2"}}}]}`, "maximum cpu usage per Container is 1, but limit is 2"},
		{"an init container's", `[{type: Container, max: {cpu: "1"}}]`, `{containers: [{name: a}], initContainers: [{name: i, resources: {limits: {cpu: "2"}}}]}`, "maximum cpu usage per Container is 1, but limit is 2"},
		{"ratio", `[{type: Container, maxLimitRequestRatio: {cpu: "2"}}]`, `{containers: [{name: a, resources: {requests: {cpu: 100m}, limits: {cpu: 250m}}}]}`, "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"},
		{"ratio without request", `[{type: Container, maxLimitRequestRatio: {cpu: "2"}}]`, `{containers: [{name: a}]}`, "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"},
		{"ratio without limit", `[{type: Container, maxLimitRequestRatio: {cpu: "2"}}]`, `{containers: [{name: a, resources: {requests: {cpu: 100m}}}]}`, "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"},
		{"the sum", `[{type: Pod, max: {cpu: "1"}}]`, `{containers: [{name: a, resources: {limits: {cpu: 600m}}}, {name: b, resources: {limits: {cpu: 600m}}}]}`, "maximum cpu usage per Pod is 1, but limit is 1200m"},
		{"a large init container", `[{type: Pod, max: {cpu: "1"}}]`, `{containers: [{name: a, resources: {limits: {cpu: 600m}}}], initContainers: [{name: i, resources: {limits: {cpu: "2"}}}]}`, "maximum cpu usage per Pod is 1, but limit is 2"},
		{"a sidecar adds", `[{type: Pod, max: {cpu: "1"}}]`, `{containers: [{name: a, resources: {limits: {cpu: 600m}}}], initContainers: [{name: i, restartPolicy: Always, resources: {limits: {cpu: 600m}}}]}`, "maximum cpu usage per Pod is 1, but limit is 1200m"},
		{"the pod's own", `[{type: Pod, max: {cpu: "1"}}]`, `{resources: {limits: {cpu: "2"}}, containers: [{name: a, resources: {limits: {cpu: 600m}}}]}`, "maximum cpu usage per Pod is 1, but limit is 2"},
		{"two at once", `[{type: Container, max: {cpu: "1", memory: 1Mi}}]`, `{containers: [{name: a, resources: {limits: {cpu: "2", memory: 2Mi}}}]}`,
			"[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Mi, but limit is 2Mi]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := limited(t, c.limits)
			want := c.want
			if want != "" {
				want = `pods "p" is forbidden: ` + want
			}
			_, err := client.Create(t.Context(), h.Root, client.Pods, podOf(t, c.spec))
			wantError(t, c.name, err, want)
		})
	}
}

// A resize is held against the limits, and gets their defaults, as a creation is.
func TestLimitResize(t *testing.T) {
	h := limited(t, `[{type: Container, max: {cpu: "1"}}]`)
	p, err := client.Create(t.Context(), h.Root, client.Pods, podOf(t, `{containers: [{name: a, resources: {requests: {cpu: 100m}, limits: {cpu: 500m}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	p = p.DeepCopy()
	p.Spec.Containers[0].Resources.Limits = read(t, &corev1.ResourceList{}, "cpu: 2").DeepCopy()
	ref := client.Ref{Resource: client.Pods, Namespace: "default", Name: "p", Subresource: "resize"}
	_, err = h.Root.Update(t.Context(), ref, p, metav1.UpdateOptions{})
	wantError(t, "resize", err, `pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2`)
}

// Claims are not served yet, so that the chain is asked by itself.
func TestLimitClaims(t *testing.T) {
	h := limited(t, `[{type: PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 2Gi}}]`)
	chain := admit.New(admit.Config{Door: h.Root, Authorizer: h.Authz, RBAC: h.Authz.RBAC})
	kind := &api.Kind{Version: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims", Namespaced: true}
	for _, c := range []struct{ requests, want string }{
		{"{storage: 1Gi}", ""},
		{"{}", "minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified, maximum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified"},
		{"{storage: 500Mi}", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"},
		{"{storage: 3Gi}", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"},
	} {
		claim := read(t, &corev1.PersistentVolumeClaim{}, "spec: {resources: {requests: "+c.requests+"}}")
		claim.Name, claim.Namespace = "c", "default"
		a := &admit.Attributes{Kind: kind, Operation: admit.Create, Namespace: "default", Name: "c", Object: claim, Warn: func(string) {}}
		want := c.want
		if want != "" {
			if c.requests == "{}" {
				want = "[" + want + "]"
			}
			want = `persistentvolumeclaims "c" is forbidden: ` + want
		}
		wantError(t, c.requests, chain.Validate(t.Context(), a), want)
	}
}

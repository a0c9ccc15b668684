package admit_test

import (
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/hubtest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newHub(t *testing.T) *hubtest.Hub {
	h := hubtest.New(t)
	h.Boot(t)
	return h
}

func simplePod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func wantError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil && want != "" || err != nil && err.Error() != want {
		t.Errorf("%s: %v\nwant %s", name, err, want)
	}
}

func TestPodIsFilledIn(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	p := simplePod("p")
	p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "i", VolumeMounts: []corev1.VolumeMount{{Name: "own", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}}}
	p.Spec.Volumes = []corev1.Volume{{Name: "own", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	p, err := client.Create(ctx, h.Root, client.Pods, p)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Spec.Volumes[len(p.Spec.Volumes)-1]
	if !strings.HasPrefix(v.Name, "kube-api-access-") || len(v.Name) != len("kube-api-access-")+5 || *v.Projected.DefaultMode != 0o644 ||
		*v.Projected.Sources[0].ServiceAccountToken.ExpirationSeconds != 3607 || v.Projected.Sources[1].ConfigMap.Name != "kube-root-ca.crt" ||
		v.Projected.Sources[2].DownwardAPI.Items[0].FieldRef.FieldPath != "metadata.namespace" {
		t.Errorf("%v", v)
	}
	if m := p.Spec.Containers[0].VolumeMounts; len(m) != 1 || m[0].Name != v.Name || !m[0].ReadOnly {
		t.Errorf("%v", m)
	}
	if m := p.Spec.InitContainers[0].VolumeMounts; len(m) != 1 || m[0].Name != "own" {
		t.Errorf("%v", m)
	}
	if p.Spec.ServiceAccountName != "default" || p.Spec.DeprecatedServiceAccount != "default" {
		t.Error(p.Spec.ServiceAccountName)
	}
	if *p.Spec.Priority != 0 || *p.Spec.PreemptionPolicy != corev1.PreemptLowerPriority {
		t.Error(p.Spec.Priority, p.Spec.PreemptionPolicy)
	}
	if tol := p.Spec.Tolerations; len(tol) != 2 || tol[0].Key != "node.kubernetes.io/not-ready" || *tol[0].TolerationSeconds != 300 || tol[1].Key != "node.kubernetes.io/unreachable" {
		t.Errorf("%v", tol)
	}

	no := false
	q := simplePod("q")
	q.Spec.AutomountServiceAccountToken = &no
	q.Spec.PriorityClassName = "system-node-critical"
	q.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if q, err = client.Create(ctx, h.Root, client.Pods, q); err != nil {
		t.Fatal(err)
	}
	if len(q.Spec.Volumes) != 0 || len(q.Spec.Tolerations) != 1 || *q.Spec.Priority != 2000001000 {
		t.Errorf("%v", q.Spec)
	}
}

func TestServiceAccount(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	p := simplePod("p")
	p.Spec.ServiceAccountName = "nobody"
	_, err := client.Create(ctx, h.Root, client.Pods, p)
	wantError(t, "missing", err, `pods "p" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found`)

	sa := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: "default", Name: "strict", Annotations: map[string]string{"kubernetes.io/enforce-mountable-secrets": "true"}},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
		Secrets:          []corev1.ObjectReference{{Name: "mine"}},
	}
	if _, err = client.Create(ctx, h.Root, client.ServiceAccounts, sa); err != nil {
		t.Fatal(err)
	}
	ok := simplePod("ok")
	ok.Spec.ServiceAccountName = "strict"
	if ok, err = client.Create(ctx, h.Root, client.Pods, ok); err != nil || len(ok.Spec.ImagePullSecrets) != 1 || ok.Spec.ImagePullSecrets[0].Name != "pull" {
		t.Errorf("%v %v", ok, err)
	}
	bad := simplePod("bad")
	bad.Spec.ServiceAccountName = "strict"
	bad.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}, Key: "k"}}}}
	_, err = client.Create(ctx, h.Root, client.Pods, bad)
	wantError(t, "secret", err, `pods "bad" is forbidden: container c with envVar E referencing secret.secretName="other" is not allowed because service account strict does not reference that secret`)
}

// A pod that comes right after its namespace waits for the account that a controller makes.
func TestDefaultAccountIsWaitedFor(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	if _, err := client.Create(ctx, h.Root, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		_, _ = client.Create(ctx, h.Root, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "new", Name: "default"}})
	}()
	p := simplePod("p")
	p.Namespace = "new"
	if _, err := client.Create(ctx, h.Root, client.Pods, p); err != nil {
		t.Error(err)
	}
}

func TestPriority(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	p := simplePod("p")
	p.Spec.PriorityClassName = "nope"
	_, err := client.Create(ctx, h.Root, client.Pods, p)
	wantError(t, "missing class", err, `pods "p" is forbidden: no PriorityClass with name nope was found`)
	seven := int32(7)
	p = simplePod("p")
	p.Spec.Priority = &seven
	_, err = client.Create(ctx, h.Root, client.Pods, p)
	wantError(t, "own number", err, `pods "p" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name`)

	never := corev1.PreemptNever
	def := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "def"}, Value: 42, GlobalDefault: true, PreemptionPolicy: &never}
	if _, err := client.Create(ctx, h.Root, client.PriorityClasses, def); err != nil {
		t.Fatal(err)
	}
	_, err = client.Create(ctx, h.Root, client.PriorityClasses, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "def2"}, Value: 1, GlobalDefault: true})
	wantError(t, "second default", err, `priorityclasses.scheduling.k8s.io "def2" is forbidden: PriorityClass def is already marked as default. Only one default can exist`)
	hubtest.Eventually(t, func() bool {
		p := simplePod("")
		p.GenerateName = "p-"
		p, err := client.Create(ctx, h.Root, client.Pods, p)
		if err != nil {
			t.Fatal(err)
		}
		return p.Spec.PriorityClassName == "def" && *p.Spec.Priority == 42 && *p.Spec.PreemptionPolicy == never
	})
}

func TestNamespaceLifecycle(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	cm := func(ns string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "c"}}
	}
	_, err := client.Create(ctx, h.Root, client.ConfigMaps, cm("nowhere"))
	wantError(t, "missing namespace", err, `namespaces "nowhere" not found`)
	wantError(t, "immortal", client.Delete(ctx, h.Root, client.Namespaces, "", "kube-system", ""), `namespaces "kube-system" is forbidden: this namespace may not be deleted`)
	if _, err := client.Create(ctx, h.Root, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}}); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(ctx, h.Root, client.Namespaces, "", "going", ""); err != nil {
		t.Fatal(err)
	}
	// At once, not when the cache has seen it.
	_, err = client.Create(ctx, h.Root, client.ConfigMaps, cm("going"))
	wantError(t, "terminating", err, `configmaps "c" is forbidden: unable to create new content in namespace going because it is being terminated`)
	if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Error("the cause is missing")
	}
}

func TestNodeRestriction(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	n1 := h.As(api.Node("n1"))
	node := func(name string, labels map[string]string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	_, err := client.Create(ctx, n1, client.Nodes, node("n2", nil))
	wantError(t, "another node", err, `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`)
	_, err = client.Create(ctx, n1, client.Nodes, node("n1", map[string]string{
		"node-role.kubernetes.io/control-plane": "", "node-restriction.kubernetes.io/x": "", "kubernetes.io/hostname": "n1", "mine": "x", "node.kubernetes.io/y": "z",
	}))
	wantError(t, "labels", err, `nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/x, node-role.kubernetes.io/control-plane`)
	made, err := client.Create(ctx, n1, client.Nodes, node("n1", map[string]string{"kubernetes.io/hostname": "n1"}))
	if err != nil || len(made.Spec.Taints) != 1 || made.Spec.Taints[0].Key != "node.kubernetes.io/not-ready" {
		t.Fatalf("%v %v", made, err)
	}
	free := made.DeepCopy()
	free.Spec.Taints = nil
	_, err = client.Update(ctx, n1, client.Nodes, free)
	wantError(t, "taints", err, `nodes "n1" is forbidden: node "n1" is not allowed to modify taints`)
	relabelled := made.DeepCopy()
	relabelled.Labels["node-role.kubernetes.io/worker"] = ""
	_, err = client.Update(ctx, n1, client.Nodes, relabelled)
	wantError(t, "relabel", err, `nodes "n1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/worker`)

	_, err = client.Create(ctx, n1, client.Pods, simplePod("p"))
	wantError(t, "pod", err, `pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`)
	yes := true
	mirror := simplePod("m")
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	mirror.Spec.NodeName = "n1"
	mirror.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: made.UID, Controller: &yes}}
	thief := mirror.DeepCopy()
	thief.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}}
	_, err = client.Create(ctx, n1, client.Pods, thief)
	wantError(t, "mirror with secret", err, `pods "m" is forbidden: a mirror pod may not reference secrets`)
	if _, err = client.Create(ctx, n1, client.Pods, mirror); err != nil {
		t.Error(err)
	}

	other := simplePod("other")
	other.Spec.NodeName = "n2"
	if _, err = client.Create(ctx, h.Root, client.Pods, other); err != nil {
		t.Fatal(err)
	}
	h.Settle(t)
	wantError(t, "delete another's pod", client.Delete(ctx, n1, client.Pods, "default", "other", ""),
		`pods "other" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself`)
	if err := client.Delete(ctx, n1, client.Pods, "default", "m", ""); err != nil {
		t.Error(err)
	}
}

func TestNodePublishesItsDNSOnly(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	slice := func(name, service, node string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, NodeName: &node}},
		}
	}
	if _, err := client.Create(ctx, h.Root, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{PodCIDR: "10.0.0.0/24", PodCIDRs: []string{"10.0.0.0/24"}}}); err != nil {
		t.Fatal(err)
	}
	at := func(address string) *discoveryv1.EndpointSlice {
		s := slice("kube-dns-n1", "kube-dns", "n1")
		s.Endpoints[0].Addresses[0] = address
		return s
	}
	const elsewhere = `endpointslices.discovery.k8s.io "kube-dns-n1" is forbidden: node "n1" can only publish endpoints in its own pod range`
	for _, c := range []struct {
		s    *discoveryv1.EndpointSlice
		want string
	}{
		{at("10.0.1.1"), elsewhere}, // another node's pods
		{at("192.0.2.1"), elsewhere}, {at("10.96.0.1"), elsewhere}, {at("127.0.0.1"), elsewhere}, {at("::ffff:10.0.0.1"), elsewhere}, {at("010.0.0.1"), elsewhere},
		{slice("kube-dns-n1", "kube-dns", "n1"), ""},
		{slice("kube-dns-n2", "kube-dns", "n2"), `endpointslices.discovery.k8s.io "kube-dns-n2" is forbidden: node "n1" can only access its own EndpointSlice of the DNS service`},
		{slice("kube-dns-n1", "metrics", "n1"), `endpointslices.discovery.k8s.io "kube-dns-n1" is forbidden: node "n1" can only publish endpoints of the DNS service`},
		{slice("kube-dns-n1", "kube-dns", "n2"), `endpointslices.discovery.k8s.io "kube-dns-n1" is forbidden: node "n1" can only publish endpoints with nodeName set to itself`},
	} {
		_, err := client.Create(ctx, h.As(api.Node("n1")), client.EndpointSlices, c.s)
		wantError(t, c.s.Name, err, c.want)
	}
	moved, err := client.Get[*discoveryv1.EndpointSlice](ctx, h.Root, client.EndpointSlices, "kube-system", "kube-dns-n1")
	if err != nil {
		t.Fatal(err)
	}
	moved = moved.DeepCopy()
	moved.Endpoints[0].Addresses = []string{"10.0.0.1", "192.0.2.1"}
	_, err = client.Update(ctx, h.As(api.Node("n1")), client.EndpointSlices, moved)
	wantError(t, "update", err, elsewhere)
	other := slice("other", "other", "n2")
	if _, err := client.Create(ctx, h.Root, client.EndpointSlices, other); err != nil {
		t.Fatal(err)
	}
	wantError(t, "delete", client.Delete(ctx, h.As(api.Node("n1")), client.EndpointSlices, "kube-system", "other", ""),
		`endpointslices.discovery.k8s.io "other" is forbidden: node "n1" can only access its own EndpointSlice of the DNS service`)
}

// A pod must not be run by the ordinary runtime when it asks for another, nor bring an overhead that no class defines.
func TestRuntimeClass(t *testing.T) {
	h := newHub(t)
	p := simplePod("p")
	p.Spec.RuntimeClassName = new("gvisor")
	_, err := client.Create(t.Context(), h.Root, client.Pods, p)
	wantError(t, "unknown class", err, `pods "p" is forbidden: pod rejected: RuntimeClass "gvisor" not found`)
	p = simplePod("p")
	p.Spec.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	_, err = client.Create(t.Context(), h.Root, client.Pods, p)
	wantError(t, "overhead of its own", err, `pods "p" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead`)
}

// A pod gets what its RuntimeClass says of overhead and nodes, and may not say otherwise.
func TestRuntimeClassGives(t *testing.T) {
	h := newHub(t)
	class := read(t, &nodev1.RuntimeClass{}, `
metadata: {name: c}
handler: h
overhead: {podFixed: {cpu: 100m}}
scheduling:
  nodeSelector: {a: b}
  tolerations: [{key: k, operator: Exists}, {key: k, operator: Equal, value: v, effect: NoSchedule}]
`)
	if _, err := client.Create(t.Context(), h.Root, client.RuntimeClasses, class); err != nil {
		t.Fatal(err)
	}
	pod := func(change func(*corev1.PodSpec)) (*corev1.Pod, error) {
		p := simplePod("p")
		p.Spec.RuntimeClassName = new("c")
		change(&p.Spec)
		return client.Create(t.Context(), h.Root, client.Pods, p)
	}
	_, err := pod(func(s *corev1.PodSpec) { s.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")} })
	wantError(t, "another overhead", err, `pods "p" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead`)
	_, err = pod(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"a": "c"} })
	wantError(t, "other nodes", err, `pods "p" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c`)
	p, err := pod(func(s *corev1.PodSpec) {
		s.NodeSelector = map[string]string{"x": "y"}
		s.Tolerations = []corev1.Toleration{{Key: "own", Operator: corev1.TolerationOpExists}}
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string // the class's, of which one covers the other, come after those of other plugins
	for _, t := range p.Spec.Tolerations {
		keys = append(keys, t.Key)
	}
	cpu := p.Spec.Overhead[corev1.ResourceCPU]
	if cpu.String() != "100m" || len(p.Spec.NodeSelector) != 2 || len(keys) != 4 || keys[0] != "own" || keys[3] != "k" || p.Spec.Tolerations[3].Operator != "Exists" {
		t.Errorf("%+v", p.Spec)
	}
}

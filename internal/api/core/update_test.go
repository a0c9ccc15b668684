package core

import (
	"testing"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// updated runs an update of old by edit through the kind's functions.
func updated[T api.Object](k *api.Kind, sub string, old T, edit func(T)) (T, string) {
	prepare, validate := k.PrepareUpdate, k.ValidateUpdate
	if sub != "" {
		prepare, validate = k.Sub(sub).PrepareUpdate, k.Sub(sub).ValidateUpdate
	}
	obj := old.DeepCopyObject().(T)
	edit(obj)
	if k.Default != nil {
		k.Default(obj)
	}
	if prepare != nil {
		prepare(obj, old)
	}
	return obj, firstLines(validate(obj, old))
}

func webService(typ corev1.ServiceType) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns"},
		Spec:       corev1.ServiceSpec{Type: typ, ClusterIP: "10.0.0.7", Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}},
	}
	if typ == corev1.ServiceTypeNodePort {
		s.Spec.Ports[0].NodePort = 30080
	}
	k := Services()
	k.Default(s)
	k.PrepareCreate(s)
	return s
}

func TestServiceUpdate(t *testing.T) {
	k := Services()
	// A client that mentions nothing that was given out keeps it.
	got, errs := updated(k, "", webService(corev1.ServiceTypeNodePort), func(s *corev1.Service) {
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 81}}}
	})
	if errs != "" || got.Spec.ClusterIP != "10.0.0.7" || got.Spec.ClusterIPs[0] != "10.0.0.7" || got.Spec.Ports[0].NodePort != 30080 || got.Spec.IPFamilies[0] != corev1.IPv4Protocol {
		t.Errorf("kept: %s; %+v", errs, got.Spec)
	}
	// What the new type has no use for goes.
	got, errs = updated(k, "", webService(corev1.ServiceTypeNodePort), func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP })
	if errs != "" || got.Spec.Ports[0].NodePort != 0 || got.Spec.ExternalTrafficPolicy != "" {
		t.Errorf("to ClusterIP: %s; %+v", errs, got.Spec)
	}
	got, errs = updated(k, "", webService(corev1.ServiceTypeClusterIP), func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "db"
	})
	if errs != "" || got.Spec.ClusterIP != "" || got.Spec.ClusterIPs != nil || got.Spec.IPFamilies != nil || got.Spec.IPFamilyPolicy != nil {
		t.Errorf("to ExternalName: %s; %+v", errs, got.Spec)
	}
	for _, tc := range []struct {
		name string
		edit func(*corev1.Service)
		want string
	}{
		{"other address", func(s *corev1.Service) { s.Spec.ClusterIP = "10.0.0.8" }, `spec.clusterIPs[0]: Invalid value: ["10.0.0.8"]: may not change once set`},
		{"headless", func(s *corev1.Service) { s.Spec.ClusterIP = "None" }, `spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set`},
		{"no ports", func(s *corev1.Service) { s.Spec.Ports = nil }, "spec.ports: Required value"},
		{"unnamed ports", func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "b", Port: 81}) }, "spec.ports[0].name: Required value"},
		{"node port", func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 30000 }, "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
		{"external address", func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"127.0.0.1"} }, `spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`},
		{"type", func(s *corev1.Service) { s.Spec.Type = "Magic" }, `spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`},
		{"affinity timeout", func(s *corev1.Service) {
			s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr[int32](0)}}
		}, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400"},
	} {
		if _, errs := updated(k, "", webService(corev1.ServiceTypeClusterIP), tc.edit); errs != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, errs, tc.want)
		}
	}
}

func TestImmutableData(t *testing.T) {
	c := &corev1.ConfigMap{Immutable: ptr(true), Data: map[string]string{"a": "b"}}
	for _, tc := range []struct {
		name string
		edit func(*corev1.ConfigMap)
		want string
	}{
		{"labels", func(c *corev1.ConfigMap) { c.Labels = map[string]string{"a": "b"} }, ""},
		{"data", func(c *corev1.ConfigMap) { c.Data["a"] = "c" }, "data: Forbidden: field is immutable when `immutable` is set"},
		{"binary data", func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{"b": nil} }, "binaryData: Forbidden: field is immutable when `immutable` is set"},
		{"itself", func(c *corev1.ConfigMap) { c.Immutable = nil }, "immutable: Forbidden: field is immutable when `immutable` is set"},
		{"key", func(c *corev1.ConfigMap) { c.Data = map[string]string{"a": "b", "..": ""} },
			"data: Forbidden: field is immutable when `immutable` is set\ndata[..]: Invalid value: \"..\": must not be '..'"},
	} {
		if _, errs := updated(ConfigMaps(), "", c, tc.edit); errs != tc.want {
			t.Errorf("config map, %s: got\n%s\nwant\n%s", tc.name, errs, tc.want)
		}
	}
	s := &corev1.Secret{Type: corev1.SecretTypeOpaque, Immutable: ptr(true), Data: map[string][]byte{"a": []byte("b")}}
	if _, errs := updated(Secrets(), "", s, func(s *corev1.Secret) { s.StringData = map[string]string{"a": "c"} }); errs != "data: Forbidden: field is immutable when `immutable` is set" {
		t.Errorf("secret: %s", errs)
	}
	if _, errs := updated(Secrets(), "", s, func(s *corev1.Secret) { s.Type = "x/y" }); errs != `type: Invalid value: "x/y": field is immutable` {
		t.Errorf("secret type: %s", errs)
	}
}

func TestSecretTypes(t *testing.T) {
	for _, tc := range []struct {
		typ  corev1.SecretType
		data map[string][]byte
		want string
	}{
		{corev1.SecretTypeTLS, nil, "data[tls.crt]: Required value\ndata[tls.key]: Required value"},
		{corev1.SecretTypeBasicAuth, nil, "data[username]: Required value\ndata[password]: Required value"},
		{corev1.SecretTypeBasicAuth, map[string][]byte{"password": nil}, ""},
		{corev1.SecretTypeSSHAuth, nil, "data[ssh-privatekey]: Required value"},
		{corev1.SecretTypeDockerConfigJson, map[string][]byte{".dockerconfigjson": []byte("{")}, `data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input`},
		{corev1.SecretTypeServiceAccountToken, nil, "metadata.annotations[kubernetes.io/service-account.name]: Required value"},
		{"example.com/own", nil, ""},
	} {
		if errs := firstLines(validateSecret(&corev1.Secret{Type: tc.typ, Data: tc.data})); errs != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.typ, errs, tc.want)
		}
	}
}

func TestNamespaceLife(t *testing.T) {
	k := Namespaces()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	k.Default(ns)
	k.PrepareCreate(ns)
	got, errs := updated(k, "", ns, func(ns *corev1.Namespace) {
		ns.Labels, ns.Spec.Finalizers, ns.Status.Phase = nil, nil, corev1.NamespaceTerminating
	})
	if errs != "" || len(got.Spec.Finalizers) != 1 || got.Status.Phase != corev1.NamespaceActive || got.Labels[corev1.LabelMetadataName] != "a" {
		t.Errorf("update: %s; %+v", errs, got)
	}
	got, errs = updated(k, "finalize", ns, func(ns *corev1.Namespace) { ns.Spec.Finalizers = nil })
	if errs != "" || got.Spec.Finalizers != nil {
		t.Errorf("finalize: %s; %+v", errs, got)
	}
	if _, errs = updated(k, "status", ns, func(ns *corev1.Namespace) { ns.Status.Phase = corev1.NamespaceTerminating }); errs != "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty" {
		t.Errorf("status: %s", errs)
	}
	if _, errs = updated(k, "finalize", ns, func(ns *corev1.Namespace) { ns.Spec.Finalizers = []corev1.FinalizerName{"x"} }); errs != `spec.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified` {
		t.Errorf("finalizer: %s", errs)
	}
}

func TestNodeUpdate(t *testing.T) {
	old := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{PodCIDR: "10.1.0.0/24", ProviderID: "a"}}
	Nodes().Default(old)
	for _, tc := range []struct {
		name string
		edit func(*corev1.Node)
		want string
	}{
		{"cordon", func(n *corev1.Node) { n.Spec.Unschedulable = true }, ""},
		{"cidr", func(n *corev1.Node) { n.Spec.PodCIDR = "10.2.0.0/24" }, `spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid`},
		{"provider", func(n *corev1.Node) { n.Spec.ProviderID = "b" }, "spec.providerID: Invalid value: null: field cannot be modified once set"},
		{"taint", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "a", Effect: "NoSchedule"}, {Key: "a", Effect: "NoSchedule"}}
		}, "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair"},
	} {
		if _, errs := updated(Nodes(), "", old, tc.edit); errs != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, errs, tc.want)
		}
	}
	got, errs := updated(Nodes(), "status", old, func(n *corev1.Node) {
		n.Spec.Unschedulable = true
		n.Status.Phase = "x"
	})
	if errs != "" || got.Spec.Unschedulable || got.Status.Phase != "x" {
		t.Errorf("status: %s; %+v", errs, got)
	}
}

func TestReplicationController(t *testing.T) {
	k := ReplicationControllers()
	old := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "rc", Namespace: "ns"}, Spec: corev1.ReplicationControllerSpec{
		Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}},
	}}
	k.Default(old)
	k.PrepareCreate(old)
	got, errs := updated(k, "", old, func(rc *corev1.ReplicationController) { k.Sub("scale").Scale.Set(rc, 5) })
	if errs != "" || got.Generation != 2 {
		t.Errorf("scale: %s; generation %d", errs, got.Generation)
	}
	if spec, status, sel := k.Sub("scale").Scale.Get(got); spec != 5 || status != 0 || sel != "a=b" {
		t.Errorf("scale is %d, %d, %q", spec, status, sel)
	}
	_, errs = updated(k, "", old, func(rc *corev1.ReplicationController) {
		rc.Spec.Replicas, rc.Spec.Selector, rc.Spec.Template.Spec.RestartPolicy = ptr[int32](-1), map[string]string{"x": "y"}, "Never"
	})
	want := "spec.replicas: Invalid value: -1: must be greater than or equal to 0\nspec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`\nspec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""
	if errs != want {
		t.Errorf("got\n%s\nwant\n%s", errs, want)
	}
}

func TestEventRules(t *testing.T) {
	old := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "ns"}, InvolvedObject: corev1.ObjectReference{Namespace: "other"}}
	if errs := firstLines(Events().Validate(old)); errs != `involvedObject.namespace: Invalid value: "other": does not match event.namespace` {
		t.Errorf("old event: %s", errs)
	}
	fresh := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "ns"}, InvolvedObject: corev1.ObjectReference{Namespace: "ns"}, EventTime: metav1.NowMicro(), ReportingController: "k", Action: "a", Reason: "r"}
	if errs := firstLines(Events().Validate(fresh)); errs != "reportingInstance: Required value" {
		t.Errorf("new event: %s", errs)
	}
}

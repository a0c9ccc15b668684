package valid

import (
	"testing"

	"sampan.dev/internal/api/apitest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func ptr[T any](v T) *T { return &v }

// goodPod is defaulted and valid; each test spoils one thing in it.
func goodPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, TerminationGracePeriodSeconds: ptr[int64](30),
			Volumes: []corev1.Volume{{Name: "vol", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Containers: []corev1.Container{{
				Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullAlways, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
				VolumeMounts: []corev1.VolumeMount{{Name: "vol", MountPath: "/vol"}},
			}},
			InitContainers: []corev1.Container{{
				Name: "init", Image: "busybox", ImagePullPolicy: corev1.PullAlways, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			}},
		},
	}
}

func TestPodSpec(t *testing.T) {
	const label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
	probe := func() *corev1.Probe {
		return &corev1.Probe{TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80), Scheme: corev1.URISchemeHTTP}}}
	}
	main := func(p *corev1.Pod) *corev1.Container { return &p.Spec.Containers[0] }
	for _, tc := range []struct {
		name  string
		spoil func(*corev1.Pod)
		want  string // errors, a line each
	}{
		{"good", func(*corev1.Pod) {}, ""},
		{"no containers", func(p *corev1.Pod) { p.Spec.Containers = nil }, "spec.containers: Required value"},
		{"container name", func(p *corev1.Pod) { main(p).Name = "Main" }, `spec.containers[0].name: Invalid value: "Main": ` + label},
		{"no image", func(p *corev1.Pod) { main(p).Image = "" }, "spec.containers[0].image: Required value"},
		{"padded image", func(p *corev1.Pod) { main(p).Image = " busybox" }, `spec.containers[0].image: Invalid value: " busybox": must not have leading or trailing whitespace`},
		{"init of the same name", func(p *corev1.Pod) { p.Spec.InitContainers[0].Name = "main" }, `spec.initContainers[0].name: Duplicate value: "main"`},
		{"pull policy", func(p *corev1.Pod) { main(p).ImagePullPolicy = "Sometimes" }, `spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"`},
		{"restart policy", func(p *corev1.Pod) { p.Spec.RestartPolicy = "Maybe" }, `spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"`},
		{"port", func(p *corev1.Pod) {
			main(p).Ports = []corev1.ContainerPort{{ContainerPort: 70000, Protocol: "TCP"}}
		}, "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"host port twice", func(p *corev1.Pod) {
			main(p).Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: "TCP"}, {ContainerPort: 81, HostPort: 80, Protocol: "TCP"}}
		}, `spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"`},
		{"host network", func(p *corev1.Pod) {
			p.Spec.HostNetwork = true
			main(p).Ports = []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}}
		}, "spec.containers[0].ports[0].hostPort: Invalid value: 0: must match `containerPort` when `hostNetwork` is true"},
		{"env without source", func(p *corev1.Pod) { main(p).Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{}}} },
			"spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"},
		{"env name", func(p *corev1.Pod) { main(p).Env = []corev1.EnvVar{{Name: "A=B"}} },
			"spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='"},
		{"fieldRef", func(p *corev1.Pod) {
			main(p).Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.phase"}}}}
		}, `spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"`},
		{"fieldRef unknown", func(p *corev1.Pod) {
			main(p).Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "spec.x"}}}}
		}, `spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x`},
		{"envFrom", func(p *corev1.Pod) { main(p).EnvFrom = []corev1.EnvFromSource{{}} },
			"spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"},
		{"mount of no volume", func(p *corev1.Pod) { main(p).VolumeMounts[0].Name = "x" }, `spec.containers[0].volumeMounts[0].name: Not found: "x"`},
		{"mount twice", func(p *corev1.Pod) { main(p).VolumeMounts = append(main(p).VolumeMounts, main(p).VolumeMounts[0]) },
			`spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/vol": must be unique`},
		{"subPath", func(p *corev1.Pod) { main(p).VolumeMounts[0].SubPath = "a/../b" },
			`spec.containers[0].volumeMounts.subPath: Invalid value: "a/../b": must not contain '..'`},
		{"propagation", func(p *corev1.Pod) {
			main(p).VolumeMounts[0].MountPropagation = ptr(corev1.MountPropagationBidirectional)
		},
			"spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"},
		{"volume twice", func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, p.Spec.Volumes[0]) }, `spec.volumes[1].name: Duplicate value: "vol"`},
		{"two sources", func(p *corev1.Pod) { p.Spec.Volumes[0].HostPath = &corev1.HostPathVolumeSource{} },
			"spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type\nspec.containers[0].volumeMounts[0].name: Not found: \"vol\""},
		{"token lifetime", func(p *corev1.Pod) {
			p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount = "sa", "sa"
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr[int64](60)}}}}}})
		}, "spec.volumes[1].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes"},
		{"probe without handler", func(p *corev1.Pod) { p2 := probe(); p2.HTTPGet = nil; main(p).LivenessProbe = p2 },
			"spec.containers[0].livenessProbe: Required value: must specify a handler type"},
		{"liveness successes", func(p *corev1.Pod) { main(p).LivenessProbe = probe(); main(p).LivenessProbe.SuccessThreshold = 2 },
			"spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"},
		{"readiness grace", func(p *corev1.Pod) {
			main(p).ReadinessProbe = probe()
			main(p).ReadinessProbe.TerminationGracePeriodSeconds = ptr[int64](1)
		}, "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"},
		{"init with probe", func(p *corev1.Pod) { p.Spec.InitContainers[0].ReadinessProbe = probe() },
			"spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"},
		{"sidecar with probe", func(p *corev1.Pod) {
			p.Spec.InitContainers[0].RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways)
			p.Spec.InitContainers[0].ReadinessProbe = probe()
		}, ""},
		{"sleep", func(p *corev1.Pod) {
			main(p).Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 31}}}
		}, "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"},
		{"request over limit", func(p *corev1.Pod) {
			main(p).Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")}
			main(p).Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("2")}
		}, `spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`},
		{"unknown resource", func(p *corev1.Pod) {
			main(p).Resources.Requests = corev1.ResourceList{"gpu": resource.MustParse("1")}
		}, "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified\nspec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for containers"},
		{"privilege", func(p *corev1.Pod) {
			main(p).SecurityContext = &corev1.SecurityContext{RunAsUser: ptr[int64](-1)}
		}, "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"},
		{"sysctl of the host", func(p *corev1.Pod) {
			p.Spec.HostNetwork = true
			p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net/ipv4/ip_forward", Value: "1"}}}
		}, `spec.securityContext.sysctls[0].name: Invalid value: "net/ipv4/ip_forward": may not be specified when 'hostNetwork' is true`},
		{"dns none", func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSNone }, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
		{"nameserver", func(p *corev1.Pod) { p.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"x"}} },
			`spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`},
		{"host alias", func(p *corev1.Pod) {
			p.Spec.HostAliases = []corev1.HostAlias{{IP: "010.0.0.1", Hostnames: []string{"a"}}}
		}, `spec.hostAliases[0].ip: Invalid value: "010.0.0.1": must not have leading 0s`},
		{"toleration", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpEqual}} },
			"spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""},
		{"node affinity", func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{}}}
		}, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"},
		{"pod affinity", func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 101, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: "zone"}}}}}
		}, "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100"},
		{"spread", func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{TopologyKey: "zone", WhenUnsatisfiable: "Never"}}
		}, "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero\nspec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\""},
		{"gate twice", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "a"}, {Name: "a"}} },
			`spec.schedulingGates[1]: Duplicate value: "a"`},
		{"readiness gate", func(p *corev1.Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "a b"}} },
			"spec.readinessGates[0].conditionType: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
		{"deadline", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr[int64](0) }, "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"},
		{"host users", func(p *corev1.Pod) { p.Spec.HostUsers, p.Spec.HostPID = ptr(false), true }, "spec.HostPID: Forbidden: when `hostUsers` is false"},
		{"windows", func(p *corev1.Pod) { p.Spec.OS, p.Spec.HostPID = &corev1.PodOS{Name: corev1.Windows}, true }, "spec.hostPID: Forbidden: cannot be set for a windows pod"},
		{"pod resources", func(p *corev1.Pod) {
			main(p).Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("2")}
			p.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}}
		}, `spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2`},
		{"ephemeral ports", func(p *corev1.Pod) {
			e := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(*main(p))}
			e.Name, e.VolumeMounts, e.Ports = "debug", nil, []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}}
			p.Spec.EphemeralContainers = []corev1.EphemeralContainer{e}
		}, "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container"},
		{"mirror pod", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} },
			`metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := goodPod()
			tc.spoil(pod)
			if got := apitest.Text(PodSpec(pod)); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	p := goodPod()
	tmpl := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: p.Spec}
	path := field.NewPath("spec", "template")
	if got := apitest.Text(ValidatePodTemplate(tmpl, path)); got != "" {
		t.Errorf("good template: %s", got)
	}
	// What only pods are held to.
	tmpl.Spec.Containers[0].Image = " busybox"
	tmpl.Spec.HostNetwork = true
	tmpl.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}}
	if got := apitest.Text(ValidatePodTemplate(tmpl, path)); got != "" {
		t.Errorf("rule for pods used on a template: %s", got)
	}
	tmpl.Labels["a"] = "b c"
	tmpl.Spec.NodeName = "N"
	want := "spec.template.labels: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')\n" +
		"spec.template.spec.nodeName: Invalid value: \"N\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
	if got := apitest.Text(ValidatePodTemplate(tmpl, path)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRatchet(t *testing.T) {
	errs := field.ErrorList{field.Required(field.NewPath("a"), ""), field.Required(field.NewPath("b"), "")}
	left := Ratchet(errs, func() field.ErrorList { return field.ErrorList{field.Required(field.NewPath("a"), "")} })
	if got := apitest.Text(left); got != "b: Required value" {
		t.Errorf("left %q", got)
	}
	if Ratchet(nil, func() field.ErrorList { panic("called without errors") }) != nil {
		t.Error("errors from nothing")
	}
}

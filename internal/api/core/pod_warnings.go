package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodTemplateWarnings returns what is legal but doubtful in a pod template found at path ("spec.template"), for the
// Warning headers of the workloads that hold one.
func PodTemplateWarnings(path *field.Path, template *corev1.PodTemplateSpec) []string {
	if template == nil {
		return nil
	}
	w := warner{path: path}
	w.all(&template.ObjectMeta, &template.Spec)
	return w.out
}

func podSpecWarnings(pod *corev1.Pod) []string {
	w := warner{}
	w.all(&pod.ObjectMeta, &pod.Spec)
	return w.out
}

// warner gathers warnings. path is nil for a pod, the template's path otherwise.
type warner struct {
	path *field.Path
	out  []string
}

func (w *warner) add(path *field.Path, format string, args ...any) {
	w.out = append(w.out, path.String()+": "+fmt.Sprintf(format, args...))
}

func (w *warner) spec(names ...string) *field.Path { return w.path.Child("spec", names...) }

func (w *warner) annotation(key string) *field.Path {
	return w.path.Child("metadata", "annotations").Key(key)
}

func (w *warner) all(meta *metav1.ObjectMeta, spec *corev1.PodSpec) {
	w.nodeLabels(spec)
	for _, old := range [][2]string{
		{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	} {
		if _, ok := meta.Annotations[old[0]]; ok {
			w.add(w.annotation(old[0]), "%s", old[1])
		}
	}
	w.volumes(spec)
	w.repeats(spec)
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		w.fraction(w.spec("overhead"), spec.Overhead, name)
	}
	if _, ok := meta.Annotations[corev1.SeccompPodAnnotationKey]; ok && (spec.SecurityContext == nil || spec.SecurityContext.SeccompProfile == nil) {
		w.add(w.annotation(corev1.SeccompPodAnnotationKey), `non-functional in v1.27+; use the "seccompProfile" field instead`)
	}
	w.eachContainer(spec, func(c *corev1.Container, path *field.Path) { w.container(meta, spec, c, path) })
	w.ports(spec)
	if g := spec.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		w.add(w.spec("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	w.affinity(spec)
	if spec.DNSConfig != nil {
		for i, ip := range spec.DNSConfig.Nameservers {
			w.out = append(w.out, validation.GetWarningsForIP(w.spec("dnsConfig", "nameservers").Index(i), ip)...)
		}
	}
	for i := range spec.HostAliases {
		w.out = append(w.out, validation.GetWarningsForIP(w.spec("hostAliases").Index(i).Child("ip"), spec.HostAliases[i].IP)...)
	}
}

func (w *warner) eachContainer(spec *corev1.PodSpec, visit func(*corev1.Container, *field.Path)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i], w.spec("initContainers").Index(i))
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i], w.spec("containers").Index(i))
	}
	for i := range spec.EphemeralContainers {
		visit((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon), w.spec("ephemeralContainers").Index(i))
	}
}

// DeprecatedNodeLabel says what to use in place of an old node label; "" if the label is fine.
func DeprecatedNodeLabel(key string) string {
	switch key {
	case "beta.kubernetes.io/arch":
		return `deprecated since v1.14; use "kubernetes.io/arch" instead`
	case "beta.kubernetes.io/os":
		return `deprecated since v1.14; use "kubernetes.io/os" instead`
	case "failure-domain.beta.kubernetes.io/region":
		return `deprecated since v1.17; use "topology.kubernetes.io/region" instead`
	case "failure-domain.beta.kubernetes.io/zone":
		return `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`
	case "beta.kubernetes.io/instance-type":
		return `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`
	case "app.kubernetes.io/created-by":
		return "deprecated since v1.9"
	case "scheduler.alpha.kubernetes.io/preferAvoidPods":
		return "deprecated since v1.22; use Taints and Tolerations instead"
	case "node-role.kubernetes.io/master":
		return `use "node-role.kubernetes.io/control-plane" instead`
	}
	return ""
}

// NodeLabelWarnings tells of old node labels in a selector found at path.
func NodeLabelWarnings(s *metav1.LabelSelector, path *field.Path) []string {
	if s == nil {
		return nil
	}
	w := warner{}
	for i, e := range s.MatchExpressions {
		if msg := DeprecatedNodeLabel(e.Key); msg != "" {
			w.add(path.Child("matchExpressions").Index(i).Child("key"), "%s is %s", e.Key, msg)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		if msg := DeprecatedNodeLabel(key); msg != "" {
			w.add(path.Child("matchLabels", key), "%s", msg)
		}
	}
	return w.out
}

func (w *warner) nodeLabels(spec *corev1.PodSpec) {
	for k := range spec.NodeSelector {
		if msg := DeprecatedNodeLabel(k); msg != "" {
			w.add(w.spec("nodeSelector").Key(k), "%s", msg)
		}
	}
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil {
		path := w.spec("affinity", "nodeAffinity")
		if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			for i := range r.NodeSelectorTerms {
				w.nodeTerm(&r.NodeSelectorTerms[i], false, path.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms").Index(i))
			}
		}
		for i := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			t := &a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i]
			w.nodeTerm(&t.Preference, true, path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"))
		}
	}
	for i := range spec.TopologySpreadConstraints {
		c, path := &spec.TopologySpreadConstraints[i], w.spec("topologySpreadConstraints").Index(i)
		if msg := DeprecatedNodeLabel(c.TopologyKey); msg != "" {
			w.add(path.Child("topologyKey"), "%s is %s", c.TopologyKey, msg)
		}
		if c.LabelSelector == nil {
			w.add(path.Child("labelSelector"), "a null labelSelector results in matching no pod")
		}
	}
}

func (w *warner) nodeTerm(term *corev1.NodeSelectorTerm, checkValues bool, path *field.Path) {
	for i, e := range term.MatchExpressions {
		path := path.Child("matchExpressions").Index(i)
		if msg := DeprecatedNodeLabel(e.Key); msg != "" {
			w.add(path.Child("key"), "%s is %s", e.Key, msg)
		}
		if !checkValues {
			continue
		}
		for j, v := range e.Values {
			for _, msg := range validation.IsValidLabelValue(v) {
				w.add(path.Child("values").Index(j), "%s is invalid, %s", v, msg)
			}
		}
	}
}

func (w *warner) repeats(spec *corev1.PodSpec) {
	seen := map[string]bool{}
	for i, a := range spec.HostAliases {
		if seen[a.IP] {
			w.add(w.spec("hostAliases").Index(i).Child("ip"), "duplicate ip %q", a.IP)
		}
		seen[a.IP] = true
	}
	seen = map[string]bool{}
	for i, s := range spec.ImagePullSecrets {
		if seen[s.Name] {
			w.add(w.spec("imagePullSecrets").Index(i).Child("name"), "duplicate name %q", s.Name)
		}
		seen[s.Name] = true
	}
	for i, s := range spec.ImagePullSecrets {
		if s.Name == "" {
			w.add(w.spec("imagePullSecrets").Index(i).Child("name"), "invalid empty name %q", s.Name)
		}
	}
}

func (w *warner) fraction(path *field.Path, list corev1.ResourceList, name corev1.ResourceName) {
	if q, ok := list[name]; ok && q.MilliValue()%1000 != 0 {
		w.add(path.Key(string(name)), "fractional byte value %q is invalid, must be an integer", q.String())
	}
}

func (w *warner) container(meta *metav1.ObjectMeta, spec *corev1.PodSpec, c *corev1.Container, path *field.Path) {
	key := corev1.SeccompContainerAnnotationKeyPrefix + c.Name
	if _, ok := meta.Annotations[key]; ok && (c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil) {
		w.add(w.annotation(key), `non-functional in v1.27+; use the "seccompProfile" field instead`)
	}
	key = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
	if value, ok := meta.Annotations[key]; ok && (c.SecurityContext == nil || c.SecurityContext.AppArmorProfile == nil) {
		var ofPod *corev1.AppArmorProfile
		if spec.SecurityContext != nil {
			ofPod = spec.SecurityContext.AppArmorProfile
		}
		if ofPod == nil || !equality.Semantic.DeepEqual(ofPod, appArmorProfile(value)) {
			w.add(w.annotation(key), `deprecated since v1.30; use the "appArmorProfile" field instead`)
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		w.fraction(path.Child("resources", "limits"), c.Resources.Limits, name)
		w.fraction(path.Child("resources", "requests"), c.Resources.Requests, name)
	}
	seen := map[string]bool{}
	for i, e := range c.Env {
		// A later value may build on an earlier one of its name, but not replace it.
		ref := "$(" + e.Name + ")"
		if seen[e.Name] && (e.ValueFrom != nil || e.Value == ref || !strings.Contains(e.Value, ref)) {
			w.add(path.Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", e.Name)
		}
		seen[e.Name] = true
	}
}

func (w *warner) ports(spec *corev1.PodSpec) {
	type place struct {
		path *field.Path
		port corev1.ContainerPort
	}
	byPort := map[string][]place{}
	w.eachContainer(spec, func(c *corev1.Container, path *field.Path) {
		for i, p := range c.Ports {
			path := path.Child("ports").Index(i)
			if p.HostIP != "" && p.HostPort == 0 {
				w.add(path, "hostIP set without hostPort: %+v", p)
			}
			key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
			for _, o := range byPort[key] {
				switch {
				case p.HostIP == o.port.HostIP && p.HostPort == o.port.HostPort:
					w.add(path, "duplicate port definition with %s", o.path)
				case p.HostPort == 0 || o.port.HostPort == 0:
					w.add(path, "overlapping port definition with %s", o.path)
				case p.HostPort == o.port.HostPort && (p.HostIP == "") != (o.port.HostIP == ""):
					w.add(path, "dangerously ambiguous port definition with %s", o.path)
				}
			}
			byPort[key] = append(byPort[key], place{path, p})
		}
	})
	byName := map[string]*field.Path{}
	w.eachContainer(spec, func(c *corev1.Container, path *field.Path) {
		for i, p := range c.Ports {
			path := path.Child("ports").Index(i)
			if p.Name == "" {
				continue
			}
			if first, ok := byName[p.Name]; ok {
				w.add(path, "duplicate port name %q with %s, services and probes that select ports by name will use %s", p.Name, first, first)
				continue
			}
			byName[p.Name] = path
		}
	})
}

func (w *warner) affinity(spec *corev1.PodSpec) {
	if spec.Affinity == nil {
		return
	}
	terms := func(path *field.Path, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		const msg = "a null labelSelector results in matching no pod"
		for i := range required {
			if required[i].LabelSelector == nil {
				w.add(path.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i).Child("labelSelector"), msg)
			}
		}
		for i := range preferred {
			if preferred[i].PodAffinityTerm.LabelSelector == nil {
				w.add(path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm", "labelSelector"), msg)
			}
		}
	}
	if a := spec.Affinity.PodAffinity; a != nil {
		terms(w.spec("affinity", "podAffinity"), a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := spec.Affinity.PodAntiAffinity; a != nil {
		terms(w.spec("affinity", "podAntiAffinity"), a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

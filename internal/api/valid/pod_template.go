package valid

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePodTemplate checks the pod template of a workload, found at path ("spec.template"): its labels, annotations and
// pod spec. What a workload demands besides (labels that match its selector, restart policy Always, no
// activeDeadlineSeconds) is for the workload to check.
func ValidatePodTemplate(template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	spec := path.Child("spec")
	errs := Labels(template.Labels, path.Child("labels"))
	errs = append(errs, Annotations(template.Annotations, path.Child("annotations"))...)
	errs = append(errs, PodAnnotations(template.Annotations, &template.Spec, path.Child("annotations"))...)
	errs = append(errs, templateSpec(&template.Spec, spec)...)
	errs = append(errs, ProfilesMatch(&template.ObjectMeta, &template.Spec, spec)...)
	if len(template.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(spec.Child("ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// PodSpec checks the spec of a pod with the given metadata, and the annotations that belong to it. It is what create and
// update have in common.
func PodSpec(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := PodAnnotations(pod.Annotations, &pod.Spec, field.NewPath("metadata", "annotations"))
	c := &podCheck{PodSpec: &pod.Spec, meta: &pod.ObjectMeta, path: path, isPod: true}
	c.run()
	errs = append(errs, c.errs...)
	if pod.Spec.ServiceAccountName == "" {
		for i, v := range pod.Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for j, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil {
					at := path.Child("volumes").Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken")
					errs = append(errs, field.Forbidden(at, "must not be specified when serviceAccountName is not set"))
				}
			}
		}
	}
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		errs = append(errs, NonNegative(*g, path.Child("terminationGracePeriodSeconds"))...)
	}
	for i := range pod.Spec.Containers {
		errs = append(errs, ImagePadding(&pod.Spec.Containers[i], path.Child("containers").Index(i))...)
	}
	for i := range pod.Spec.InitContainers {
		errs = append(errs, ImagePadding(&pod.Spec.InitContainers[i], path.Child("initContainers").Index(i))...)
	}
	return errs
}

func templateSpec(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	c := &podCheck{PodSpec: spec, path: path}
	c.run()
	return c.errs
}

// podCheck checks one pod spec, top to bottom, and gathers what is wrong with it. Its methods are spread over the files
// whose names start with pod_, one subject each.
type podCheck struct {
	*corev1.PodSpec
	meta  *metav1.ObjectMeta // nil for a template
	path  *field.Path
	isPod bool // a pod, not a template: some rules are older than templates and never were extended to them

	volumes map[string]*corev1.VolumeSource // those found valid, by name
	errs    field.ErrorList
}

func (c *podCheck) add(errs ...*field.Error) { c.errs = append(c.errs, errs...) }

func (c *podCheck) invalid(path *field.Path, value any, detail string) {
	c.add(field.Invalid(path, value, detail))
}

func (c *podCheck) required(path *field.Path, detail string) { c.add(field.Required(path, detail)) }

func (c *podCheck) forbidden(path *field.Path, detail string) { c.add(field.Forbidden(path, detail)) }

func (c *podCheck) duplicate(path *field.Path, value any) { c.add(field.Duplicate(path, value)) }

// invalidAll adds one error for each message.
func (c *podCheck) invalidAll(path *field.Path, value any, msgs []string) {
	c.add(messages(path, value, msgs)...)
}

// hostUsers reports whether the pod's users are the host's.
func (c *podCheck) hostUsers() bool { return c.HostUsers == nil || *c.HostUsers }

// run checks everything, in upstream's order.
func (c *podCheck) run() {
	if c.TerminationGracePeriodSeconds == nil {
		c.required(c.path.Child("terminationGracePeriodSeconds"), "")
	}
	c.checkVolumes()
	c.checkResourceClaims()
	c.checkContainers()
	c.checkInitContainers()
	c.checkEphemeralContainers()
	c.checkPodResources()
	c.checkHostPorts()
	c.add(RequiredInOrder(c.RestartPolicy, c.path.Child("restartPolicy"), corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	c.add(RequiredInOrder(c.DNSPolicy, c.path.Child("dnsPolicy"), corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	c.add(Labels(c.NodeSelector, c.path.Child("nodeSelector"))...)
	c.checkPodSecurity()
	if c.ShareProcessNamespace != nil && c.HostPID && *c.ShareProcessNamespace {
		c.invalid(c.path.Child("shareProcessNamespace"), *c.ShareProcessNamespace, "ShareProcessNamespace and HostPID cannot both be enabled")
	}
	c.checkAffinity()
	c.checkDNSConfig()
	c.checkGates()
	c.checkGroup()
	c.checkTopologySpread()
	c.checkHostProcess()
	c.checkHostUsers()
	c.checkNames()
	c.checkLimits()
	c.add(Tolerations(c.Tolerations, c.path.Child("tolerations"))...)
	c.checkHostAliases()
	c.checkClasses()
	if c.Overhead != nil {
		c.containerResources(&corev1.ResourceRequirements{Limits: c.Overhead}, c.path.Child("overhead"))
	}
	c.checkOS()
	c.checkFileKeys()
}

// eachContainer visits init containers, containers and ephemeral containers.
func eachContainer(spec *corev1.PodSpec, path *field.Path, visit func(*corev1.Container, *field.Path)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i], path.Child("initContainers").Index(i))
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i], path.Child("containers").Index(i))
	}
	for i := range spec.EphemeralContainers {
		visit((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon), path.Child("ephemeralContainers").Index(i))
	}
}

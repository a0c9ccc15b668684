package valid

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) env(vars []corev1.EnvVar, path *field.Path) {
	for i := range vars {
		v, path := &vars[i], path.Index(i)
		if v.Name == "" {
			c.required(path.Child("name"), "")
		} else {
			c.invalidAll(path.Child("name"), v.Name, validation.IsRelaxedEnvVarName(v.Name))
		}
		if v.ValueFrom != nil {
			c.envSource(v, path.Child("valueFrom"))
		}
	}
}

func (c *podCheck) envSource(v *corev1.EnvVar, path *field.Path) {
	from, sources := v.ValueFrom, 0
	if ref := from.FieldRef; ref != nil {
		sources++
		c.fieldRef(ref, path.Child("fieldRef"), "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
			"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
	}
	if ref := from.ResourceFieldRef; ref != nil {
		sources++
		c.resourceRef(ref, path.Child("resourceFieldRef"), false)
	}
	if ref := from.ConfigMapKeyRef; ref != nil {
		sources++
		c.keyRef(ref.Name, ref.Key, path.Child("configMapKeyRef"))
	}
	if ref := from.SecretKeyRef; ref != nil {
		sources++
		c.keyRef(ref.Name, ref.Key, path.Child("secretKeyRef"))
	}
	if ref := from.FileKeyRef; ref != nil {
		sources++
		c.fileKeyRef(ref, path.Child("fileKeyRef"))
	}
	switch {
	case sources == 0:
		c.invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")
	case v.Value != "":
		c.invalid(path, "", "may not be specified when `value` is not empty")
	case sources > 1:
		c.invalid(path, "", "may not have more than one field specified at a time")
	}
}

func (c *podCheck) keyRef(name, key string, path *field.Path) {
	c.invalidAll(path.Child("name"), name, apivalidation.NameIsDNSSubdomain(name, false))
	if key == "" {
		c.required(path.Child("key"), "")
	} else {
		c.invalidAll(path.Child("key"), key, validation.IsConfigMapKey(key))
	}
}

func (c *podCheck) fileKeyRef(ref *corev1.FileKeySelector, path *field.Path) {
	if ref.Key == "" {
		c.required(path.Child("key"), "")
	} else {
		c.invalidAll(path.Child("key"), ref.Key, validation.IsRelaxedEnvVarName(ref.Key))
	}
	if ref.VolumeName == "" {
		c.required(path.Child("volumeName"), "")
	} else {
		c.add(DNSLabel(ref.VolumeName, path.Child("volumeName"))...)
	}
	if ref.Path == "" {
		c.required(path.Child("path"), "")
	} else {
		c.add(noBacksteps(ref.Path, path.Child("path"))...)
	}
}

// checkFileKeys demands that the files which variables are read from are on emptyDir volumes of the pod.
func (c *podCheck) checkFileKeys() {
	sources := map[string]*corev1.VolumeSource{}
	for i := range c.Volumes {
		sources[c.Volumes[i].Name] = &c.Volumes[i].VolumeSource
	}
	eachContainer(c.PodSpec, c.path, func(ctr *corev1.Container, path *field.Path) {
		for i := range ctr.Env {
			from := ctr.Env[i].ValueFrom
			if from == nil || from.FileKeyRef == nil {
				continue
			}
			name, path := from.FileKeyRef.VolumeName, path.Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			if s, ok := sources[name]; !ok {
				c.add(field.NotFound(path, name))
			} else if s.EmptyDir == nil {
				c.invalid(path, name, "referenced volume must be of type emptyDir")
			}
		}
	})
}

// podFields are the fields of a pod that the downward API knows at all.
var podFields = []string{
	"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
	"spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP",
	"status.hostIPs", "status.podIP", "status.podIPs",
}

// fieldRef checks a reference to a field of the pod; allowed are the ones that may be used where it stands, besides single
// labels and annotations.
func (c *podCheck) fieldRef(ref *corev1.ObjectFieldSelector, path *field.Path, allowed ...string) {
	if ref.APIVersion == "" {
		c.required(path.Child("apiVersion"), "")
		return
	}
	if ref.FieldPath == "" {
		c.required(path.Child("fieldPath"), "")
		return
	}
	unusable := func(why string) {
		c.invalid(path.Child("fieldPath"), ref.FieldPath, "error converting fieldPath: "+why)
	}
	if ref.APIVersion != "v1" {
		unusable("unsupported pod version: " + ref.APIVersion)
		return
	}
	if of, key, ok := subscript(ref.FieldPath); ok {
		switch of {
		case "metadata.annotations":
			c.add(QualifiedName(strings.ToLower(key), path)...)
		case "metadata.labels":
			c.add(QualifiedName(key, path)...)
		default:
			unusable("field label does not support subscript: " + ref.FieldPath)
		}
		return
	}
	name := ref.FieldPath
	if name == "spec.host" { // of clients before v1
		name = "spec.nodeName"
	}
	if !slices.Contains(podFields, name) {
		unusable("field label not supported: " + ref.FieldPath)
		return
	}
	c.add(OneOf(name, path.Child("fieldPath"), allowed...)...)
}

// subscript splits "metadata.labels['a/b']" into "metadata.labels" and "a/b".
func subscript(fieldPath string) (of, key string, ok bool) {
	s, ok := strings.CutSuffix(fieldPath, "']")
	if !ok {
		return "", "", false
	}
	of, key, ok = strings.Cut(s, "['")
	return of, key, ok && of != ""
}

// resourceRef checks a reference to a container's resource; in a volume it must name the container.
func (c *podCheck) resourceRef(ref *corev1.ResourceFieldSelector, path *field.Path, inVolume bool) {
	hugePages := strings.HasPrefix(ref.Resource, "requests.hugepages-") || strings.HasPrefix(ref.Resource, "limits.hugepages-")
	switch {
	case inVolume && ref.ContainerName == "":
		c.required(path.Child("containerName"), "")
	case ref.Resource == "":
		c.required(path.Child("resource"), "")
	case !hugePages:
		c.add(OneOf(ref.Resource, path.Child("resource"), "limits.cpu", "limits.memory", "limits.ephemeral-storage",
			"requests.cpu", "requests.memory", "requests.ephemeral-storage")...)
	}
	c.divisor(ref.Resource, ref.Divisor, hugePages, path.Child("divisor"))
}

func (c *podCheck) divisor(of string, q resource.Quantity, hugePages bool, path *field.Path) {
	if q.IsZero() {
		return
	}
	value := q.String()
	bytes := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
	const ofBytes = "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "
	_, name, _ := strings.Cut(of, ".")
	switch {
	case hugePages:
		if !slices.Contains(bytes, value) {
			c.invalid(path, of, ofBytes+"hugepages resource")
		}
	case name == "cpu":
		if value != "1m" && value != "1" {
			c.invalid(path, of, "only divisor's values 1m and 1 are supported with the cpu resource")
		}
	case name == "memory":
		if !slices.Contains(bytes, value) {
			c.invalid(path, of, ofBytes+"memory resource")
		}
	case name == "ephemeral-storage":
		if !slices.Contains(bytes, value) {
			c.invalid(path, of, ofBytes+"local ephemeral storage resource")
		}
	}
}

func (c *podCheck) envFrom(list []corev1.EnvFromSource, path *field.Path) {
	for i := range list {
		from, at := &list[i], path.Index(i)
		if from.Prefix != "" {
			c.invalidAll(at.Child("prefix"), from.Prefix, validation.IsRelaxedEnvVarName(from.Prefix))
		}
		sources := 0
		if ref := from.ConfigMapRef; ref != nil {
			sources++
			c.envObject(ref.Name, at.Child("configMapRef", "name"))
		}
		if ref := from.SecretRef; ref != nil {
			sources++
			c.envObject(ref.Name, at.Child("secretRef", "name"))
		}
		if sources == 0 {
			c.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
		} else if sources > 1 {
			c.invalid(path, "", "may not have more than one field specified at a time")
		}
	}
}

func (c *podCheck) envObject(name string, path *field.Path) {
	if name == "" {
		c.required(path, "")
		return
	}
	c.invalidAll(path, name, apivalidation.NameIsDNSSubdomain(name, true))
}

package podspec

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/probe"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// EnvSources is where the environment of a container comes from.
type EnvSources struct {
	Pod             *corev1.Pod
	PodIPs, HostIPs []string
	Allocatable     corev1.ResourceList
	Services        map[string]string
	ConfigMap       func(name string) (*corev1.ConfigMap, error)
	Secret          func(name string) (*corev1.Secret, error)
	// file reads a variable out of an env file in a volume; ok is false when the file has no such key.
	File func(ref *corev1.FileKeySelector) (value string, ok bool, err error)
}

// Environment computes the variables of a container, sorted by name: service variables, then envFrom, then env, later
// ones overriding. Errors are those that the API shows as CreateContainerConfigError.
func Environment(c *corev1.Container, src EnvSources) ([]*cri.KeyValue, error) {
	vars := map[string]string{}
	if err := envFrom(c, src, vars); err != nil {
		return nil, err
	}
	lookup := func(name string) (string, bool) {
		if v, ok := vars[name]; ok {
			return v, true
		}
		v, ok := src.Services[name]
		return v, ok
	}
	for i := range c.Env {
		e := &c.Env[i]
		value := e.Value
		switch {
		case value != "":
			value = probe.Expand(value, lookup)
		case e.ValueFrom != nil:
			var skip bool
			var err error
			if value, skip, err = envValue(e.ValueFrom, c, src); err != nil {
				return nil, err
			}
			if skip {
				continue
			}
		}
		vars[e.Name] = value
	}
	for k, v := range src.Services {
		if _, ok := vars[k]; !ok {
			vars[k] = v
		}
	}
	out := make([]*cri.KeyValue, 0, len(vars))
	for k, v := range vars {
		out = append(out, &cri.KeyValue{Key: k, Value: []byte(v)})
	}
	slices.SortFunc(out, func(a, b *cri.KeyValue) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

func optional(b *bool) bool { return b != nil && *b }

func envFrom(c *corev1.Container, src EnvSources, vars map[string]string) error {
	for i := range c.EnvFrom {
		switch from := &c.EnvFrom[i]; {
		case from.ConfigMapRef != nil:
			cm, err := src.ConfigMap(from.ConfigMapRef.Name)
			if apierrors.IsNotFound(err) && optional(from.ConfigMapRef.Optional) {
				continue
			}
			if err != nil {
				return err
			}
			for k, v := range cm.Data {
				vars[from.Prefix+k] = v
			}
		case from.SecretRef != nil:
			s, err := src.Secret(from.SecretRef.Name)
			if apierrors.IsNotFound(err) && optional(from.SecretRef.Optional) {
				continue
			}
			if err != nil {
				return err
			}
			for k, v := range s.Data {
				vars[from.Prefix+k] = string(v)
			}
		}
	}
	return nil
}

// envValue resolves a variable that comes from elsewhere; skip says to leave it out.
func envValue(from *corev1.EnvVarSource, c *corev1.Container, src EnvSources) (value string, skip bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = FieldValue(src.Pod, from.FieldRef.FieldPath, src.PodIPs, src.HostIPs)
		return value, false, err
	case from.ResourceFieldRef != nil:
		of := c
		if name := from.ResourceFieldRef.ContainerName; name != "" && name != c.Name {
			if of = pods.Container(src.Pod, name); of == nil {
				return "", false, fmt.Errorf("container %s not found", name)
			}
		}
		value, err = ResourceValue(from.ResourceFieldRef, of, src.Allocatable)
		return value, false, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		cm, err := src.ConfigMap(ref.Name)
		if err != nil {
			skip = apierrors.IsNotFound(err) && optional(ref.Optional)
			return "", skip, unless(skip, err)
		}
		value, ok := cm.Data[ref.Key]
		if !ok {
			return "", optional(ref.Optional), unless(optional(ref.Optional),
				fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, src.Pod.Namespace, ref.Name))
		}
		return value, false, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := src.Secret(ref.Name)
		if err != nil {
			skip = apierrors.IsNotFound(err) && optional(ref.Optional)
			return "", skip, unless(skip, err)
		}
		data, ok := s.Data[ref.Key]
		if !ok {
			return "", optional(ref.Optional), unless(optional(ref.Optional),
				fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, src.Pod.Namespace, ref.Name))
		}
		return string(data), false, nil
	case from.FileKeyRef != nil:
		value, ok, err := src.File(from.FileKeyRef)
		if err == nil && !ok && !optional(from.FileKeyRef.Optional) {
			err = fmt.Errorf("environment variable key %q not found in file %q", from.FileKeyRef.Key, from.FileKeyRef.Path)
		}
		return value, !ok, err
	}
	return "", false, nil
}

func unless(skip bool, err error) error {
	if skip {
		return nil
	}
	return err
}

// ServiceEnvironment makes the variables that name services (docker links' form): the kubernetes service of the default namespace
// always, those of the pod's namespace when links is set. Headless services have none.
func ServiceEnvironment(services []*corev1.Service, namespace string, links bool) map[string]string {
	chosen := map[string]*corev1.Service{}
	for _, s := range services {
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		if s.Namespace == "default" && s.Name == "kubernetes" {
			if _, own := chosen[s.Name]; !own {
				chosen[s.Name] = s
			}
		} else if s.Namespace == namespace && links {
			chosen[s.Name] = s
		}
	}
	out := map[string]string{}
	for _, s := range chosen {
		if len(s.Spec.Ports) == 0 {
			continue
		}
		prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
		out[prefix+"_SERVICE_HOST"] = s.Spec.ClusterIP
		out[prefix+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
		for i := range s.Spec.Ports {
			p := &s.Spec.Ports[i]
			if p.Name != "" {
				out[prefix+"_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))] = strconv.Itoa(int(p.Port))
			}
			proto := string(p.Protocol)
			if proto == "" {
				proto = "TCP"
			}
			url := strings.ToLower(proto) + "://" + net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(p.Port)))
			if i == 0 {
				out[prefix+"_PORT"] = url
			}
			port := fmt.Sprintf("%s_PORT_%d_%s", prefix, p.Port, strings.ToUpper(proto))
			out[port] = url
			out[port+"_PROTO"] = strings.ToLower(proto)
			out[port+"_PORT"] = strconv.Itoa(int(p.Port))
			out[port+"_ADDR"] = s.Spec.ClusterIP
		}
	}
	return out
}

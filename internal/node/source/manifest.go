package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// adopter makes the pods of manifests pods of one node.
type adopter struct {
	node string
	kind *api.Kind // defaults and validates pods; nil: neither
	seen time.Time // since when the kubelet has had its sources, for an annotation
}

// file reads the one pod of a file. Its UID is a hash of what the file says.
func (a adopter) file(path string, data []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := yaml.Unmarshal(data, pod); err != nil {
		return nil, err
	}
	return pod, a.adopt(pod, "file", path, data)
}

// served reads what a URL serves: a Pod or a list of them.
func (a adopter) served(url string, data []byte) ([]*corev1.Pod, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return nil, err
	}
	var list corev1.PodList
	many := kind.Kind == "PodList" || kind.Kind == "List"
	if many {
		if err := yaml.Unmarshal(data, &list); err != nil {
			return nil, err
		}
	} else {
		list.Items = make([]corev1.Pod, 1)
		if err := yaml.Unmarshal(data, &list.Items[0]); err != nil {
			return nil, err
		}
	}
	var pods []*corev1.Pod
	var errs []error
	for i := range list.Items {
		pod := &list.Items[i]
		if many {
			pod.Kind, pod.APIVersion = "Pod", "v1" // items of a list need not say it
		}
		own, err := yaml.Marshal(pod) // so that a change of one pod leaves the others alone
		if err == nil {
			err = a.adopt(pod, "http", url, own)
		}
		errs = append(errs, err)
		pods = append(pods, pod)
	}
	return pods, errors.Join(errs...)
}

// adopt makes a manifest a pod of the node as upstream does (pkg/kubelet/config/common.go): the name gets the node's appended,
// the UID is a hash of the content and of where it is from, and what the hub would default is defaulted here. source is "file" or
// "http", where the path or URL.
func (a adopter) adopt(pod *corev1.Pod, source, where string, data []byte) error {
	if pod.Kind != "Pod" || pod.APIVersion != "v1" {
		return fmt.Errorf("invalid pod: %s of %s", pod.Kind, pod.APIVersion)
	}
	if pod.Name == "" {
		return errors.New("invalid pod: name is needed for the pod")
	}
	if pod.UID == "" {
		sum := sha256.Sum256([]byte(string(data) + "host:" + a.node + source + ":" + where))
		pod.UID = types.UID(hex.EncodeToString(sum[:16]))
	}
	pod.Name += "-" + strings.ToLower(a.node)
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	pod.Spec.NodeName = a.node
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[pods.AnnotationHash] = string(pod.UID)
	pod.Annotations[pods.AnnotationSource] = source
	pod.Annotations[pods.AnnotationSeen] = a.seen.Format(time.RFC3339Nano)
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	if err := a.check(pod); err != nil {
		return err
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.PersistentVolumeClaim != nil {
			return fmt.Errorf("static pods may not reference API objects: volume %s", v.Name)
		}
	}
	return nil
}

// check defaults and validates a pod as the hub would.
func (a adopter) check(pod *corev1.Pod) error {
	if a.kind == nil {
		return nil
	}
	if a.kind.Default != nil {
		a.kind.Default(pod)
	}
	if a.kind.Validate != nil {
		if errs := a.kind.Validate(pod); len(errs) > 0 {
			return fmt.Errorf("invalid pod: %w", errs.ToAggregate())
		}
	}
	return nil
}

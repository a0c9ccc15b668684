package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Tolerations are the settings of PodTolerationRestriction: what holds for namespaces that do not say it themselves.
type Tolerations struct {
	Default   []corev1.Toleration // added to every pod
	Whitelist []corev1.Toleration // all that pods may have; empty: any
}

// The annotations of a namespace, each a list of tolerations in JSON.
const (
	defaultTolerationsKey = "scheduler.alpha.kubernetes.io/defaultTolerations"
	tolerationsListKey    = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
)

// tolerationRestriction adds the default tolerations of its namespace to a pod and refuses those that the namespace does not allow.
type tolerationRestriction struct {
	look lookup
	set  Tolerations
}

func (*tolerationRestriction) Name() string { return "PodTolerationRestriction" }

func (p *tolerationRestriction) Admit(ctx context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil {
		return nil
	}
	var more []corev1.Toleration
	if a.Operation == Create {
		own, said, err := p.of(ctx, a, defaultTolerationsKey)
		if err != nil {
			return err
		}
		if more = own; !said {
			more = p.set.Default
		}
	}
	if pods.QoS(pod) != corev1.PodQOSBestEffort {
		more = append(more[:len(more):len(more)], corev1.Toleration{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	if len(more) > 0 {
		pod.Spec.Tolerations = mergeTolerations(pod.Spec.Tolerations, more)
	}
	return p.Validate(ctx, a)
}

func (p *tolerationRestriction) Validate(ctx context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil || len(pod.Spec.Tolerations) == 0 {
		return nil
	}
	allowed, said, err := p.of(ctx, a, tolerationsListKey)
	if err != nil {
		return err
	}
	scope := "namespace"
	if !said {
		allowed, scope = p.set.Whitelist, "cluster"
	}
	if len(allowed) == 0 {
		return nil
	}
	for _, t := range pod.Spec.Tolerations {
		if !anyCovers(allowed, t) {
			return plain(fmt.Errorf("pod tolerations (possibly merged with namespace default tolerations) conflict with its %s whitelist", scope))
		}
	}
	return nil
}

// of is the list that the pod's namespace has in an annotation; said is false without one.
func (p *tolerationRestriction) of(ctx context.Context, a *Attributes, key string) (list []corev1.Toleration, said bool, err error) {
	ns, err := a.namespace(ctx, p.look)
	if err != nil {
		return nil, false, err
	}
	text, said := ns.Annotations[key]
	if text == "" {
		return nil, said, nil
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, true, plain(err)
	}
	return list, true, nil
}

// plain is the answer to an error for which there is no class: a 500 of its words alone, as upstream gives it.
func plain(err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonUnknown, Message: err.Error(),
	}}
}

func anyCovers(list []corev1.Toleration, t corev1.Toleration) bool {
	for _, one := range list {
		if covers(one, t) {
			return true
		}
	}
	return false
}

// readTolerations reads a Configuration of podtolerationrestriction.admission.k8s.io/v1alpha1.
func readTolerations(out *Settings, text []byte) error {
	var conf struct {
		metav1.TypeMeta `json:",inline"`

		Default   []corev1.Toleration `json:"default,omitempty"`
		Whitelist []corev1.Toleration `json:"whitelist,omitempty"`
	}
	if len(text) == 0 {
		return nil
	}
	if err := strictly(text, &conf); err != nil {
		return err
	}
	if err := isConfiguration(conf.TypeMeta, "podtolerationrestriction.admission.k8s.io/v1alpha1"); err != nil {
		return err
	}
	path := field.NewPath("podtolerationrestriction")
	errs := append(valid.Tolerations(conf.Default, path.Child("default")), valid.Tolerations(conf.Whitelist, path.Child("whitelist"))...)
	if len(errs) > 0 {
		return fmt.Errorf("invalid config: %v", errs)
	}
	out.Tolerations = Tolerations{conf.Default, conf.Whitelist}
	return nil
}

// isConfiguration checks the kind of a plugin's own settings.
func isConfiguration(t metav1.TypeMeta, version string) error {
	if t.Kind == "" {
		return errors.New("Object 'Kind' is missing")
	}
	if t.Kind != "Configuration" || t.APIVersion != version {
		return fmt.Errorf("no kind %q is registered for version %q", t.Kind, t.APIVersion)
	}
	return nil
}

package admit

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// nodeSelectors adds the node selector of the namespace to a pod, and refuses a pod that wants another one. A namespace names its
// selector in an annotation; for others there is one in the settings, which may also say which labels the pods of a namespace may ask
// for at all.
type nodeSelectors struct {
	look lookup
	set  map[string]string // selectors by namespace, and the usual one
}

func (*nodeSelectors) Name() string { return "PodNodeSelector" }

const (
	nodeSelectorAnnotation = "scheduler.alpha.kubernetes.io/node-selector"
	usualNodeSelector      = "clusterDefaultNodeSelector" // in the place of a namespace
)

func (p *nodeSelectors) Admit(ctx context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil || a.Operation != Create {
		return nil
	}
	want, err := p.of(ctx, a, pod)
	if err != nil {
		return err
	}
	if len(want) > 0 {
		pod.Spec.NodeSelector = labels.Merge(want, pod.Spec.NodeSelector)
	}
	return p.allowed(a, pod)
}

func (p *nodeSelectors) Validate(ctx context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil || a.Operation != Create {
		return nil
	}
	if _, err := p.of(ctx, a, pod); err != nil {
		return err
	}
	return p.allowed(a, pod)
}

// of is the selector of the pod's namespace, which the pod's own must not contradict.
func (p *nodeSelectors) of(ctx context.Context, a *Attributes, pod *corev1.Pod) (labels.Set, error) {
	ns, err := a.namespace(ctx, p.look)
	if err != nil {
		return nil, err
	}
	text, said := ns.Annotations[nodeSelectorAnnotation]
	if !said {
		text = p.set[usualNodeSelector]
	}
	want, err := labels.ConvertSelectorToLabelsMap(text)
	if err != nil {
		return nil, plain(err)
	}
	if labels.Conflicts(want, labels.Set(pod.Spec.NodeSelector)) {
		return nil, apierrors.NewForbidden(a.Kind.GR(), pod.Name, errors.New("pod node label selector conflicts with its namespace node label selector"))
	}
	return want, nil
}

// allowed holds the pod's selector against what the settings allow in its namespace.
func (p *nodeSelectors) allowed(a *Attributes, pod *corev1.Pod) error {
	may, err := labels.ConvertSelectorToLabelsMap(p.set[a.Namespace])
	if err != nil {
		return plain(err)
	}
	if len(may) == 0 {
		return nil
	}
	for k, v := range pod.Spec.NodeSelector {
		if have, ok := may[k]; !ok || have != v {
			return apierrors.NewForbidden(a.Kind.GR(), pod.Name, errors.New("pod node label selector labels conflict with its namespace whitelist"))
		}
	}
	return nil
}

// readNodeSelectors reads selectors by namespace: JSON or YAML without a kind.
func readNodeSelectors(out *Settings, text []byte) error {
	var conf struct {
		PodNodeSelectorPluginConfig map[string]string `json:"podNodeSelectorPluginConfig"`
	}
	err := yaml.Unmarshal(text, &conf)
	out.NodeSelectors = conf.PodNodeSelectorPluginConfig
	return err
}

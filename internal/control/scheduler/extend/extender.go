package extend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

// Config is one extender, as KubeSchedulerConfiguration v1 names its fields. A verb that is "" is not called.
type Config struct {
	URLPrefix        string // verbs are appended to it
	FilterVerb       string
	PreemptVerb      string
	PrioritizeVerb   string
	Weight           int64 // of the scores that PrioritizeVerb returns, which are 0 to 10
	BindVerb         string
	EnableHTTPS      bool // without an authority in TLS, any certificate is taken
	TLS              rest.TLSClientConfig
	Timeout          time.Duration // 0 means five seconds
	NodeCacheCapable bool          // it is sent names of nodes instead of nodes
	ManagedResources []string      // it is asked about pods that ask for one of them; none: about all
	Ignorable        bool          // what fails is as if it had not been asked
}

// Extender is a server that is asked. Make one with New. It never changes, and may be used by many goroutines.
type Extender struct {
	Config
	client *http.Client
}

// New makes an extender; it fails when what it says of TLS does not hold together.
func New(cfg Config) (*Extender, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	secured := rest.Config{TLSClientConfig: cfg.TLS}
	if cfg.EnableHTTPS && secured.CAFile == "" && len(secured.CAData) == 0 {
		secured.Insecure = true
	}
	tlsConfig, err := rest.TLSConfigFor(&secured)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig}
	return &Extender{cfg, &http.Client{Timeout: cfg.Timeout, Transport: utilnet.SetTransportDefaults(transport)}}, nil
}

// Interested reports whether the extender wants to be asked about a pod: one of its containers names a resource that it manages.
func (e *Extender) Interested(pod *corev1.Pod) bool {
	if len(e.ManagedResources) == 0 {
		return true
	}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for _, name := range e.ManagedResources {
				_, requests := list[i].Resources.Requests[corev1.ResourceName(name)]
				_, limits := list[i].Resources.Limits[corev1.ResourceName(name)]
				if requests || limits {
					return true
				}
			}
		}
	}
	return false
}

// rejections are why an extender does not want nodes, by name.
type rejections struct{ failed, unresolvable map[string]string }

// filter returns those of the nodes that the extender leaves, in its order.
func (e *Extender) filter(ctx context.Context, pod *corev1.Pod, nodes []*corev1.Node) ([]string, rejections, error) {
	var answer extenderv1.ExtenderFilterResult
	if err := e.send(ctx, e.FilterVerb, e.args(pod, nodes), &answer); err != nil {
		return nil, rejections{}, err
	}
	if answer.Error != "" {
		return nil, rejections{}, errors.New(answer.Error)
	}
	var left []string
	if e.NodeCacheCapable && answer.NodeNames != nil {
		left = *answer.NodeNames
	} else if answer.Nodes != nil {
		for i := range answer.Nodes.Items {
			left = append(left, answer.Nodes.Items[i].Name)
		}
	}
	sent := map[string]bool{}
	for _, n := range nodes {
		sent[n.Name] = true
	}
	for _, name := range left {
		if !sent[name] {
			return nil, rejections{}, fmt.Errorf("extender %q claims a filtered node %q which is not found in the input node list", e.URLPrefix, name)
		}
	}
	return left, rejections{answer.FailedNodes, answer.FailedAndUnresolvableNodes}, nil
}

// prioritize returns the extender's scores of nodes, 0 to 10, by name.
func (e *Extender) prioritize(ctx context.Context, pod *corev1.Pod, nodes []*corev1.Node) (extenderv1.HostPriorityList, error) {
	var answer extenderv1.HostPriorityList
	err := e.send(ctx, e.PrioritizeVerb, e.args(pod, nodes), &answer)
	return answer, err
}

// args is what filter and prioritize are sent.
func (e *Extender) args(pod *corev1.Pod, nodes []*corev1.Node) *extenderv1.ExtenderArgs {
	args := &extenderv1.ExtenderArgs{Pod: pod}
	if e.NodeCacheCapable {
		names := make([]string, 0, len(nodes))
		for _, n := range nodes {
			names = append(names, n.Name)
		}
		args.NodeNames = &names
		return args
	}
	args.Nodes = &corev1.NodeList{}
	for _, n := range nodes {
		args.Nodes.Items = append(args.Nodes.Items, *n)
	}
	return args
}

// bind has the extender write a binding.
func (e *Extender) bind(ctx context.Context, pod *corev1.Pod, node string) error {
	var answer extenderv1.ExtenderBindingResult
	args := &extenderv1.ExtenderBindingArgs{PodName: pod.Name, PodNamespace: pod.Namespace, PodUID: pod.UID, Node: node}
	if err := e.send(ctx, e.BindVerb, args, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// send posts args to a verb and reads the answer.
func (e *Extender) send(ctx context.Context, verb string, args, answer any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	url := strings.TrimRight(e.URLPrefix, "/") + "/" + verb
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("failed %v with extender at URL %v, code %v", verb, url, resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

package usage

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"golang.org/x/sync/errgroup"
)

const (
	fresh       = 5 * time.Second        // how old a node's figures may be that are shown again
	old         = 90 * time.Second       // how old a reading may be that a rate is reckoned from; else two are taken
	between     = 1 * time.Second        // the two
	least       = 500 * time.Millisecond // between readings that a rate is reckoned from
	nodesAtOnce = 16
	answerIn    = 10 * time.Second // a node's kubelet
)

// Config is what an Usage works with. All fields are needed.
type Config struct {
	Door client.Reader // the hub's own
	// Read returns what the kubelet of a node serves at a path.
	Read func(ctx context.Context, node, path string) ([]byte, error)
	Log  *slog.Logger
}

// Usage knows what nodes and pods use. It is safe for concurrent use.
type Usage struct {
	cfg Config
	mu  struct {
		sync.Mutex
		nodes map[string]*node // that were asked for
	}
}

// node is one node's readings. The lock is held while they are taken, so that those who ask at the same time take them once.
type node struct {
	mu struct {
		sync.Mutex
		before, latest *reading
	}
}

// New makes it. It does nothing until somebody asks.
func New(cfg Config) *Usage {
	u := &Usage{cfg: cfg}
	u.mu.nodes = map[string]*node{}
	return u
}

// Sources are the answers to reads of the kinds, by verb.HandlerKey.
func (u *Usage) Sources() map[string]verb.Source {
	key := func(res schema.GroupVersionResource) string {
		return verb.HandlerKey(schema.GroupResource{Group: metricsv1beta1.GroupName, Resource: plural(res)}, "")
	}
	return map[string]verb.Source{key(nodesOf): u.nodes, key(podsOf): u.pods}
}

// The resources of metrics have the names of what they are about.
var nodesOf, podsOf = client.Nodes, client.Pods

func plural(res schema.GroupVersionResource) string { return res.Resource }

// readings are a node's last two, taken now unless they are fresh. The first is nil when the node has just started.
func (u *Usage) readings(ctx context.Context, name string) (before, latest *reading, err error) {
	u.mu.Lock()
	n := u.mu.nodes[name]
	if n == nil {
		n = &node{}
		u.mu.nodes[name] = n
	}
	u.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.latest != nil && n.mu.before != nil && time.Since(n.mu.latest.taken) < fresh {
		return n.mu.before, n.mu.latest, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	if n.mu.latest == nil || time.Since(n.mu.latest.taken) > old || time.Since(n.mu.latest.taken) < least {
		if n.mu.latest, err = u.read(ctx, name); err != nil {
			n.mu.latest, n.mu.before = nil, nil
			return nil, nil, err
		}
		select {
		case <-time.After(between):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	now, err := u.read(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	n.mu.before, n.mu.latest = n.mu.latest, now
	return n.mu.before, n.mu.latest, nil
}

func (u *Usage) read(ctx context.Context, name string) (*reading, error) {
	text, err := u.cfg.Read(ctx, name, "/metrics/resource")
	if err != nil {
		return nil, err
	}
	return parse(text, time.Now()), nil
}

// all are the readings of nodes, by name, of those that answer.
func (u *Usage) all(ctx context.Context, names []string) map[string][2]*reading {
	out := make(map[string][2]*reading, len(names))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(nodesAtOnce)
	for _, name := range names {
		g.Go(func() error {
			before, latest, err := u.readings(ctx, name)
			if err != nil {
				u.cfg.Log.Debug("what a node uses is not known", "node", name, "error", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = [2]*reading{before, latest}
			return nil
		})
	}
	_ = g.Wait() // those that failed are left out
	return out
}

// nodes implements verb.Source.
func (u *Usage) nodes(ctx context.Context, _, name string, selector labels.Selector) ([]api.Object, error) {
	all, err := objects[*corev1.Node](ctx, u.cfg.Door, client.Nodes, "", name, selector)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.Name
	}
	u.forget(name == "" && selector.Empty(), names)
	readings := u.all(ctx, names)
	var out []api.Object
	for _, n := range all {
		r := readings[n.Name]
		use, window, ok := rate(r, func(r *reading) (figure, bool) { return r.node, true })
		if !ok {
			continue
		}
		out = append(out, &metricsv1beta1.NodeMetrics{
			TypeMeta: typeOf("NodeMetrics"), ObjectMeta: metaOf(&n.ObjectMeta), Timestamp: metav1.NewTime(r[1].node.at), Window: window, Usage: use,
		})
	}
	return out, nil
}

// forget drops the readings of nodes that are gone, when all that there are have been listed.
func (u *Usage) forget(whole bool, names []string) {
	if !whole {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for name := range u.mu.nodes {
		if !slices.Contains(names, name) {
			delete(u.mu.nodes, name)
		}
	}
}

// pods implements verb.Source.
func (u *Usage) pods(ctx context.Context, namespace, name string, selector labels.Selector) ([]api.Object, error) {
	all, err := objects[*corev1.Pod](ctx, u.cfg.Door, client.Pods, namespace, name, selector)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p *corev1.Pod) bool { return p.Spec.NodeName == "" || p.Status.Phase != corev1.PodRunning })
	var names []string
	for _, p := range all {
		if !slices.Contains(names, p.Spec.NodeName) {
			names = append(names, p.Spec.NodeName)
		}
	}
	readings := u.all(ctx, names)
	var out []api.Object
	for _, p := range all {
		if m := podMetrics(p, readings[p.Spec.NodeName]); m != nil {
			out = append(out, m)
		}
	}
	return out, nil
}

// podMetrics is what a pod uses; nil when that is not known of all its containers that run.
func podMetrics(p *corev1.Pod, r [2]*reading) *metricsv1beta1.PodMetrics {
	m := &metricsv1beta1.PodMetrics{TypeMeta: typeOf("PodMetrics"), ObjectMeta: metaOf(&p.ObjectMeta)}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running == nil {
			continue
		}
		key := container{p.Namespace, p.Name, c.Name}
		use, window, ok := rate(r, func(at *reading) (figure, bool) {
			f, ok := at.containers[key]
			if !ok && at == r[0] { // it has started since
				return figure{at: c.State.Running.StartedAt.Time, hasCPU: true}, true
			}
			return f, ok
		})
		if !ok {
			return nil
		}
		if at := r[1].containers[key].at; m.Timestamp.IsZero() || at.Before(m.Timestamp.Time) {
			m.Timestamp, m.Window = metav1.NewTime(at), window
		}
		m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: c.Name, Usage: use})
	}
	if len(m.Containers) == 0 {
		return nil
	}
	return m
}

// rate is what is used between two readings.
func rate(r [2]*reading, of func(*reading) (figure, bool)) (corev1.ResourceList, metav1.Duration, bool) {
	if r[0] == nil || r[1] == nil {
		return nil, metav1.Duration{}, false
	}
	before, had := of(r[0])
	now, has := of(r[1])
	window := now.at.Sub(before.at)
	if !had || !has || !before.hasCPU || !now.hasCPU || window < least || now.cpu < before.cpu {
		return nil, metav1.Duration{}, false
	}
	cores := float64(now.cpu-before.cpu) / float64(window)
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(cores*1e9), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(now.memory>>10<<10), resource.BinarySI),
	}, metav1.Duration{Duration: window}, true
}

// objects are those that are asked for, in the order of their names.
func objects[T api.Object](ctx context.Context, door client.Reader, res schema.GroupVersionResource, namespace, name string, selector labels.Selector) ([]T, error) {
	if name != "" {
		o, err := client.Get[T](ctx, door, res, namespace, name)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil || !selector.Matches(labels.Set(o.GetLabels())) {
			return nil, err
		}
		return []T{o}, nil
	}
	all, err := client.ListAll[T](ctx, door, res, namespace, metav1.ListOptions{ResourceVersion: "0", LabelSelector: selector.String()})
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all, err
}

func typeOf(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: metricsv1beta1.SchemeGroupVersion.String()}
}

// metaOf is what metrics have of the metadata of what they are about.
func metaOf(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, Labels: m.Labels, CreationTimestamp: metav1.Now()}
}

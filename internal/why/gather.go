package why

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kinds are the names that a kind goes by, its own first.
var kinds = map[string][]string{
	"pod":                   {"pod", "pods", "po"},
	"deployment":            {"deployment", "deployments", "deploy", "deployment.apps", "deployments.apps"},
	"namespace":             {"namespace", "namespaces", "ns"},
	"persistentvolumeclaim": {"persistentvolumeclaim", "persistentvolumeclaims", "pvc"},
	"service":               {"service", "services", "svc"},
	"node":                  {"node", "nodes", "no"},
}

// Parse takes KIND/NAME apart. Errors are of the command line.
func Parse(arg string) (kind, name string, err error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("%q is not of the form KIND/NAME, such as pod/web-0", arg)
	}
	for k, names := range kinds {
		if slices.Contains(names, strings.ToLower(kind)) {
			return k, name, nil
		}
	}
	return "", "", fmt.Errorf("nothing can be said of the kind %q; of these it can: pod, deploy, ns, pvc, svc, node", kind)
}

// Ask reads what is needed about one object and answers. namespace is where it is, of kinds that have one.
func Ask(ctx context.Context, door client.Reader, kind, namespace, name string, now time.Time) (*Answer, error) {
	g := &gatherer{ctx: ctx, door: door}
	var a *Answer
	switch kind {
	case "pod":
		p := one[*corev1.Pod](g, client.Pods, namespace, name)
		if g.err == nil {
			a = Pod(g.pod(p, now, nil))
		}
	case "deployment":
		d := one[*appsv1.Deployment](g, client.Deployments, namespace, name)
		if g.err == nil {
			a = Deployment(g.deployment(d, now))
		}
	case "namespace":
		ns := one[*corev1.Namespace](g, client.Namespaces, "", name)
		if g.err == nil {
			a = Namespace(ns, g.left(ns))
		}
	case "persistentvolumeclaim":
		c := one[*corev1.PersistentVolumeClaim](g, client.PersistentVolumeClaims, namespace, name)
		if g.err == nil {
			a = Claim(g.claim(c))
		}
	case "service":
		s := one[*corev1.Service](g, client.Services, namespace, name)
		if g.err == nil {
			a = Service(ServiceFacts{Service: s, Pods: all[*corev1.Pod](g, client.Pods, namespace, metav1.ListOptions{}),
				Slices: all[*discoveryv1.EndpointSlice](g, client.EndpointSlices, namespace, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})})
		}
	case "node":
		n := one[*corev1.Node](g, client.Nodes, "", name)
		if g.err == nil {
			a = Node(NodeFacts{Node: n, Pods: len(all[*corev1.Pod](g, client.Pods, "", metav1.ListOptions{FieldSelector: "spec.nodeName=" + name}))})
		}
	default:
		return nil, fmt.Errorf("nothing can be said of the kind %q", kind)
	}
	return a, g.err
}

// gatherer reads until something cannot be read; what is asked for afterwards is empty.
type gatherer struct {
	ctx  context.Context //nolint:containedctx // lives as long as one call of Ask
	door client.Reader
	err  error
}

func one[T api.Object](g *gatherer, r schema.GroupVersionResource, namespace, name string) (obj T) {
	if g.err == nil {
		obj, g.err = client.Get[T](g.ctx, g.door, r, namespace, name)
	}
	return obj
}

func all[T api.Object](g *gatherer, r schema.GroupVersionResource, namespace string, opts metav1.ListOptions) (list []T) {
	if g.err == nil {
		list, g.err = client.ListAll[T](g.ctx, g.door, r, namespace, opts)
	}
	return list
}

// pod gathers the facts of a pod; rest, if not nil, are those of another pod of the namespace, most of which are the same.
func (g *gatherer) pod(p *corev1.Pod, now time.Time, rest *PodFacts) PodFacts {
	f := PodFacts{Pod: p, Now: now}
	if rest != nil {
		f.Nodes, f.Pods, f.Claims = rest.Nodes, rest.Pods, rest.Claims
	} else {
		f.Nodes = all[*corev1.Node](g, client.Nodes, "", metav1.ListOptions{})
		f.Claims = all[*corev1.PersistentVolumeClaim](g, client.PersistentVolumeClaims, p.Namespace, metav1.ListOptions{})
		if p.Spec.NodeName == "" {
			f.Pods = all[*corev1.Pod](g, client.Pods, "", metav1.ListOptions{})
		}
	}
	if p.Spec.NodeName != "" && p.Status.Phase == corev1.PodPending {
		f.Lacks = g.lacking(p)
	}
	return f
}

// lacking are the objects that a pod names and there are not.
func (g *gatherer) lacking(p *corev1.Pod) (out []string) {
	asked := map[string]bool{}
	pods.References(p, func(resource, name string) {
		singular := map[string]string{"secrets": "secret", "configmaps": "configmap", "serviceaccounts": "serviceaccount"}[resource]
		what := singular + " " + name
		if singular == "" || asked[what] || g.err != nil || optional(p, resource, name) {
			return
		}
		asked[what] = true
		_, err := g.door.Get(g.ctx, client.Ref{Resource: schema.GroupVersionResource{Version: "v1", Resource: resource}, Namespace: p.Namespace, Name: name}, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			out = append(out, what)
		}
	})
	return out
}

// optional reports whether a pod names an image pull secret only, which it may start without, or says itself that an object may lack.
func optional(p *corev1.Pod, resource, name string) bool {
	if resource == "secrets" && slices.ContainsFunc(p.Spec.ImagePullSecrets, func(r corev1.LocalObjectReference) bool { return r.Name == name }) {
		return true
	}
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Secret != nil && resource == "secrets" && v.Secret.SecretName == name && v.Secret.Optional != nil && *v.Secret.Optional ||
			v.ConfigMap != nil && resource == "configmaps" && v.ConfigMap.Name == name && v.ConfigMap.Optional != nil && *v.ConfigMap.Optional
	})
}

func (g *gatherer) deployment(d *appsv1.Deployment, now time.Time) DeploymentFacts {
	f := DeploymentFacts{Deployment: d, Quotas: all[*corev1.ResourceQuota](g, client.ResourceQuotas, d.Namespace, metav1.ListOptions{})}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		g.err = err
		return f
	}
	for _, p := range all[*corev1.Pod](g, client.Pods, d.Namespace, metav1.ListOptions{LabelSelector: selector.String()}) {
		if c := pods.FindCondition(p.Status.Conditions, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue || p.DeletionTimestamp != nil {
			continue
		}
		var rest *PodFacts
		for i := range f.Pods {
			if (f.Pods[i].Pod.Spec.NodeName == "") == (p.Spec.NodeName == "") {
				rest = &f.Pods[i]
			}
		}
		f.Pods = append(f.Pods, g.pod(p, now, rest))
	}
	return f
}

func (g *gatherer) claim(c *corev1.PersistentVolumeClaim) ClaimFacts {
	f := ClaimFacts{Claim: c, Volumes: all[*corev1.PersistentVolume](g, client.PersistentVolumes, "", metav1.ListOptions{})}
	for _, p := range all[*corev1.Pod](g, client.Pods, c.Namespace, metav1.ListOptions{}) {
		if pods.HasClaim(p, c) || slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == c.Name
		}) {
			f.Users = append(f.Users, p.Name)
		}
	}
	slices.Sort(f.Users)
	for _, e := range all[*corev1.Event](g, client.Events, c.Namespace, metav1.ListOptions{FieldSelector: "involvedObject.name=" + c.Name}) {
		if e.InvolvedObject.UID == c.UID {
			f.Events = append(f.Events, e)
		}
	}
	if c.Spec.StorageClassName != nil && *c.Spec.StorageClassName != "" && g.err == nil {
		class, err := client.Get[*storagev1.StorageClass](g.ctx, g.door, client.StorageClasses, "", *c.Spec.StorageClassName)
		if err == nil {
			f.Class = class
		} else if !apierrors.IsNotFound(err) {
			g.err = err
		}
	}
	return f
}

// left are the objects of a namespace that finalizers keep, as far as the client tells what is served.
func (g *gatherer) left(ns *corev1.Namespace) (out []string) {
	d, ok := g.door.(client.Discoverer)
	if !ok || ns.DeletionTimestamp == nil || g.err != nil {
		return nil
	}
	served, err := d.Served(g.ctx, nil)
	if err != nil {
		g.err = err
		return nil
	}
	for _, k := range served.All() {
		if !k.Namespaced || k.View != nil || !k.Can("list") {
			continue
		}
		l, err := g.door.List(g.ctx, client.Ref{Resource: k.GVR(), Namespace: ns.Name, Metadata: true}, metav1.ListOptions{})
		if err != nil {
			continue // who does not answer is named by the namespace's conditions
		}
		for _, obj := range l.Items {
			for _, f := range obj.GetFinalizers() {
				out = append(out, fmt.Sprintf("the finalizer of %s %s keeps it: %s", k.GR(), obj.GetName(), f))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

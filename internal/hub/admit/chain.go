package admit

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit/podsecurity"
	"sampan.dev/internal/hub/authz"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Config is what the plugins need.
type Config struct {
	Door       client.Interface // the hub's own
	Authorizer authz.Authorizer
	RBAC       *authz.RBAC

	// Seconds that pods tolerate a node that is not ready or unreachable; zero means 300.
	NotReadySeconds, UnreachableSeconds int64
	// DenyExternalIPs refuses Services with external addresses (CVE-2020-8554).
	DenyExternalIPs bool
	// Outside asks others about a write: they are rooms of their own, made by the hub.
	Outside Outside
	// Settings are the plugins' own.
	Settings Settings
	// Disable names plugins to leave out, Enable those to run that are off by default.
	Disable, Enable map[string]bool
}

// Outside are the plugins that ask webhooks and policies. Nil stands for one that has nobody to ask.
type Outside struct {
	MutatingPolicy, MutatingWebhook     Mutator
	ValidatingPolicy, ValidatingWebhook Validator
	// PolicyParameters holds the author of a policy or a binding to his own rights.
	PolicyParameters Validator
}

// off are the plugins of the chain that are off by default.
var off = []string{
	"AlwaysAdmit", "AlwaysPullImages", "EventRateLimit", "ExtendedResourceToleration", "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology",
	"NamespaceAutoProvision", "NamespaceExists", "PodNodeSelector", "PodTolerationRestriction",
}

// absent holds the place of a plugin of that name. It neither changes nor refuses anything.
type absent string

func (a absent) Name() string { return string(a) }

func orAbsent[P Plugin](p P, name string) Plugin {
	if Plugin(p) == nil {
		return absent(name)
	}
	return p
}

// New makes the chain, in upstream's order.
func New(cfg Config) Chain {
	look := lookup{cfg.Door}
	all := []Plugin{
		alwaysAdmit{},
		&autoProvision{look, cfg.Door},
		newNamespaceLifecycle(look),
		&namespaceExists{look},
		hardAntiAffinity{},
		newLimitRanger(look),
		&serviceAccount{look},
		&nodeRestriction{look, cfg.Authorizer},
		taintNodes{},
		alwaysPullImages{},
		newImagePolicy(cfg.Settings.Images),
		&podSecurity{look, podsecurity.New(cfg.Settings.PodSecurity)},
		&nodeSelectors{look, cfg.Settings.NodeSelectors},
		&priority{look},
		newDefaultTolerations(cfg.NotReadySeconds, cfg.UnreachableSeconds),
		&tolerationRestriction{look, cfg.Settings.Tolerations},
		newEventRates(cfg.Settings.EventLimits),
		extendedTolerations{},
		&defaultStorageClass{look},
		storageInUse{},
		groupInUse{},
		&claimResize{look},
		runtimeClass{look},
		csrRequester{},
		&certificateApproval{cfg.Authorizer},
		&certificateSigning{cfg.Authorizer},
		&podCertificateSigning{cfg.Authorizer},
		&trustBundleAttest{cfg.Authorizer},
		certificateSubject{},
		&defaultIngressClass{look},
		&podTopologyLabels{look},
		&declaredFeatures{look},
		&podResize{look},
		orAbsent(cfg.Outside.MutatingPolicy, "MutatingAdmissionPolicy"),
		orAbsent(cfg.Outside.MutatingWebhook, "MutatingAdmissionWebhook"),
		&escalation{look, cfg.Authorizer, cfg.RBAC},
		&claimRights{look, cfg.Authorizer},
		notYet{},
		orAbsent(cfg.Outside.PolicyParameters, "PolicyParameters"),
		orAbsent(cfg.Outside.ValidatingPolicy, "ValidatingAdmissionPolicy"),
		orAbsent(cfg.Outside.ValidatingWebhook, "ValidatingAdmissionWebhook"),
	}
	if cfg.Enable["AlwaysDeny"] {
		all = append(all, alwaysDeny{})
	}
	if cfg.DenyExternalIPs {
		all = append(all, denyExternalIPs{})
	}
	all = append(all, newResourceQuota(look, cfg.Door, cfg.Settings.Limited)) // what nobody refuses any more is charged
	out := all[:0]
	for _, p := range all {
		if !cfg.Disable[p.Name()] && (cfg.Enable[p.Name()] || !slices.Contains(off, p.Name())) {
			out = append(out, p)
		}
	}
	return newChain(out)
}

// is tells whether the request is about a resource and one of its subresources.
func (a *Attributes) is(group, resource, sub string) bool {
	return a.Kind.Group == group && a.Kind.Resource == resource && a.Subresource == sub
}

// forbidden refuses a request with upstream's wording: `pods "x" is forbidden: …`.
func forbidden(a *Attributes, format string, args ...any) error {
	return Forbidden(a, fmt.Errorf(format, args...))
}

// Forbidden is the 403 of a write; what is one already stays as it is.
func Forbidden(a *Attributes, err error) error {
	if apierrors.IsForbidden(err) {
		return err
	}
	return apierrors.NewForbidden(a.As().GR(), a.displayName(), err)
}

// displayName is the name to print: that of the request, of the object, or the prefix it will be made from.
func (a *Attributes) displayName() string {
	if a.Name != "" {
		return a.Name
	}
	if o, ok := a.Object.(metav1.Object); ok {
		if o.GetName() != "" {
			return o.GetName()
		}
		if o.GetGenerateName() != "" {
			return o.GetGenerateName()
		}
		return "Unknown"
	}
	if a.Object != nil {
		return "Unknown/errorGettingName"
	}
	return "Unknown"
}

// lookup reads objects for plugins.
type lookup struct{ door client.Reader }

// find reads one object from the cache as it stands, and up to date when it is not there.
func find[T api.Object](ctx context.Context, l lookup, res schema.GroupVersionResource, namespace, name string) (T, error) {
	var zero T
	if name == "" { // no object has it
		return zero, apierrors.NewNotFound(res.GroupResource(), name)
	}
	ref := client.Ref{Resource: res, Namespace: namespace, Name: name}
	obj, err := l.door.Get(ctx, ref, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		obj, err = l.door.Get(ctx, ref, metav1.GetOptions{})
	}
	if err != nil {
		return zero, err
	}
	t, ok := obj.(T)
	if !ok {
		return zero, apierrors.NewInternalError(fmt.Errorf("%s %s is %T", res.Resource, name, obj))
	}
	return t, nil
}

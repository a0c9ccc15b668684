package group

import (
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	storagev1 "k8s.io/api/storage/v1"
	storagemigrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Group is one API group of upstream's.
type Group struct {
	Name string // "" for core
	// Versions register the types of each version that this program knows, with a scheme; the preferred version comes first.
	// None: nothing of the group is known yet, and it only holds its place.
	Versions []func(*runtime.Scheme) error
	// Described groups have their types in the OpenAPI documents and in the schema of server-side apply. The others' types are
	// decoded and encoded, but no path takes them: the documents, which are embedded, are the smaller for it.
	Described bool
}

type versions = []func(*runtime.Scheme) error

// All is every group in upstream's order of preference, in which clients look short names up.
var All = []Group{
	{Name: "", Versions: versions{corev1.AddToScheme}, Described: true},
	{Name: "apiregistration.k8s.io", Versions: versions{apiregistrationv1.AddToScheme}, Described: true},
	{Name: "apps", Versions: versions{appsv1.AddToScheme}, Described: true},
	{Name: "events.k8s.io", Versions: versions{eventsv1.AddToScheme}, Described: true},
	{Name: "authentication.k8s.io", Versions: versions{authenticationv1.AddToScheme}, Described: true},
	{Name: "authorization.k8s.io", Versions: versions{authorizationv1.AddToScheme}, Described: true},
	{Name: "autoscaling", Versions: versions{autoscalingv2.AddToScheme, autoscalingv1.AddToScheme}, Described: true},
	{Name: "batch", Versions: versions{batchv1.AddToScheme}, Described: true},
	{Name: "certificates.k8s.io", Versions: versions{certificatesv1.AddToScheme}, Described: true},
	{Name: "networking.k8s.io", Versions: versions{networkingv1.AddToScheme}, Described: true},
	{Name: "policy", Versions: versions{policyv1.AddToScheme}, Described: true},
	{Name: "rbac.authorization.k8s.io", Versions: versions{rbacv1.AddToScheme}, Described: true},
	{Name: "storage.k8s.io", Versions: versions{storagev1.AddToScheme}, Described: true},
	{Name: "admissionregistration.k8s.io", Versions: versions{admissionregistrationv1.AddToScheme}, Described: true},
	{Name: "apiextensions.k8s.io", Versions: versions{apiextensionsv1.AddToScheme}, Described: true},
	{Name: "scheduling.k8s.io", Versions: versions{schedulingv1.AddToScheme, schedulingv1alpha3.AddToScheme}, Described: true},
	{Name: "coordination.k8s.io", Versions: versions{coordinationv1.AddToScheme}, Described: true},
	{Name: "node.k8s.io", Versions: versions{nodev1.AddToScheme}, Described: true},
	{Name: "discovery.k8s.io", Versions: versions{discoveryv1.AddToScheme}, Described: true},
	{Name: "resource.k8s.io", Versions: versions{resourcev1.AddToScheme}, Described: true},
	{Name: "flowcontrol.apiserver.k8s.io", Versions: versions{flowcontrolv1.AddToScheme}, Described: true},
	{Name: "storagemigration.k8s.io", Versions: versions{storagemigrationv1.AddToScheme}, Described: true},

	{Name: "admission.k8s.io", Versions: versions{admissionv1.AddToScheme, admissionv1beta1.AddToScheme}}, // what webhooks are sent; no path serves it
}

// Rank is the place of a group in the order; groups that are not upstream's come after all of those.
func Rank(name string) int {
	if i := slices.IndexFunc(All, func(g Group) bool { return g.Name == name }); i >= 0 {
		return i
	}
	return len(All)
}

// AddToScheme registers the types of the groups that want accepts.
func AddToScheme(s *runtime.Scheme, want func(*Group) bool) error {
	for i := range All {
		if !want(&All[i]) {
			continue
		}
		for _, add := range All[i].Versions {
			if err := add(s); err != nil {
				return err
			}
		}
	}
	return nil
}

package admit

import (
	"context"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeRestriction holds a kubelet to its own Node, its own pods and its own leases, where the Node authorizer cannot see
// what is being written.
type nodeRestriction struct {
	look  lookup
	authz authz.Authorizer
}

func (*nodeRestriction) Name() string { return "NodeRestriction" }

func (n *nodeRestriction) Admit(ctx context.Context, a *Attributes) error {
	node, isNode := authz.NodeName(a.User)
	if !isNode || a.Operation == Connect {
		return nil
	}
	if node == "" {
		return forbidden(a, "could not determine node from user %q", a.User.Name)
	}
	switch a.Kind.Group + "/" + a.Kind.Resource {
	case "/pods":
		return n.pod(ctx, node, a)
	case "/nodes":
		return n.node(node, a)
	case "/persistentvolumeclaims":
		if a.Subresource != "status" {
			return forbidden(a, "may only update PVC status")
		}
		return n.claimStatus(node, a)
	case "/serviceaccounts":
		return n.token(ctx, node, a)
	case "coordination.k8s.io/leases":
		if a.Namespace != corev1.NamespaceNodeLease {
			return forbidden(a, "can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
		}
		return own(node, a, "node lease")
	case "storage.k8s.io/csinodes":
		return own(node, a, "CSINode")
	case "resource.k8s.io/resourceslices":
		return slice(node, a)
	case csrGroup + "/podcertificaterequests":
		return n.podCertificate(ctx, node, a)
	case csrGroup + "/" + csrResource:
		return n.csr(node, a)
	case "discovery.k8s.io/endpointslices":
		return n.dnsSlice(ctx, node, a)
	}
	return nil
}

// own demands that the object is named like the node.
func own(node string, a *Attributes, what string) error {
	name := a.Name
	if o, ok := a.Object.(metav1.Object); ok && a.Operation == Create {
		name = o.GetName()
	}
	if name != node {
		return forbidden(a, "can only access %s with the same name as the requesting node", what)
	}
	return nil
}

func (n *nodeRestriction) pod(ctx context.Context, node string, a *Attributes) error {
	switch {
	case a.Subresource == "" && a.Operation == Create:
		return n.mirror(ctx, node, a)
	case a.Subresource == "" && a.Operation == Delete:
		return n.bound(ctx, node, a, `node %q can only delete pods with spec.nodeName set to itself`)
	case a.Subresource == "":
		return forbidden(a, "unexpected operation %q, node %q can only create and delete mirror pods", a.Operation, node)
	case a.Subresource == "status" && a.Operation == Update:
		return n.podStatus(node, a)
	case a.Subresource == "eviction" && a.Operation == Create:
		return n.bound(ctx, node, a, `node %s can only evict pods with spec.nodeName set to itself`)
	case a.Subresource == "status":
		return forbidden(a, "unexpected operation %q", a.Operation)
	case a.Subresource == "eviction":
		return forbidden(a, "unexpected operation %s", a.Operation)
	}
	return forbidden(a, "unexpected pod subresource %q, only 'status' and 'eviction' are allowed", a.Subresource)
}

func (n *nodeRestriction) bound(ctx context.Context, node string, a *Attributes, format string) error {
	pod, ok := a.Old.(*corev1.Pod)
	if !ok {
		name := a.Name
		if name == "" {
			if o, ok := a.Object.(metav1.Object); ok {
				name = o.GetName()
			}
		}
		if name == "" {
			return forbidden(a, "could not determine pod from request data")
		}
		var err error
		if pod, err = find[*corev1.Pod](ctx, n.look, client.Pods, a.Namespace, name); err != nil {
			if apierrors.IsNotFound(err) {
				return err
			}
			return forbidden(a, "%w", err)
		}
	}
	if pod.Spec.NodeName != node {
		return forbidden(a, format, node)
	}
	return nil
}

func (n *nodeRestriction) mirror(ctx context.Context, node string, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Object)
	}
	if !pods.IsMirror(pod) {
		return forbidden(a, "pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return forbidden(a, "node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := n.mirrorOwner(ctx, node, a, pod); err != nil {
		return err
	}
	if r := apiReference(pod); r != "" {
		return forbidden(a, "node %q can not create pods that reference %s", node, r)
	}
	return nil
}

func (n *nodeRestriction) mirrorOwner(ctx context.Context, node string, a *Attributes, pod *corev1.Pod) error {
	switch len(pod.OwnerReferences) {
	case 0:
		return forbidden(a, "node %q can only create pods with an owner reference set to itself", node)
	case 1:
	default:
		return forbidden(a, "node %q can only create pods with a single owner reference set to itself", node)
	}
	o := pod.OwnerReferences[0]
	if o.APIVersion != "v1" || o.Kind != "Node" || o.Name != node {
		return forbidden(a, "node %q can only create pods with an owner reference set to itself", node)
	}
	if o.Controller == nil || !*o.Controller {
		return forbidden(a, "node %q can only create pods with a controller owner reference set to itself", node)
	}
	if o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion {
		return forbidden(a, "node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	obj, err := find[*corev1.Node](ctx, n.look, client.Nodes, "", node)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return forbidden(a, "error looking up node %s to verify uid: %v", node, err)
	}
	if o.UID != obj.UID {
		return forbidden(a, "node %s UID mismatch: expected %s got %s", node, o.UID, obj.UID)
	}
	return nil
}

func (n *nodeRestriction) podStatus(node string, a *Attributes) error {
	old, ok := a.Old.(*corev1.Pod)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Old)
	}
	if old.Spec.NodeName != node {
		return forbidden(a, "node %q can only update pod status for pods with spec.nodeName set to itself", node)
	}
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Object)
	}
	if !maps.Equal(old.Labels, pod.Labels) {
		return forbidden(a, "node %q cannot update labels through pod status", node)
	}
	if !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses) {
		return forbidden(a, "node %q cannot update resource claim statues", node)
	}
	if !equality.Semantic.DeepEqual(old.Status.ExtendedResourceClaimStatus, pod.Status.ExtendedResourceClaimStatus) {
		return forbidden(a, "node %q cannot update extended resource claim status", node)
	}
	return nil
}

func (n *nodeRestriction) node(node string, a *Attributes) error {
	name := a.Name
	if o, ok := a.Object.(metav1.Object); ok && name == "" {
		name = o.GetName()
	}
	if name != node {
		return forbidden(a, "node %q is not allowed to modify node %q", node, name)
	}
	if a.Operation != Create && a.Operation != Update {
		return nil
	}
	obj, ok := a.Object.(*corev1.Node)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Object)
	}
	if a.Operation == Create {
		if obj.Spec.ConfigSource != nil {
			return forbidden(a, "node %q is not allowed to create pods with a non-nil configSource", node)
		}
		if bad := forbiddenLabels(obj.Labels, nil); len(bad) > 0 {
			return forbidden(a, "node %q is not allowed to set the following labels: %s", node, strings.Join(bad, ", "))
		}
		return notTheNodes(a, node, obj, &corev1.Node{})
	}
	old, ok := a.Old.(*corev1.Node)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Old)
	}
	if obj.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(obj.Spec.ConfigSource, old.Spec.ConfigSource) {
		return forbidden(a, "node %q is not allowed to update configSource to a new non-nil configSource", node)
	}
	if !equality.Semantic.DeepEqual(obj.Spec.Taints, old.Spec.Taints) {
		return forbidden(a, "node %q is not allowed to modify taints", node)
	}
	if !equality.Semantic.DeepEqual(obj.OwnerReferences, old.OwnerReferences) {
		return forbidden(a, "node %q is not allowed to modify ownerReferences", node)
	}
	if bad := forbiddenLabels(obj.Labels, old.Labels); len(bad) > 0 {
		return forbidden(a, "is not allowed to modify labels: %s", strings.Join(bad, ", "))
	}
	return notTheNodes(a, node, obj, old)
}

// forbiddenLabels are the keys that differ and are not a node's to set, sorted.
func forbiddenLabels(labels, old map[string]string) []string {
	var bad []string
	check := func(key string) {
		domain, _, ok := strings.Cut(key, "/")
		if !ok {
			domain = ""
		}
		if within(domain, corev1.LabelNamespaceNodeRestriction) ||
			(within(domain, "kubernetes.io") || within(domain, "k8s.io")) && !kubeletLabel(key, domain) {
			bad = append(bad, key)
		}
	}
	for k, v := range labels {
		if o, ok := old[k]; !ok || o != v {
			check(k)
		}
	}
	for k := range old {
		if _, ok := labels[k]; !ok {
			check(k)
		}
	}
	slices.Sort(bad)
	return bad
}

func within(domain, of string) bool { return domain == of || strings.HasSuffix(domain, "."+of) }

func kubeletLabel(key, domain string) bool {
	switch key {
	case corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone,
		corev1.LabelFailureDomainBetaRegion, corev1.LabelInstanceType, corev1.LabelInstanceTypeStable, corev1.LabelOSStable,
		corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch":
		return true
	}
	return within(domain, corev1.LabelNamespaceSuffixKubelet) || within(domain, corev1.LabelNamespaceSuffixNode)
}

func (n *nodeRestriction) claimStatus(node string, a *Attributes) error {
	old, ok := a.Old.(*corev1.PersistentVolumeClaim)
	pvc, ok2 := a.Object.(*corev1.PersistentVolumeClaim)
	if a.Operation != Update || !ok || !ok2 {
		return forbidden(a, "unexpected operation %q", a.Operation)
	}
	old, pvc = old.DeepCopy(), pvc.DeepCopy()
	for _, c := range []*corev1.PersistentVolumeClaim{old, pvc} {
		c.TypeMeta, c.ResourceVersion, c.ManagedFields = metav1.TypeMeta{}, "", nil
		c.Status.Capacity, c.Status.Conditions, c.Status.AllocatedResources, c.Status.AllocatedResourceStatuses = nil, nil, nil, nil
	}
	if !equality.Semantic.DeepEqual(old, pvc) {
		return forbidden(a, "node %q is not allowed to update fields other than status.quantity and status.conditions", node)
	}
	return nil
}

// token lets a node have tokens for the service accounts of its pods, bound to these pods and for the audiences that their
// volumes name.
func (n *nodeRestriction) token(ctx context.Context, node string, a *Attributes) error {
	if a.Operation != Create || a.Subresource != "token" {
		return nil
	}
	tr, ok := a.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Object)
	}
	ref := tr.Spec.BoundObjectRef
	if a.Namespace == metav1.NamespaceSystem && a.Name == api.ProxyAccount && ref != nil && ref.Kind == "Node" {
		return n.proxyToken(ctx, node, a, tr)
	}
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return forbidden(a, "node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return forbidden(a, "node requested token with a pod binding without a uid")
	}
	pod, err := find[*corev1.Pod](ctx, n.look, client.Pods, a.Namespace, ref.Name)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return forbidden(a, "%w", err)
	}
	if ref.UID != pod.UID {
		return forbidden(a, "the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	}
	if pod.Spec.NodeName != node {
		return forbidden(a, "node requested token bound to a pod scheduled on a different node")
	}
	return n.audience(ctx, a, tr, pod)
}

func (n *nodeRestriction) audience(ctx context.Context, a *Attributes, tr *authenticationv1.TokenRequest, pod *corev1.Pod) error {
	audience := ""
	switch len(tr.Spec.Audiences) {
	case 0:
	case 1:
		audience = tr.Spec.Audiences[0]
	default:
		return forbidden(a, "node may only request 0 or 1 audiences")
	}
	for i := range pod.Spec.Volumes {
		if projects(&pod.Spec.Volumes[i], func(s *corev1.VolumeProjection) bool {
			return s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience
		}) {
			return nil
		}
	}
	wants, why := n.driversWant(ctx, pod, audience)
	if wants {
		return nil
	}
	if why != nil {
		return forbidden(a, "error validating audience %q: %w", audience, why)
	}
	d, _, err := n.authz.Authorize(ctx, authz.Attributes{
		User: a.User, Verb: "request-serviceaccounts-token-audience", Group: a.Kind.Group, Version: "*",
		Resource: audience, Name: a.Name, Namespace: a.Namespace,
	})
	if d == authz.Allow {
		return nil
	}
	if err != nil {
		return forbidden(a, "error authorizing %s to request tokens for audience %q: %w", a.User.Name, audience, err)
	}
	return forbidden(a, "%s is not authorized to request tokens for audience %q", a.User.Name, audience)
}

func (n *nodeRestriction) csr(node string, a *Attributes) error {
	csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if a.Operation != Create || !ok {
		return nil
	}
	if csr.Spec.SignerName != certificatesv1.KubeletServingSignerName && csr.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	req, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return forbidden(a, "unable to parse csr: %w", err)
	}
	if req.Subject.CommonName != "system:node:"+node {
		return forbidden(a, "can only create a node CSR with CN=system:node:%s", node)
	}
	return nil
}

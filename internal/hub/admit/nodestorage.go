package admit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// slice holds a node to ResourceSlices of its own devices.
func slice(node string, a *Attributes) error {
	obj, verb := a.Object, "create"
	switch a.Operation {
	case Create:
	case Delete:
		obj, verb = a.Old, "delete"
	default:
		return nil
	}
	s, ok := obj.(*resourcev1.ResourceSlice)
	if !ok {
		return forbidden(a, "unexpected type %T", obj)
	}
	if s.Spec.NodeName == nil || *s.Spec.NodeName != node {
		return forbidden(a, "can only %s ResourceSlice with the same NodeName as the requesting node", verb)
	}
	return nil
}

// podCertificate lets a node ask for certificates of its own pods, for signers that their volumes name. What may be wrong because
// the hub was told of something a moment too late is no refusal, so that the node asks again.
func (n *nodeRestriction) podCertificate(ctx context.Context, node string, a *Attributes) error {
	if a.Operation != Create {
		return forbidden(a, "unexpected operation %v", a.Operation)
	}
	if a.Subresource != "" {
		return forbidden(a, "unexpected subresource %v", a.Subresource)
	}
	r, ok := a.Object.(*certificatesv1.PodCertificateRequest)
	if !ok {
		return forbidden(a, "unexpected type %T", a.Object)
	}
	s := &r.Spec
	if string(s.NodeName) != node {
		return forbidden(a, "PodCertificateRequest.Spec.NodeName=%q, which is not the requesting node %q", s.NodeName, node)
	}
	self, err := find[*corev1.Node](ctx, n.look, client.Nodes, "", node)
	if err != nil {
		return missing(a, err, "while retrieving node %q named in the PodCertificateRequest: %w", s.NodeName, err)
	}
	name := a.Namespace + "/" + s.PodName
	if self.UID != s.NodeUID {
		return fmt.Errorf("PodCertificateRequest for pod %q names node UID %q, inconsistent with the running node (%q)", name, s.NodeUID, self.UID)
	}
	pod, err := find[*corev1.Pod](ctx, n.look, client.Pods, a.Namespace, s.PodName)
	if err != nil {
		return missing(a, err, "while retrieving pod %q named in the PodCertificateRequest: %w", name, err)
	}
	switch _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; {
	case s.PodUID != pod.UID:
		return fmt.Errorf("PodCertificateRequest for pod %q contains pod UID (%q) which differs from running pod %q", name, s.PodUID, pod.UID)
	case pod.Spec.NodeName != node:
		return forbidden(a, "pod %q is not running on node %q named in the PodCertificateRequest", name, s.NodeName)
	case mirror:
		return forbidden(a, "pod %q is a mirror pod", name)
	case s.ServiceAccountName != pod.Spec.ServiceAccountName:
		return forbidden(a, "PodCertificateRequest for pod %q contains serviceAccountName (%q) that differs from running pod (%q)", name, s.ServiceAccountName, pod.Spec.ServiceAccountName)
	}
	sa, err := find[*corev1.ServiceAccount](ctx, n.look, client.ServiceAccounts, a.Namespace, s.ServiceAccountName)
	if err != nil {
		return missing(a, err, "while retrieving service account %q named in the PodCertificateRequest: %w", a.Namespace+"/"+s.ServiceAccountName, err)
	}
	if s.ServiceAccountUID != sa.UID {
		return fmt.Errorf("PodCertificateRequest for pod %q names service account UID %q, which differs from the running service account (%q)", name, s.ServiceAccountUID, sa.UID)
	}
	return n.podSigner(ctx, a, r, pod)
}

// missing is the plain error when what was looked for is not there (yet), and a refusal when it could not be read.
func missing(a *Attributes, err error, format string, args ...any) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf(format, args...)
	}
	return forbidden(a, format, args...)
}

func (n *nodeRestriction) podSigner(ctx context.Context, a *Attributes, r *certificatesv1.PodCertificateRequest, pod *corev1.Pod) error {
	for i := range pod.Spec.Volumes {
		if projects(&pod.Spec.Volumes[i], func(s *corev1.VolumeProjection) bool {
			return s.PodCertificate != nil && s.PodCertificate.SignerName == r.Spec.SignerName
		}) {
			return nil
		}
	}
	d, _, err := n.authz.Authorize(ctx, authz.Attributes{
		User: a.User, Verb: "request-serviceaccounts-podcertificate-signer", Group: a.Kind.Group, Version: a.Kind.Version,
		Resource: strings.ReplaceAll(r.Spec.SignerName, "/", ":"), Name: r.Spec.ServiceAccountName, Namespace: a.Namespace,
	})
	if d == authz.Allow {
		return nil
	}
	if err != nil {
		return forbidden(a, "error authorizing %s to request podcertificaterequests for signer %q: %w", a.User.Name, r.Spec.SignerName, err)
	}
	return forbidden(a, "pod %q does not mount a podCertificate projected volume for signer %q", a.Namespace+"/"+r.Spec.PodName, r.Spec.SignerName)
}

// driversWant tells whether a driver of a volume of the pod wants tokens for the audience (CSIDriver.spec.tokenRequests).
func (n *nodeRestriction) driversWant(ctx context.Context, pod *corev1.Pod, audience string) (bool, error) {
	var errs []error
	for i := range pod.Spec.Volumes {
		name, err := n.driverOf(ctx, pod, &pod.Spec.Volumes[i])
		if err == nil && name == "" {
			continue
		}
		var d *storagev1.CSIDriver
		if err == nil {
			d, err = find[*storagev1.CSIDriver](ctx, n.look, client.CSIDrivers, "", name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.ContainsFunc(d.Spec.TokenRequests, func(t storagev1.TokenRequest) bool { return t.Audience == audience }) {
			return true, nil
		}
	}
	return false, errors.Join(errs...)
}

// driverOf names the CSI driver of a volume; "" for one that has none.
func (n *nodeRestriction) driverOf(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	claim := ""
	switch {
	case v.CSI != nil:
		return v.CSI.Driver, nil
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		claim = pod.Name + "-" + v.Name
	case v.PersistentVolumeClaim != nil:
		claim = v.PersistentVolumeClaim.ClaimName
	default:
		return "", nil
	}
	c, err := find[*corev1.PersistentVolumeClaim](ctx, n.look, client.PersistentVolumeClaims, pod.Namespace, claim)
	if err != nil {
		return "", err
	}
	pv, err := find[*corev1.PersistentVolume](ctx, n.look, client.PersistentVolumes, "", c.Spec.VolumeName)
	if err != nil || pv.Spec.CSI == nil {
		return "", err
	}
	return pv.Spec.CSI.Driver, nil
}

package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// approver decides on kubelets' requests: for client certificates by asking whether the requester may have one, for serving
// certificates by what is known of the node and not said by it.
type approver struct {
	loop.Env
	policy   ServingPolicy
	began    time.Time
	requests *cache.Informer[*csr]
	nodes    *cache.Informer[*corev1.Node]
}

// NewApprover makes the certificatesigningrequest-approving-controller. Account: certificate-controller.
func NewApprover(env loop.Env, policy ServingPolicy) loop.Runner {
	queue := loop.NewQueue()
	a := &approver{
		Env:      env,
		policy:   policy,
		began:    time.Now(),
		requests: cache.For[*csr](env.Informers, client.CSRs, cache.Options{}),
		nodes:    cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{}),
	}
	a.requests.Handle(loop.Enqueue[*csr](queue))
	// A kubelet may ask before its node is there, and an administrator grant what it asked for.
	again := func(n *corev1.Node) {
		for _, c := range a.requests.List("") {
			if c.Spec.SignerName == certificatesv1.KubeletServingSignerName && c.Spec.Username == "system:node:"+n.Name && len(c.Status.Conditions) == 0 {
				queue.Add(c.Name)
			}
		}
	}
	a.nodes.Handle(cache.Handler[*corev1.Node]{Add: again, Update: func(old, n *corev1.Node) {
		if old.Annotations[api.AnnotationServingNames] != n.Annotations[api.AnnotationServingNames] {
			again(n)
		}
	}})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{a.requests.Synced(), a.nodes.Synced()}, Reconcile: a.reconcile,
	}
}

func (a *approver) reconcile(ctx context.Context, name string) (time.Duration, error) {
	c, ok := a.requests.Get("", name)
	if !ok || len(c.Status.Certificate) > 0 || has(c, certificatesv1.CertificateApproved) || has(c, certificatesv1.CertificateDenied) {
		return 0, nil
	}
	req, err := parseRequest(c.Spec.Request)
	if err != nil {
		a.Log.Warn("unable to parse csr", "csr", name, "err", err)
		return 0, nil
	}
	switch c.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return 0, a.client(ctx, c, req)
	case certificatesv1.KubeletServingSignerName:
		return 0, a.serving(ctx, c, req)
	}
	return 0, nil
}

func (a *approver) client(ctx context.Context, c *csr, req *x509.CertificateRequest) error {
	if checkKubeletClient(req, c.Spec.Usages) != nil {
		return nil
	}
	type way struct{ sub, message string }
	ways := []way{{"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."}}
	if c.Spec.Username == req.Subject.CommonName {
		ways = slices.Insert(ways, 0, way{"selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."})
	}
	for _, w := range ways {
		ok, err := a.may(ctx, c, w.sub)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if w.sub == "nodeclient" {
			why, err := a.taken(ctx, req.Subject.CommonName)
			if err != nil {
				return err
			}
			if why != "" {
				a.Log.Warn("denying a client certificate", "csr", c.Name, "user", c.Spec.Username, "why", why)
				return a.decide(ctx, c, certificatesv1.CertificateDenied, "NodeIsAlive", why)
			}
		}
		return a.approve(ctx, c, w.message)
	}
	a.Log.Info("recognized csr but subject access review was not approved", "csr", c.Name, "user", c.Spec.Username)
	return nil
}

func (a *approver) may(ctx context.Context, c *csr, sub string) (bool, error) {
	sar := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: c.Spec.Username, UID: c.Spec.UID, Groups: c.Spec.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: "certificates.k8s.io", Resource: "certificatesigningrequests", Verb: "create", Subresource: sub, Version: "*",
		},
	}}
	for k, v := range c.Spec.Extra {
		if sar.Spec.Extra == nil {
			sar.Spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		sar.Spec.Extra[k] = authorizationv1.ExtraValue(v)
	}
	out, err := a.Door.Create(ctx, client.Ref{Resource: client.SubjectAccessReviews}, sar, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("review the rights of %s: %w", c.Spec.Username, err)
	}
	answer, ok := out.(*authorizationv1.SubjectAccessReview)
	return ok && answer.Status.Allowed, nil
}

// serving approves a serving certificate that a node asks for itself, when every name and address in it is proved to be the
// node's. Upstream leaves all of these to an administrator, and so does this what is not proved.
func (a *approver) serving(ctx context.Context, c *csr, req *x509.CertificateRequest) error {
	if checkKubeletServing(req, c.Spec.Usages) != nil || c.Spec.Username != req.Subject.CommonName || !slices.Contains(c.Spec.Groups, "system:nodes") {
		return nil
	}
	node, ok := a.nodes.Get("", strings.TrimPrefix(req.Subject.CommonName, "system:node:"))
	if !ok {
		return nil // its arrival queues the request again
	}
	if why := a.policy.refuse(servedBy(node, c), req); why != "" {
		a.Log.Info("not approving a serving certificate: an administrator may, or grant the name with an annotation of the node",
			"csr", c.Name, "node", node.Name, "why", why, "annotation", api.AnnotationServingNames)
		return nil
	}
	return a.approve(ctx, c, "Auto approving kubelet serving certificate: its names and addresses are those of the node.")
}

func (a *approver) approve(ctx context.Context, c *csr, message string) error {
	return a.decide(ctx, c, certificatesv1.CertificateApproved, "AutoApproved", message)
}

func (a *approver) decide(ctx context.Context, c *csr, as certificatesv1.RequestConditionType, reason, message string) error {
	c = c.DeepCopy()
	c.Status.Conditions = append(c.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: as, Status: corev1.ConditionTrue, Reason: reason, Message: message,
	})
	_, err := a.Door.Update(ctx, client.Ref{Resource: client.CSRs, Name: c.Name, Subresource: "approval"}, c, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("error updating approval for csr: %w", err)
	}
	return nil
}

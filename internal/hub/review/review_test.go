package review_test

import (
	"context"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/hubtest"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func ask[T runtime.Object](ctx context.Context, door client.Interface, res, group, namespace string, obj T) (T, error) {
	out, err := door.Create(ctx, client.Ref{Resource: schema.GroupVersionResource{Group: group, Version: "v1", Resource: res}, Namespace: namespace}, obj, metav1.CreateOptions{})
	t, _ := out.(T)
	return t, err
}

const zGroup, nGroup = "authorization.k8s.io", "authentication.k8s.io"

func TestAccessReviews(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	pods := &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: "default"}
	sched := api.User{Name: "system:kube-scheduler", Groups: []string{"system:authenticated"}}

	r, err := ask(ctx, h.Root, "subjectaccessreviews", zGroup, "", &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: sched.Name, ResourceAttributes: pods}})
	if err != nil || !r.Status.Allowed || r.Status.Reason != `RBAC: allowed by ClusterRoleBinding "system:kube-scheduler" of ClusterRole "system:kube-scheduler" to User "system:kube-scheduler"` {
		t.Errorf("%v %v", r, err)
	}
	s, err := ask(ctx, h.As(sched), "selfsubjectaccessreviews", zGroup, "", &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "delete", Resource: "nodes"}}})
	if err != nil || s.Status.Allowed {
		t.Errorf("%v %v", s, err)
	}
	l, err := ask(ctx, h.Root, "localsubjectaccessreviews", zGroup, "default", &authorizationv1.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: authorizationv1.SubjectAccessReviewSpec{User: sched.Name, ResourceAttributes: pods}})
	if err != nil || !l.Status.Allowed {
		t.Errorf("%v %v", l, err)
	}
	node := &authorizationv1.ResourceAttributes{Verb: "watch", Resource: "pods", FieldSelector: &authorizationv1.FieldSelectorAttributes{
		Requirements: []metav1.FieldSelectorRequirement{{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpIn, Values: []string{"n1"}}}}}
	r, err = ask(ctx, h.Root, "subjectaccessreviews", zGroup, "", &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:node:n1", Groups: []string{"system:nodes"}, ResourceAttributes: node}})
	if err != nil || !r.Status.Allowed {
		t.Errorf("%v %v", r, err)
	}
	for _, c := range []struct {
		name   string
		fields *authorizationv1.FieldSelectorAttributes
		labels *authorizationv1.LabelSelectorAttributes
		want   string
	}{
		{"fine", &authorizationv1.FieldSelectorAttributes{RawSelector: "a=b"}, &authorizationv1.LabelSelectorAttributes{RawSelector: "a in (b)"}, ""},
		{"raw fields", &authorizationv1.FieldSelectorAttributes{RawSelector: "x"}, nil, "spec.resourceAttributes.fieldSelector ignored due to parse error"},
		{"one of two", nil, &authorizationv1.LabelSelectorAttributes{Requirements: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "X"}, {Key: "b", Operator: "Exists"}}},
			"spec.resourceAttributes.labelSelector partially ignored due to parse error"},
		{"both", &authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{{Key: "a", Operator: "Exists"}}}, &authorizationv1.LabelSelectorAttributes{RawSelector: "("},
			"spec.resourceAttributes.fieldSelector ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to parse error"},
	} {
		asked := &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", FieldSelector: c.fields, LabelSelector: c.labels}
		s, err := ask(ctx, h.Root, "selfsubjectaccessreviews", zGroup, "", &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: asked}})
		if err != nil || !s.Status.Allowed || s.Status.EvaluationError != c.want {
			t.Errorf("%s: %+v %v, want %q", c.name, s, err, c.want)
		}
	}
	rules, err := ask(ctx, h.As(sched), "selfsubjectrulesreviews", zGroup, "", &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}})
	if err != nil || len(rules.Status.ResourceRules) < 10 || len(rules.Status.NonResourceRules) == 0 || rules.Status.Incomplete {
		t.Errorf("%v %v", rules, err)
	}
	who, err := ask(ctx, h.As(sched), "selfsubjectreviews", nGroup, "", &authenticationv1.SelfSubjectReview{})
	if err != nil || who.Status.UserInfo.Username != sched.Name || who.Status.UserInfo.Groups[0] != "system:authenticated" {
		t.Errorf("%v %v", who, err)
	}
}

func TestTokenRequest(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	sa, err := client.Create(ctx, h.Root, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "robot"}})
	if err != nil {
		t.Fatal(err)
	}
	pod, err := client.Create(ctx, h.Root, client.Pods, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"},
		Spec:       corev1.PodSpec{ServiceAccountName: "robot", NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := func(door client.Interface, account string, spec authenticationv1.TokenRequestSpec, meta metav1.ObjectMeta) (*authenticationv1.TokenRequest, error) {
		out, err := door.Create(ctx, client.Ref{Resource: client.ServiceAccounts, Namespace: "default", Name: account, Subresource: "token"},
			&authenticationv1.TokenRequest{ObjectMeta: meta, Spec: spec}, metav1.CreateOptions{})
		r, _ := out.(*authenticationv1.TokenRequest)
		return r, err
	}
	seconds := func(n int64) *int64 { return &n }
	bound := &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: pod.UID}
	none := metav1.ObjectMeta{}

	r, err := request(h.Root, "robot", authenticationv1.TokenRequestSpec{}, none)
	if err != nil || r.Status.Token == "" || r.Name != "robot" || r.UID != sa.UID || *r.Spec.ExpirationSeconds != 3600 || r.Spec.Audiences[0] != hubtest.Issuer {
		t.Fatalf("%v %v", r, err)
	}
	// The life of a token is its caller's field, also when it was left to the server.
	if m := r.ManagedFields; len(m) != 1 || string(m[0].FieldsV1.Raw) != `{"f:spec":{"f:expirationSeconds":{}}}` {
		t.Errorf("managed fields %v", m)
	}
	review, err := ask(ctx, h.Root, "tokenreviews", nGroup, "", &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: r.Status.Token}})
	if err != nil || !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:default:robot" || review.Status.Audiences[0] != hubtest.Issuer {
		t.Errorf("%v %v", review, err)
	}
	review, err = ask(ctx, h.Root, "tokenreviews", nGroup, "", &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "x.y.z"}})
	if err != nil || review.Status.Authenticated || review.Status.Error != "invalid bearer token" {
		t.Errorf("%v %v", review, err)
	}

	for _, c := range []struct {
		name string
		spec authenticationv1.TokenRequestSpec
		meta metav1.ObjectMeta
		want string
	}{
		{"short", authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds(599)}, none, `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes`},
		{"long", authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds(1<<32 + 1)}, none, `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`},
		{"another name", authenticationv1.TokenRequestSpec{}, metav1.ObjectMeta{Name: "x"}, `TokenRequest.authentication.k8s.io "robot" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified`},
		{"no pod", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "gone"}}, none, `pods "gone" not found`},
		{"old pod", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "old"}}, none,
			`Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated`},
		{"a kind", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "ConfigMap", Name: "p"}}, none, `cannot bind token to object of type /v1, Kind=ConfigMap`},
	} {
		if _, err := request(h.Root, "robot", c.spec, c.meta); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
	}
	if _, err := request(h.Root, "default", authenticationv1.TokenRequestSpec{BoundObjectRef: bound}, none); err == nil || err.Error() != `cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.` {
		t.Error(err)
	}

	// The hour that is a year.
	r, err = request(h.Root, "robot", authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds(3607), BoundObjectRef: bound}, none)
	if err != nil || time.Until(r.Status.ExpirationTimestamp.Time) > 3700*time.Second {
		t.Fatalf("%v %v", r, err)
	}

	// A node gets tokens for its pods and no others.
	h.Settle(t)
	var other *authenticationv1.TokenRequest
	if other, err = request(h.As(api.Node("n2")), "robot", authenticationv1.TokenRequestSpec{BoundObjectRef: bound}, none); err == nil {
		t.Errorf("%v", other)
	}
	if r, err = request(h.As(api.Node("n1")), "robot", authenticationv1.TokenRequestSpec{BoundObjectRef: bound}, none); err != nil || r.Status.Token == "" {
		t.Errorf("%v %v", r, err)
	}
	if _, err = request(h.As(api.Node("n1")), "robot", authenticationv1.TokenRequestSpec{}, none); err == nil || err.Error() != `serviceaccounts "robot" is forbidden: node requested token not bound to a pod` {
		t.Error(err)
	}
	if _, err = request(h.As(api.Node("n1")), "robot", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}, BoundObjectRef: bound}, none); err == nil ||
		err.Error() != `serviceaccounts "robot" is forbidden: system:node:n1 is not authorized to request tokens for audience "vault"` {
		t.Error(err)
	}
}

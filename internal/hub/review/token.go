package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/authentication"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/verb"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type tokens struct{ Config }

// review answers whether a token is good and whom it stands for.
func (t *tokens) review(ctx context.Context, _ *verb.Request, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authenticationv1.TokenReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenReview: %T", obj))
	}
	if r.Spec.Token == "" {
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	r.Status = authenticationv1.TokenReviewStatus{}
	if t.Tokens == nil {
		return r, nil
	}
	resp, ok, err := t.Tokens.Authenticate(ctx, r.Spec.Token, r.Spec.Audiences)
	if !ok {
		r.Status.Error = "invalid bearer token"
		if err != nil {
			r.Status.Error = fmt.Sprintf("[invalid bearer token, %v]", err)
		}
		return r, nil
	}
	user := resp.User
	if !slices.Contains(user.Groups, api.GroupAuthenticated) {
		user.Groups = append(slices.Clone(user.Groups), api.GroupAuthenticated)
	}
	r.Status.Authenticated, r.Status.User, r.Status.Audiences = true, userInfo(user), resp.Audiences
	return r, nil
}

func userInfo(u api.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[k] = v
	}
	return info
}

// selfSubject answers who the caller is.
func selfSubject(_ context.Context, req *verb.Request, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	if _, ok := obj.(*authenticationv1.SelfSubjectReview); !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfSubjectReview: %T", obj))
	}
	return &authenticationv1.SelfSubjectReview{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Now()},
		Status:     authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(req.User)},
	}, nil
}

var tokenRequest = schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}

// request signs a token for the service account that the URL names.
func (t *tokens) request(ctx context.Context, req *verb.Request, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest: %T", obj))
	}
	if t.Issuer == nil || t.Tokens == nil {
		return nil, apierrors.NewMethodNotSupported(req.Kind.GR(), "create") // no key to sign with
	}
	namespace, name := req.Ref.Namespace, req.Ref.Name
	if err := sameAccount(r, namespace, name); err != nil {
		return nil, err
	}
	sa, err := client.Get[*corev1.ServiceAccount](ctx, t.Door, client.ServiceAccounts, namespace, name)
	if err != nil {
		return nil, err
	}
	if r.UID != "" && r.UID != sa.UID {
		return nil, apierrors.NewConflict(schema.GroupResource{Group: tokenRequest.Group, Resource: tokenRequest.Kind}, name,
			fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", r.UID, sa.UID))
	}
	if len(r.Spec.Audiences) == 0 {
		r.Spec.Audiences = slices.Clone(t.Tokens.Audiences())
	}
	now := time.Now()
	r.Name, r.Namespace, r.UID, r.CreationTimestamp = name, namespace, sa.UID, metav1.NewTime(now)
	r.Status = authenticationv1.TokenRequestStatus{}
	if errs := authentication.ValidateTokenRequest(r); len(errs) > 0 {
		return nil, apierrors.NewInvalid(tokenRequest.GroupKind(), "", errs)
	}
	claims := authn.Claims{Account: sa}
	if err := t.bind(ctx, r, &claims); err != nil {
		return nil, err
	}
	t.life(req, r, &claims)
	token, _, err := t.Issuer.Sign(claims)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	r.Status.Token = token
	// Reckoned from before the token was made, so that it is never later than what the token says.
	r.Status.ExpirationTimestamp = metav1.NewTime(now.Add(time.Duration(*r.Spec.ExpirationSeconds) * time.Second))
	return r, nil
}

func sameAccount(r *authenticationv1.TokenRequest, namespace, name string) error {
	meta := field.NewPath("metadata")
	if r.Name != "" && r.Name != name {
		return apierrors.NewInvalid(tokenRequest.GroupKind(), name, field.ErrorList{
			field.Invalid(meta.Child("name"), r.Name, "must match the service account name if specified")})
	}
	if r.Namespace != "" && r.Namespace != namespace {
		return apierrors.NewInvalid(tokenRequest.GroupKind(), name, field.ErrorList{
			field.Invalid(meta.Child("namespace"), r.Namespace, "must match the service account namespace if specified")})
	}
	return nil
}

// life settles how long the token lives, and when it starts to be a reason to warn.
func (t *tokens) life(req *verb.Request, r *authenticationv1.TokenRequest, c *authn.Claims) {
	if most := t.MaxTokenSeconds; most > 0 && *r.Spec.ExpirationSeconds > most {
		req.Warn(fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds", *r.Spec.ExpirationSeconds, most))
		*r.Spec.ExpirationSeconds = most
	}
	seconds := *r.Spec.ExpirationSeconds
	ours := !slices.ContainsFunc(r.Spec.Audiences, func(a string) bool { return !slices.Contains(t.Tokens.Audiences(), a) })
	if !t.NoExtension && c.Pod != nil && seconds == authn.WarnOnlySeconds && ours {
		c.WarnAfter = time.Duration(seconds) * time.Second
		seconds = authn.ExtendedSeconds
	}
	c.Life, c.Audiences = time.Duration(seconds)*time.Second, r.Spec.Audiences
}

// bind finds the object that the token is to die with.
func (t *tokens) bind(ctx context.Context, r *authenticationv1.TokenRequest, c *authn.Claims) error {
	ref := r.Spec.BoundObjectRef
	if ref == nil {
		return nil
	}
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	var uid types.UID
	var err error
	switch {
	case gvk.Group == "" && gvk.Kind == "Pod":
		if c.Pod, err = client.Get[*corev1.Pod](ctx, t.Door, client.Pods, r.Namespace, ref.Name); err != nil {
			return err
		}
		if c.Pod.Spec.ServiceAccountName != r.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", r.Name))
		}
		if c.Node, err = t.nodeOf(ctx, c.Pod); err != nil {
			return err
		}
		uid = c.Pod.UID
	case gvk.Group == "" && gvk.Kind == "Node":
		if c.Node, err = client.Get[*corev1.Node](ctx, t.Door, client.Nodes, "", ref.Name); err != nil {
			return err
		}
		uid = c.Node.UID
	case gvk.Group == "" && gvk.Kind == "Secret":
		if c.Secret, err = client.Get[*corev1.Secret](ctx, t.Door, client.Secrets, r.Namespace, ref.Name); err != nil {
			return err
		}
		uid = c.Secret.UID
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk.String()))
	}
	if ref.UID != "" && ref.UID != uid {
		return apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, ref.Name,
			fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	return nil
}

// nodeOf names the pod's node in the token; a node that is gone by its name alone.
func (t *tokens) nodeOf(ctx context.Context, pod *corev1.Pod) (*corev1.Node, error) {
	if pod.Spec.NodeName == "" {
		return nil, nil
	}
	obj, err := t.Door.Get(ctx, client.Ref{Resource: client.Nodes, Name: pod.Spec.NodeName}, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.NodeName}}, nil
	}
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	node, ok := obj.(*corev1.Node)
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("node is no Node"))
	}
	return node, nil
}

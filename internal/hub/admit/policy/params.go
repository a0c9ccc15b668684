package policy

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var errNoConstraints = errors.New("policy contained no match constraints, a required field")

// paramKind is the kind of a policy's parameters; nil for a policy without any.
func (j *judge) paramKind(p *admissionv1.ParamKind) (*api.Kind, error) {
	if p == nil {
		return nil, nil
	}
	gv, err := schema.ParseGroupVersion(p.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("failed to parse paramKind APIVersion: %w", err)
	}
	k := j.cfg.Kind(gv.WithKind(p.Kind))
	if k == nil {
		return nil, fmt.Errorf("failed to find resource referenced by paramKind: '%v'", gv.WithKind(p.Kind))
	}
	return k, nil
}

// parameters are what a policy is evaluated with for a binding, once with each: nil where it has none. An empty list means that it
// is not evaluated. kind is that of the parameters, namespace that of the write.
func (j *judge) parameters(ctx context.Context, kind *api.Kind, ref *admissionv1.ParamRef, namespace string) ([]runtime.Object, error) {
	if kind == nil || ref == nil {
		return []runtime.Object{nil}, nil
	}
	in := ""
	switch {
	case !kind.Namespaced && ref.Namespace != "":
		return nil, errors.New("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
	case kind.Namespaced && ref.Namespace != "":
		in = ref.Namespace
	case kind.Namespaced && namespace == "":
		return nil, errors.New("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
	case kind.Namespaced:
		in = namespace
	}
	found, err := j.find(ctx, client.Ref{Resource: kind.GVR(), Namespace: in, Name: ref.Name}, ref.Selector)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && ref.ParameterNotFoundAction != nil && *ref.ParameterNotFoundAction == admissionv1.DenyAction {
		return nil, errors.New("no params found for policy binding with `Deny` parameterNotFoundAction")
	}
	return found, nil
}

// find reads parameters from the cache as it stands, and the one that is named up to date when it is not there.
func (j *judge) find(ctx context.Context, ref client.Ref, selector *metav1.LabelSelector) ([]runtime.Object, error) {
	if ref.Name != "" {
		obj, err := j.cfg.Door.Get(ctx, ref, metav1.GetOptions{ResourceVersion: "0"})
		if apierrors.IsNotFound(err) {
			obj, err = j.cfg.Door.Get(ctx, ref, metav1.GetOptions{})
		}
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return []runtime.Object{obj}, nil
	}
	if selector == nil {
		return nil, errors.New("one of name or selector must be provided")
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	list, err := j.cfg.Door.List(ctx, ref, metav1.ListOptions{LabelSelector: s.String(), ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	out := make([]runtime.Object, len(list.Items))
	for i, o := range list.Items {
		out[i] = o
	}
	return out, nil
}

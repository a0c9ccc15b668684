package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Mutating applies policies that change objects.
type Mutating struct {
	judge
	source *match.Source[compiled[mutating]]
}

var _ admit.Mutator = (*Mutating)(nil)

// Configured reports whether there is anybody to ask.
func (p *Mutating) Configured(ctx context.Context) (bool, error) {
	all, err := p.source.Get(ctx)
	return all != nil, err
}

// Name implements admit.Plugin.
func (*Mutating) Name() string { return "MutatingAdmissionPolicy" }

// trouble is why a policy, or a binding of it, could not be applied.
type trouble struct {
	policy, binding string
	err             error
	reason          metav1.StatusReason
}

func (t *trouble) String() string {
	if t.binding != "" {
		return fmt.Sprintf("policy '%s' with binding '%s' denied request: %s", t.policy, t.binding, t.err)
	}
	return fmt.Sprintf("policy %q denied request: %s", t.policy, t.err)
}

// invocation is a policy that is to be applied, for a binding and a parameter.
type invocation struct {
	p     *mutating
	b     *binding
	t     *match.Target
	param runtime.Object
}

// key tells invocations apart over two rounds.
type key struct{ policy, binding, namespace, name string }

func (i *invocation) key() key {
	k := key{policy: i.p.name, binding: i.b.name}
	if o, ok := i.param.(metav1.Object); ok {
		k.namespace, k.name = o.GetNamespace(), o.GetName()
	}
	return k
}

// Admit implements admit.Mutator. What is deleted is not changed any more.
func (p *Mutating) Admit(ctx context.Context, a *admit.Attributes) error {
	all, err := p.source.Get(ctx)
	if err != nil || all == nil || a.Operation == admit.Delete || exempt(a) {
		return err
	}
	r := match.New(p.cfg.Match, a)
	var troubles []trouble
	var apply []invocation
	for _, policy := range all.among(a) {
		found, bad := p.invocations(ctx, r, policy)
		apply = append(apply, found...)
		if !policy.ignore {
			troubles = append(troubles, bad...)
		}
	}
	if len(apply) > 0 {
		bad, err := p.apply(ctx, r, apply)
		if err != nil {
			return err
		}
		troubles = append(troubles, bad...)
	}
	return refusal(a, troubles)
}

// invocations finds for which bindings and parameters a policy applies.
func (p *Mutating) invocations(ctx context.Context, r *match.Request, m *mutating) (out []invocation, bad []trouble) {
	unfit := func(b *binding, err error) {
		t := trouble{policy: m.name, err: fmt.Errorf("failed to configure policy: %w", err)}
		if b != nil {
			t.binding, t.err = b.name, fmt.Errorf("failed to configure binding: %w", err)
		}
		bad = append(bad, t)
	}
	if m.err != nil {
		unfit(nil, m.err)
		return
	}
	t, err := r.Match(ctx, m.criteria)
	if err != nil {
		unfit(nil, err)
		return
	}
	if t == nil {
		return
	}
	kind, err := p.paramKind(m.params)
	if err != nil {
		unfit(nil, err)
		return
	}
	for _, b := range m.bindings {
		if b.err != nil {
			unfit(b, b.err)
			continue
		}
		if b.criteria != nil {
			bt, err := r.Match(ctx, b.criteria)
			if err != nil {
				unfit(b, err)
			}
			if bt == nil {
				continue
			}
		}
		if _, err := r.Version(ctx, t); err != nil {
			unfit(nil, err)
			continue
		}
		params, err := p.parameters(ctx, kind, b.ref, r.Namespace)
		if err != nil {
			unfit(b, err)
			continue
		}
		for _, param := range params {
			out = append(out, invocation{m, b, t, param})
		}
	}
	return out, bad
}

// apply applies policies one after another; each sees what those before it did.
func (p *Mutating) apply(ctx context.Context, r *match.Request, all []invocation) ([]trouble, error) {
	again := match.Round[key](r.Attributes, p)
	defer again.Leave(r.Attributes)
	ns, err := r.NamespaceObject(ctx)
	if err != nil {
		return nil, err
	}
	var troubles []trouble
	for i := range all {
		inv := &all[i]
		bad, err := p.one(ctx, r, inv, again, ns)
		if err != nil {
			return nil, err
		}
		if !inv.p.ignore {
			troubles = append(troubles, bad...)
		}
	}
	return troubles, nil
}

// one applies the mutations of a policy, in order. The error is that of the write; what its failure policy decides about is trouble.
func (p *Mutating) one(ctx context.Context, r *match.Request, inv *invocation, again *match.Again[key], ns *corev1.Namespace) (bad []trouble, err error) {
	m := inv.p
	invalid := func(err error) {
		bad = append(bad, trouble{m.name, inv.b.name, err, metav1.StatusReasonInvalid})
	}
	v, err := r.Version(ctx, inv.t)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if m.composed != nil {
		ctx = m.composed.CreateContext(ctx)
	}
	holds, err := m.conditions.Hold(ctx, r, v, inv.param, p.authz)
	if err != nil {
		invalid(err)
		return bad, nil
	}
	if !holds || again.Skips(r.Attributes, inv.key()) {
		return nil, nil
	}
	before := v.Object
	if before != nil {
		before = before.DeepCopyObject()
	}
	for i := range m.patches {
		if v.Object == nil {
			break
		}
		began := time.Now()
		err := p.patch(ctx, r, v, &m.patches[i], inv.param, ns)
		p.cfg.Metrics.mutated(m.name, inv.b.name, time.Since(began), err)
		var status *apierrors.StatusError
		if errors.As(err, &status) {
			return nil, status
		}
		if err != nil {
			invalid(err)
		}
	}
	if v.Object != nil && !equality.Semantic.DeepEqual(before, v.Object) {
		again.Changed()
		r.Again()
	}
	if m.reinvoke {
		again.Asked(inv.key())
	}
	return bad, nil
}

// refusal is the error of a write that some policies could not be applied to; nil for none.
func refusal(a *admit.Attributes, troubles []trouble) error {
	if len(troubles) == 0 {
		return nil
	}
	var status *apierrors.StatusError
	if err := admit.Forbidden(a, errors.New("admission request denied by policy")); !errors.As(err, &status) {
		return err
	}
	status.ErrStatus.Message = troubles[0].String()
	if troubles[0].reason != "" {
		status.ErrStatus.Reason = troubles[0].reason
	}
	for i := range troubles {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{Message: troubles[i].String()})
	}
	return status
}

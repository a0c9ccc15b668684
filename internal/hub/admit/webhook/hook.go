package webhook

import (
	"context"
	"fmt"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/expression"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// hook is one webhook, made ready to be asked. It is never changed.
type hook struct {
	name, config, id string // id tells hooks of one kind apart
	criteria         *match.Criteria
	conditions       *match.Conditions
	ignore           bool // go on when it cannot be asked
	harmless         bool // a dry run may ask it
	reinvoke         bool
	timeout          time.Duration
	versions         []string // of AdmissionReview
	to               address
	err              error // why it can never be asked
}

// hooks are the webhooks of one kind, in the order in which they are asked: by the names of their configurations, those of the server's
// own files first.
type hooks struct {
	list   []*hook
	static int // how many are of files
}

func (a *asker) mutating(all match.Objects) *hooks {
	return a.made(mutates, all, a.mutatingOf)
}

func (a *asker) mutatingOf(objects []api.Object) (out []*hook) {
	for _, obj := range objects {
		c := obj.(*admissionv1.MutatingWebhookConfiguration)
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			h := newHook(c.Name, w.Name, out, w.FailurePolicy, w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions, addressOf(&w.ClientConfig, a.cfg.Askers.Mutating))
			h.reinvoke = w.ReinvocationPolicy != nil && *w.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy
			h.criteria, h.err = match.Hook(w.Rules, w.MatchPolicy, w.NamespaceSelector, w.ObjectSelector)
			h.conditions = conditions(w.MatchConditions, w.FailurePolicy)
			out = append(out, h)
		}
	}
	return out
}

func (a *asker) validating(all match.Objects) *hooks {
	return a.made(validates, all, a.validatingOf)
}

func (a *asker) validatingOf(objects []api.Object) (out []*hook) {
	for _, obj := range objects {
		c := obj.(*admissionv1.ValidatingWebhookConfiguration)
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			h := newHook(c.Name, w.Name, out, w.FailurePolicy, w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions, addressOf(&w.ClientConfig, a.cfg.Askers.Validating))
			h.criteria, h.err = match.Hook(w.Rules, w.MatchPolicy, w.NamespaceSelector, w.ObjectSelector)
			h.conditions = conditions(w.MatchConditions, w.FailurePolicy)
			out = append(out, h)
		}
	}
	return out
}

func newHook(config, name string, before []*hook, policy *admissionv1.FailurePolicyType, effects *admissionv1.SideEffectClass, seconds *int32,
	versions []string, to address) *hook {
	same := 0
	for _, h := range before {
		if h.config == config && h.name == name {
			same++
		}
	}
	return &hook{
		name: name, config: config, id: fmt.Sprintf("%s/%s/%d", config, name, same),
		ignore:   policy != nil && *policy == admissionv1.Ignore,
		harmless: effects != nil && (*effects == admissionv1.SideEffectClassNone || *effects == admissionv1.SideEffectClassNoneOnDryRun),
		timeout:  timeout(seconds), versions: versions, to: to,
	}
}

func conditions(list []admissionv1.MatchCondition, policy *admissionv1.FailurePolicyType) *match.Conditions {
	if len(list) == 0 {
		return nil
	}
	return match.NewConditions(expression.Compiler(), list, false, policy)
}

// made makes the hooks of one kind of configurations, and lets go of the connections to webhooks that are no more.
func (a *asker) made(kind string, all match.Objects, of func([]api.Object) []*hook) *hooks {
	var list []*hook
	for _, l := range all.Static {
		list = append(list, of(l)...)
	}
	static := len(list)
	for _, h := range list {
		h.id = "manifest/" + h.id
	}
	for _, l := range all.Served {
		list = append(list, of(l)...)
	}
	to := make([]address, len(list))
	for i, h := range list {
		to[i] = h.to
	}
	a.clients.keep(kind, to)
	if len(list) == 0 {
		return nil
	}
	return &hooks{list: list, static: static}
}

// wanted returns as what a webhook wants to see the object of the write; nil when it is not to be asked.
func (a *asker) wanted(ctx context.Context, r *match.Request, h *hook) (*match.Version, error) {
	if h.err != nil {
		return nil, apierrors.NewInternalError(h.err)
	}
	t, err := r.Match(ctx, h.criteria)
	if err != nil || t == nil {
		return nil, err
	}
	v, err := r.Version(ctx, t)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	holds, err := h.conditions.Hold(ctx, r, v, nil, a.authz)
	switch {
	case err != nil:
		return nil, apierrors.NewForbidden(r.As().GR(), r.ToldName(), err)
	case !holds:
		return nil, nil
	case r.Unsure:
		return nil, admit.ErrUnsure
	}
	return v, nil
}

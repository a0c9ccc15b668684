package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const mutates, validates = "admit", "validating"

// Mutating asks webhooks that may change an object, one after another.
type Mutating struct {
	*asker
	source *match.Source[hooks]
}

var _ admit.Mutator = (*Mutating)(nil)

// Configured reports whether there is anybody to ask.
func (p *Mutating) Configured(ctx context.Context) (bool, error) {
	all, err := p.source.Get(ctx)
	return all != nil, err
}

// Name implements admit.Plugin.
func (*Mutating) Name() string { return "MutatingAdmissionWebhook" }

// Admit implements admit.Mutator.
func (p *Mutating) Admit(ctx context.Context, a *admit.Attributes) error {
	all, err := p.source.Get(ctx)
	if err != nil || all == nil || exempt(a) {
		return err
	}
	r := match.New(p.cfg.Match, a)
	again := match.Round[string](a, p)
	defer again.Leave(a)
	for i, h := range all.among(a) {
		v, err := p.wanted(ctx, r, h)
		if err != nil {
			return err
		}
		if v == nil || again.Skips(a, h.id) {
			continue
		}
		changed, err := p.one(ctx, r, h, v, i)
		if changed {
			again.Changed()
			a.Again()
		}
		if h.reinvoke {
			again.Asked(h.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// one asks a webhook and changes the object as it says. The error is that of the write.
func (p *Mutating) one(ctx context.Context, r *match.Request, h *hook, v *match.Version, index int) (bool, error) {
	began := time.Now()
	changed, err := p.change(ctx, r, h, v, index)
	err = p.judge(ctx, r, h, mutates, time.Since(began), err, func() {
		r.Note(fmt.Sprintf("failed-open.mutation.webhook.admission.k8s.io/round_%d_index_%d", round(r), index), h.name)
	})
	return changed, err
}

func round(r *match.Request) int {
	if r.Second() {
		return 1
	}
	return 0
}

func (p *Mutating) change(ctx context.Context, r *match.Request, h *hook, v *match.Version, index int) (changed bool, err error) {
	key := fmt.Sprintf("mutation.webhook.admission.k8s.io/round_%d_index_%d", round(r), index)
	defer func() { r.Note(key, encoded(mutation{h.config, h.name, changed})) }()
	ans, err := p.ask(ctx, r, h, v, true)
	if err != nil {
		return false, err
	}
	p.tell(r, h, ans)
	if !ans.allowed {
		return false, &rejection{refused(h.name, ans.result)}
	}
	if len(ans.patch) == 0 {
		return false, nil
	}
	patch, err := jsonpatch.DecodePatch(ans.patch)
	if err != nil {
		return false, &called{hook: h.name, err: fmt.Errorf("received undecodable patch in webhook response: %w", err), code: 503}
	}
	switch {
	case len(patch) == 0:
		return false, nil
	case v.Object == nil:
		return false, apierrors.NewInternalError(fmt.Errorf("admission webhook %q attempted to modify the object, which is not supported for this operation", h.name))
	case ans.patchType != "" && ans.patchType != admissionv1.PatchTypeJSONPatch:
		return false, &called{hook: h.name, err: fmt.Errorf("unsupported patch type %q", ans.patchType), code: 400}
	}
	before, _, err := v.JSON()
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	after, err := patch.Apply(before)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	obj, _, err := reviews.Decode(after, nil, v.Fresh())
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	if changed, err = r.Replace(ctx, v, obj); err != nil {
		return false, apierrors.NewInternalError(err)
	}
	return changed, nil
}

// mutation is the value of the annotation that says whether a webhook changed the object.
type mutation struct {
	Configuration string `json:"configuration"`
	Webhook       string `json:"webhook"`
	Mutated       bool   `json:"mutated"`
}

func encoded(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // strings and a bool: cannot happen
	}
	return string(data)
}

// rejection is the refusal of a webhook that was asked and has answered.
type rejection struct{ *apierrors.StatusError }

// judge turns what came of asking a webhook into the error of the write, and counts it. open is called when it could not be asked
// and the write goes on all the same.
func (a *asker) judge(ctx context.Context, r *match.Request, h *hook, kind string, took time.Duration, err error, open func()) error {
	o := observation{hook: h.name, kind: kind, operation: string(r.Operation), took: took, code: 200}
	defer func() { a.cfg.Metrics.observe(o) }()
	var call *called
	var no *rejection
	switch {
	case err == nil:
		return nil
	case errors.As(err, &no):
		o.rejected, o.code, o.why = true, no.ErrStatus.Code, "no_error"
		return no.StatusError
	case !errors.As(err, &call):
		o.rejected, o.code, o.why = true, 0, "apiserver_internal_error"
		return err
	}
	o.code = call.code
	cancelled := errors.Is(err, context.Canceled)
	if h.ignore {
		o.open = !cancelled
		a.cfg.Log.Warn("failed calling webhook, failing open", "webhook", h.name, "error", call)
		if !cancelled {
			open()
		}
		if ctx.Err() != nil {
			return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
		}
		return nil
	}
	if o.rejected = true; !cancelled {
		o.why = "calling_webhook_error"
	}
	a.cfg.Log.Warn("failed calling webhook, failing closed", "webhook", h.name, "error", call)
	return apierrors.NewInternalError(err)
}

// tell passes on what a webhook has to say besides its answer.
func (a *asker) tell(r *match.Request, h *hook, ans *answer) {
	for k, v := range ans.annotations {
		r.Note(h.name+"/"+k, v)
	}
	for _, w := range ans.warnings {
		r.Warn(w)
	}
}

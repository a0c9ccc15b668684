package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Validating asks webhooks that may refuse a write, all at a time.
type Validating struct {
	*asker
	source *match.Source[hooks]
}

var _ admit.Validator = (*Validating)(nil)

// Configured reports whether there is anybody to ask.
func (p *Validating) Configured(ctx context.Context) (bool, error) {
	all, err := p.source.Get(ctx)
	return all != nil, err
}

// Name implements admit.Plugin.
func (*Validating) Name() string { return "ValidatingAdmissionWebhook" }

// asking is a webhook that is being asked, and what came of it.
type asking struct {
	hook    *hook
	version *match.Version
	answer  *answer
	err     error
	took    time.Duration
}

// Validate implements admit.Validator. What several webhooks say is told in their order, whoever answers first; of several refusals
// the first is the answer.
func (p *Validating) Validate(ctx context.Context, a *admit.Attributes) error {
	all, err := p.source.Get(ctx)
	if err != nil || all == nil || exempt(a) {
		return err
	}
	r := match.New(p.cfg.Match, a)
	var asked []*asking
	for _, h := range all.among(a) {
		v, err := p.wanted(ctx, r, h)
		if err != nil {
			return err
		}
		if v == nil {
			continue
		}
		if _, _, err := v.JSON(); err != nil { // once, before others read it
			return apierrors.NewInternalError(err)
		}
		r.CEL(v)
		asked = append(asked, &asking{hook: h, version: v})
	}
	if len(asked) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
	}
	p.askAll(ctx, r, asked)
	var first error
	for i, q := range asked {
		if q.answer != nil {
			p.tell(r, q.hook, q.answer)
			if !q.answer.allowed {
				q.err = &rejection{refused(q.hook.name, q.answer.result)}
			}
		}
		err := p.judge(ctx, r, q.hook, validates, q.took, q.err, func() {
			r.Note(fmt.Sprintf("failed-open.validating.webhook.admission.k8s.io/round_0_index_%d", i), q.hook.name)
		})
		if first == nil {
			first = err
		}
	}
	return first
}

// askAll asks them all and waits for them. The first is asked by the caller's own goroutine.
func (p *Validating) askAll(ctx context.Context, r *match.Request, asked []*asking) {
	one := func(q *asking) {
		began := time.Now()
		q.answer, q.err = p.ask(ctx, r, q.hook, q.version, false)
		q.took = time.Since(began)
	}
	var others sync.WaitGroup
	for _, q := range asked[1:] {
		others.Go(func() { one(q) })
	}
	one(asked[0])
	others.Wait()
}

package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Validating holds writes against policies that refuse, warn and note.
type Validating struct {
	judge
	source *match.Source[compiled[validating]]
}

var _ admit.Validator = (*Validating)(nil)

// Configured reports whether there is anybody to ask.
func (p *Validating) Configured(ctx context.Context) (bool, error) {
	all, err := p.source.Get(ctx)
	return all != nil, err
}

// Name implements admit.Plugin.
func (*Validating) Name() string { return "ValidatingAdmissionPolicy" }

// denial is a refusal by a policy, perhaps for a binding of it.
type denial struct {
	policy, binding string
	text            string
	reason          metav1.StatusReason
}

// verdict gathers what all policies say of one write.
type verdict struct {
	p        *Validating
	r        *match.Request
	denials  []denial
	failures []failure
}

// Validate implements admit.Validator. All policies are evaluated; the first refusal is the answer.
func (p *Validating) Validate(ctx context.Context, a *admit.Attributes) error {
	all, err := p.source.Get(ctx)
	if err != nil || all == nil || exempt(a) {
		return err
	}
	v := &verdict{p: p, r: match.New(p.cfg.Match, a)}
	for _, policy := range all.among(a) {
		if err := v.policy(ctx, policy); err != nil {
			return err
		}
	}
	v.noteFailures()
	if len(v.denials) == 0 {
		return nil
	}
	return v.denials[0].error(a)
}

// policy holds the write against one policy, for each binding and each parameter.
func (v *verdict) policy(ctx context.Context, p *validating) error {
	if p.err != nil {
		v.unfit(p, nil, p.err)
		return nil
	}
	t, err := v.r.Match(ctx, p.criteria)
	if err != nil {
		v.unfit(p, nil, err)
		return nil
	}
	if t == nil {
		return nil
	}
	kind, err := v.p.paramKind(p.params)
	if err != nil {
		v.unfit(p, nil, err)
		return nil
	}
	var notes []note
	for _, b := range p.bindings {
		if b.err == nil && b.criteria != nil {
			bt, err := v.r.Match(ctx, b.criteria)
			if err == nil && bt == nil {
				continue
			}
			if err != nil {
				v.unfit(p, b, err)
				continue
			}
		}
		if b.err != nil {
			v.unfit(p, b, b.err)
			continue
		}
		params, err := v.p.parameters(ctx, kind, b.ref, v.r.Namespace)
		if err != nil {
			v.unfit(p, b, err)
			continue
		}
		if len(params) == 0 {
			continue
		}
		seen, err := v.r.Version(ctx, t)
		if err != nil {
			v.unfit(p, b, fmt.Errorf("failed to convert object version: %w", err))
			continue
		}
		ns, err := v.r.NamespaceObject(ctx)
		if err != nil {
			return err
		}
		for _, param := range params {
			decisions, more := p.evaluate(ctx, inputs{r: v.r, v: seen, param: param, ns: ns, authz: v.p.authz})
			for i := range decisions {
				v.act(p, b, &decisions[i])
			}
			for _, n := range more {
				if !slices.Contains(notes, n) {
					notes = append(notes, n)
				}
			}
		}
	}
	v.publish(p, notes)
	return nil
}

// unfit is what becomes of a write when a policy, or a binding of it, cannot be applied.
func (v *verdict) unfit(p *validating, b *binding, err error) {
	if p.ignore {
		return
	}
	d := denial{policy: p.name, text: fmt.Sprintf("failed to configure policy: %s", err)}
	if b != nil {
		d.binding, d.text = b.name, fmt.Sprintf("failed to configure binding: %s", err)
	}
	v.denials = append(v.denials, d)
}

// act does with a decision what the binding says.
func (v *verdict) act(p *validating, b *binding, d *decision) {
	m := v.p.cfg.Metrics
	deny := func() {
		v.denials = append(v.denials, denial{p.name, b.name, d.text, d.reason})
		m.validated(p.name, b.name, "deny", d)
	}
	switch {
	case !d.deny && d.failed:
		m.validated(p.name, b.name, "allow", d)
	case !d.deny:
	case d.index == annotation:
		deny()
	default:
		for _, action := range b.actions {
			switch action {
			case admissionv1.Deny:
				deny()
			case admissionv1.Audit:
				v.failures = append(v.failures, failure{d.text, p.name, b.name, d.index, b.actions})
				m.validated(p.name, b.name, "audit", d)
			case admissionv1.Warn:
				v.r.Warn(fmt.Sprintf("Validation failed for ValidatingAdmissionPolicy '%s' with binding '%s': %s", p.name, b.name, d.text))
				m.validated(p.name, b.name, "warn", d)
			}
		}
	}
}

// maxNote is how many bytes of an annotation are kept.
const maxNote = 10 * 1024

// publish notes a policy's annotations for the audit. Bindings may make several of one key.
func (v *verdict) publish(p *validating, notes []note) {
	var keys []string
	values := map[string][]string{}
	for _, n := range notes {
		if values[n.key] == nil {
			keys = append(keys, n.key)
		}
		values[n.key] = append(values[n.key], n.value[:min(len(n.value), maxNote)])
	}
	for _, k := range keys {
		v.r.Note(p.name+"/"+k, strings.Join(values[k], ", "))
	}
}

// failure is a validation that did not hold, as the audit keeps it.
type failure struct {
	Message         string                         `json:"message"`
	Policy          string                         `json:"policy"`
	Binding         string                         `json:"binding"`
	ExpressionIndex int                            `json:"expressionIndex"`
	Actions         []admissionv1.ValidationAction `json:"validationActions"`
}

const maxFailures = 50

func (v *verdict) noteFailures() {
	if len(v.failures) == 0 {
		return
	}
	if data, err := json.Marshal(v.failures[:min(len(v.failures), maxFailures)]); err == nil {
		v.r.Note("validation.policy.admission.k8s.io/validation_failure", string(data))
	}
}

// error is the answer to a write that a policy refused. It says "forbidden" whatever its reason and code are, as upstream's does.
func (d *denial) error(a *admit.Attributes) error {
	by := fmt.Sprintf("ValidatingAdmissionPolicy '%s'", d.policy)
	if d.binding != "" {
		by += fmt.Sprintf(" with binding '%s'", d.binding)
	}
	message := by + " denied request: " + d.text
	var status *apierrors.StatusError
	if err := admit.Forbidden(a, errors.New(message)); !errors.As(err, &status) {
		return err
	}
	reason := d.reason
	if reason == "" {
		reason = metav1.StatusReasonInvalid
	}
	status.ErrStatus.Reason, status.ErrStatus.Code = reason, codes[reason]
	status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{Message: message})
	return status
}

var codes = map[metav1.StatusReason]int32{
	metav1.StatusReasonForbidden: 403, metav1.StatusReasonUnauthorized: 401, metav1.StatusReasonRequestEntityTooLarge: 413, metav1.StatusReasonInvalid: 422,
}

package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sampan.dev/internal/hub/admit/match"

	"github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// decision is what one validation, or one audit annotation, came to.
type decision struct {
	index  int // among the policy's validations
	deny   bool
	failed bool // it could not be evaluated
	text   string
	reason metav1.StatusReason
	took   time.Duration
	err    error // why it could not, for metrics
}

// note is an annotation for the audit.
type note struct{ key, value string }

// inputs are what a policy is evaluated with.
type inputs struct {
	r       *match.Request
	v       *match.Version
	param   runtime.Object
	ns      *corev1.Namespace
	authz   authorizer.UnconditionalAuthorizer
	request *admissionv1.AdmissionRequest
}

// evaluate holds a write against a policy.
func (p *validating) evaluate(ctx context.Context, in inputs) ([]decision, []note) {
	failed := func(err error) ([]decision, []note) {
		return []decision{{deny: !p.ignore, failed: true, text: err.Error(), err: err}}, nil
	}
	holds, err := p.conditions.Hold(ctx, in.r, in.v, in.param, in.authz)
	switch {
	case err != nil:
		return failed(err)
	case !holds:
		return nil, nil
	}
	attrs := in.r.CEL(in.v)
	in.request = plugincel.CreateAdmissionRequest(attrs.Attributes, metav1.GroupVersionResource(in.v.Resource), metav1.GroupVersionKind(in.v.Kind))
	shown := plugincel.CreateNamespaceObject(in.ns)
	results, left, err := p.checks.ForInput(ctx, attrs, in.request, plugincel.OptionalVariableBindings{VersionedParams: in.param, Authorizer: in.authz}, shown, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return failed(err)
	}
	params := plugincel.OptionalVariableBindings{VersionedParams: in.param}
	messages, _, merr := p.messages.ForInput(ctx, attrs, in.request, params, shown, left)
	out := make([]decision, len(results))
	for i := range results {
		var m *plugincel.EvaluationResult
		if i < len(messages) {
			m = &messages[i]
		}
		out[i] = p.decide(i, &results[i], m, merr)
	}
	entries, _, err := p.auditEntries.ForInput(ctx, attrs, in.request, params, in.ns, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return failed(err)
	}
	notes, bad := p.notes(entries)
	return append(out, bad...), notes
}

// decide says what the result of a validation means.
func (p *validating) decide(i int, res, message *plugincel.EvaluationResult, messageErr error) decision {
	d := decision{index: i, took: res.Elapsed}
	switch {
	case res.Error != nil:
		d.deny, d.failed, d.text, d.err = !p.ignore, true, res.Error.Error(), res.Error
	case errors.Is(messageErr, apiservercel.ErrInternal) || errors.Is(messageErr, apiservercel.ErrOutOfBudget):
		d.deny, d.failed, d.text, d.err = !p.ignore, true, fmt.Sprintf("failed messageExpression: %s", messageErr), messageErr
	case res.EvalResult != types.True:
		v := &p.validations[i]
		d.deny, d.reason = true, metav1.StatusReasonInvalid
		if v.Reason != nil {
			d.reason = *v.Reason
		}
		if d.text = evaluated(message); d.text == "" {
			d.text = strings.TrimSpace(v.Message)
		}
		if d.text == "" {
			d.text = "failed expression: " + strings.TrimSpace(v.Expression)
		}
	}
	return d
}

// evaluated is the text that a message expression made; "" where that cannot be used: it failed, is too long or has several lines.
func evaluated(m *plugincel.EvaluationResult) string {
	if m == nil || m.Error != nil || m.EvalResult == nil {
		return ""
	}
	s, ok := m.EvalResult.Value().(string)
	if s = strings.TrimSpace(s); !ok || len(s) > celconfig.MaxEvaluatedMessageExpressionSizeBytes || strings.Contains(s, "\n") {
		return ""
	}
	return s
}

// notes are the annotations that a policy makes. One that cannot be made refuses the write, like a validation.
func (p *validating) notes(entries []plugincel.EvaluationResult) ([]note, []decision) {
	var out []note
	var bad []decision
	for i := range entries {
		e := &entries[i]
		if e.Error != nil {
			if !p.ignore {
				bad = append(bad, decision{index: annotation, deny: true, failed: true, text: e.Error.Error(), took: e.Elapsed, err: e.Error})
			}
			continue
		}
		if e.EvalResult == nil {
			continue
		}
		if s, ok := e.EvalResult.Value().(string); ok {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, note{p.annotations[i].Key, s})
			}
		}
	}
	return out, bad
}

// annotation stands for the index of what is no validation.
const annotation = -1

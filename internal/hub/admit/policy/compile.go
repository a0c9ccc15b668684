package policy

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/expression"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
)

// binding is a binding of either kind, made ready.
type binding struct {
	name     string
	ref      *admissionv1.ParamRef
	criteria *match.Criteria // nil: whatever the policy is about
	err      error           // why it can never be applied
	actions  []admissionv1.ValidationAction
}

func newBinding(name string, ref *admissionv1.ParamRef, m *admissionv1.MatchResources, actions []admissionv1.ValidationAction) *binding {
	b := &binding{name: name, ref: ref, actions: actions}
	if m != nil {
		b.criteria, b.err = match.Resources(m)
	}
	return b
}

// common is what policies of both kinds have. It is never changed.
type common struct {
	name       string
	ignore     bool // what goes wrong refuses nothing
	params     *admissionv1.ParamKind
	criteria   *match.Criteria
	err        error // why it can never be applied
	conditions *match.Conditions
	bindings   []*binding
	composed   *plugincel.CompositedCompiler // nil for a policy without variables
}

// prepare compiles what policies of both kinds have, and returns the compiler for the rest.
func prepare(name string, failure *admissionv1.FailurePolicyType, params *admissionv1.ParamKind, about *admissionv1.MatchResources,
	conditions []admissionv1.MatchCondition, variables []admissionv1.Variable, bindings []*binding) (common, plugincel.Compiler) {
	c := common{name: name, ignore: failure != nil && *failure == admissionv1.Ignore, params: params, bindings: bindings}
	if about != nil {
		c.criteria, c.err = match.Resources(about)
	} else {
		c.err = errNoConstraints
	}
	compiler := expression.Compiler()
	if len(variables) > 0 {
		c.composed = expression.Composed()
		vars := plugincel.OptionalVariableDeclarations{HasParams: params != nil, HasAuthorizer: true}
		for _, v := range variables {
			c.composed.CompileAndStoreVariable(expression.Variable(v.Name, v.Expression), vars, expression.Mode(true))
		}
		compiler = c.composed
	}
	c.conditions = match.NewConditions(compiler, conditions, params != nil, failure)
	return c, compiler
}

// validating is a policy that refuses, warns and notes, with its bindings.
type validating struct {
	common
	validations                    []admissionv1.Validation
	annotations                    []admissionv1.AuditAnnotation
	checks, messages, auditEntries plugincel.ConditionEvaluator
}

// compiled are the policies of one kind, in the order in which they apply: by their names, those of the server's own files first.
type compiled[P any] struct {
	list   []*P
	static int // how many are of files
}

// compile makes them. Policies of files and of the API know nothing of each other's bindings.
func compile[P any](all match.Objects, of func(policies, bindings []api.Object) []*P) *compiled[P] {
	var c compiled[P]
	if all.Static != nil {
		c.list = of(all.Static[0], all.Static[1])
		c.static = len(c.list)
	}
	if all.Served != nil {
		c.list = append(c.list, of(all.Served[0], all.Served[1])...)
	}
	if len(c.list) == 0 {
		return nil
	}
	return &c
}

// among are the policies that may apply to a write: to what decides which there are, only those that the API cannot take away.
func (c *compiled[P]) among(a *admit.Attributes) []*P {
	if decides(a) {
		return c.list[:c.static]
	}
	return c.list
}

// compileValidating makes the policies that are bound, in the order of their names.
func compileValidating(policies, bindings []api.Object) []*validating {
	bound := map[string][]*binding{}
	for _, obj := range bindings {
		b := obj.(*admissionv1.ValidatingAdmissionPolicyBinding)
		bound[b.Spec.PolicyName] = append(bound[b.Spec.PolicyName], newBinding(b.Name, b.Spec.ParamRef, b.Spec.MatchResources, b.Spec.ValidationActions))
	}
	var out []*validating
	for _, obj := range policies {
		p := obj.(*admissionv1.ValidatingAdmissionPolicy)
		if bound[p.Name] == nil {
			continue
		}
		v := &validating{validations: p.Spec.Validations, annotations: p.Spec.AuditAnnotations}
		var c plugincel.Compiler
		v.common, c = prepare(p.Name, p.Spec.FailurePolicy, p.Spec.ParamKind, p.Spec.MatchConstraints, p.Spec.MatchConditions, p.Spec.Variables, bound[p.Name])
		vars := plugincel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil, HasAuthorizer: true}
		checks, messages := make([]*expression.Expression, len(p.Spec.Validations)), make([]*expression.Expression, len(p.Spec.Validations))
		for i, val := range p.Spec.Validations {
			checks[i] = expression.Condition(val.Expression)
			if val.MessageExpression != "" {
				messages[i] = expression.Message(val.MessageExpression)
			}
		}
		entries := make([]*expression.Expression, len(p.Spec.AuditAnnotations))
		for i, a := range p.Spec.AuditAnnotations {
			entries[i] = expression.Annotation(a.ValueExpression)
		}
		v.checks, v.auditEntries = expression.Evaluator(c, checks, vars), expression.Evaluator(c, entries, vars)
		v.messages = expression.Evaluator(c, messages, plugincel.OptionalVariableDeclarations{HasParams: vars.HasParams})
		out = append(out, v)
	}
	return out
}

// mutating is a policy that changes, with its bindings.
type mutating struct {
	common
	reinvoke bool
	patches  []patcher
}

// patcher is one mutation.
type patcher struct {
	evaluator plugincel.MutatingEvaluator
	json      bool // a JSON patch; else an apply configuration
}

// compileMutating makes the policies that are bound, in the order of their names.
func compileMutating(policies, bindings []api.Object) []*mutating {
	bound := map[string][]*binding{}
	for _, obj := range bindings {
		b := obj.(*admissionv1.MutatingAdmissionPolicyBinding)
		bound[b.Spec.PolicyName] = append(bound[b.Spec.PolicyName], newBinding(b.Name, b.Spec.ParamRef, b.Spec.MatchResources, nil))
	}
	var out []*mutating
	for _, obj := range policies {
		p := obj.(*admissionv1.MutatingAdmissionPolicy)
		if bound[p.Name] == nil {
			continue
		}
		m := &mutating{reinvoke: p.Spec.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy}
		var c plugincel.Compiler
		m.common, c = prepare(p.Name, p.Spec.FailurePolicy, p.Spec.ParamKind, p.Spec.MatchConstraints, p.Spec.MatchConditions, p.Spec.Variables, bound[p.Name])
		vars := plugincel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil, HasAuthorizer: true, HasPatchTypes: true}
		for _, mut := range p.Spec.Mutations {
			switch {
			case mut.PatchType == admissionv1.PatchTypeJSONPatch && mut.JSONPatch != nil:
				m.patches = append(m.patches, patcher{expression.Mutator(c, expression.JSONPatch(mut.JSONPatch.Expression), vars), true})
			case mut.PatchType == admissionv1.PatchTypeApplyConfiguration && mut.ApplyConfiguration != nil:
				m.patches = append(m.patches, patcher{expression.Mutator(c, expression.Apply(mut.ApplyConfiguration.Expression), vars), false})
			}
		}
		out = append(out, m)
	}
	return out
}

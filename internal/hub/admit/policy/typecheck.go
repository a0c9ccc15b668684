package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/expression"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	celcommon "k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// most is how many kinds the expressions of a policy are checked against.
const most = 10

// known are the types that a policy's expressions are checked with.
type known struct {
	objects   []objectType
	params    *apiservercel.DeclType
	hasParams bool
	variables []admissionv1.Variable
}

type objectType struct {
	gvk  schema.GroupVersionKind
	decl *apiservercel.DeclType
}

// warnings says what is wrong with a policy's expressions, as far as the types of what it names tell. Wildcards and subresources in
// its rules name no types.
func (c *Checker) warnings(p *admissionv1.ValidatingAdmissionPolicy) []admissionv1.ExpressionWarning {
	t := c.types(p)
	var out []admissionv1.ExpressionWarning
	look := func(path *field.Path, text string) {
		if w := t.check(text); w != "" {
			out = append(out, admissionv1.ExpressionWarning{FieldRef: path.String(), Warning: w})
		}
	}
	path := field.NewPath("spec", "validations")
	for i, v := range p.Spec.Validations {
		look(path.Index(i).Child("expression"), v.Expression)
		if v.MessageExpression != "" {
			look(path.Index(i).Child("messageExpression"), v.MessageExpression)
		}
	}
	return out
}

func (c *Checker) types(p *admissionv1.ValidatingAdmissionPolicy) *known {
	t := &known{variables: p.Spec.Variables, hasParams: p.Spec.ParamKind != nil}
	for _, gvk := range c.named(p.Spec.MatchConstraints) {
		if d := c.declared(gvk); d != nil {
			t.objects = append(t.objects, objectType{gvk, d})
		}
	}
	if k := p.Spec.ParamKind; k != nil {
		if gv, err := schema.ParseGroupVersion(k.APIVersion); err == nil {
			t.params = c.declared(gv.WithKind(k.Kind))
		}
	}
	return t
}

// declared is the type of a kind; nil where nothing is known of it.
func (c *Checker) declared(gvk schema.GroupVersionKind) *apiservercel.DeclType {
	s, err := c.cfg.Schema(gvk)
	if err != nil || s == nil {
		return nil
	}
	d := celcommon.SchemaDeclType(&openapi.Schema{Schema: s}, true)
	if d == nil {
		return nil
	}
	return d.MaybeAssignTypeName(fmt.Sprintf("%s%d", gvk.Kind, time.Now().Nanosecond()))
}

// named are the kinds of the resources that rules name, in order.
func (c *Checker) named(m *admissionv1.MatchResources) []schema.GroupVersionKind {
	if m == nil {
		return nil
	}
	var out []schema.GroupVersionKind
	for i := range m.ResourceRules {
		r := &m.ResourceRules[i].Rule
		if wild(r.APIGroups) || wild(r.APIVersions) {
			continue
		}
		for _, gvr := range combined(r) {
			if k := c.cfg.Resource(gvr); k != nil && !slices.Contains(out, k.GVK()) && len(out) < most {
				out = append(out, k.GVK())
			}
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionKind) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Version, b.Version), strings.Compare(a.Kind, b.Kind))
	})
	return out
}

func wild(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "*") })
}

// combined are the resources that a rule names.
func combined(r *admissionv1.Rule) []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for _, group := range slices.Sorted(slices.Values(r.APIGroups)) {
		for _, v := range slices.Sorted(slices.Values(r.APIVersions)) {
			for _, resource := range slices.Sorted(slices.Values(r.Resources)) {
				if !strings.ContainsAny(resource, "*/") {
					out = append(out, schema.GroupVersionResource{Group: group, Version: v, Resource: resource})
				}
			}
		}
	}
	return out
}

// check compiles an expression with the type of each kind, and says what the compiler says; "" for nothing.
func (t *known) check(text string) string {
	var out []string
	for _, o := range t.objects {
		c, err := t.compiler(o.decl)
		if err != nil {
			continue
		}
		vars := plugincel.OptionalVariableDeclarations{HasParams: t.hasParams, HasAuthorizer: true}
		for _, v := range t.variables {
			c.CompileAndStoreVariable(expression.Variable(v.Name, v.Expression), vars, expression.Mode(true))
		}
		switch err := c.CompileCELExpression(expression.Variable("", text), vars, expression.Mode(true)).Error; {
		case err == nil:
		case err.Type == apiservercel.ErrorTypeInvalid:
			out = append(out, fmt.Sprintf("%v: %s\n", o.gvk, err))
		default:
			out = append(out, fmt.Sprintf("%v: type checking error: %v\n", o.gvk, err))
		}
	}
	return strings.Join(out, "\n")
}

// compiler compiles expressions with typed objects. It makes no programs and takes every type of result.
func (t *known) compiler(object *apiservercel.DeclType) (*plugincel.CompositedCompiler, error) {
	request, namespace := plugincel.BuildRequestType(), plugincel.BuildNamespaceType()
	decls := []*apiservercel.DeclType{namespace, request, object}
	vars := []cel.EnvOption{
		cel.Variable(plugincel.NamespaceVarName, namespace.CelType()), cel.Variable(plugincel.RequestVarName, request.CelType()),
		cel.Variable(plugincel.ObjectVarName, object.CelType()), cel.Variable(plugincel.OldObjectVarName, object.CelType()),
		cel.Variable(plugincel.AuthorizerVarName, library.AuthorizerType),
	}
	if t.hasParams {
		of := cel.DynType
		if t.params != nil {
			of, decls = t.params.CelType(), append(decls, t.params)
		}
		vars = append(vars, cel.Variable(plugincel.ParamsVarName, of))
	}
	env, err := expression.Base().Extend(environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: vars, DeclTypes: decls})
	if err != nil {
		return nil, err
	}
	c, err := plugincel.NewCompositedCompilerForTypeChecking(env)
	if err != nil {
		return nil, err
	}
	c.Compiler = typedCompiler{c}
	return c, nil
}

// typedCompiler makes no programs, and takes results of any type.
type typedCompiler struct{ *plugincel.CompositedCompiler }

// CompileCELExpression implements plugincel.Compiler.
func (t typedCompiler) CompileCELExpression(e plugincel.ExpressionAccessor, _ plugincel.OptionalVariableDeclarations, mode environment.Type) plugincel.CompilationResult {
	env, err := t.Env(mode)
	if err != nil {
		return plugincel.CompilationResult{Error: &apiservercel.Error{Type: apiservercel.ErrorTypeInternal, Detail: fmt.Sprintf("fail to build env: %v", err)}, ExpressionAccessor: e}
	}
	ast, issues := env.Compile(e.GetExpression())
	if issues != nil {
		return plugincel.CompilationResult{Error: &apiservercel.Error{Type: apiservercel.ErrorTypeInvalid, Detail: issues.String()}, ExpressionAccessor: e}
	}
	return plugincel.CompilationResult{OutputType: ast.OutputType()}
}

// Schemas finds the schema of a kind, without references in it. A kind that contains itself has an object of no known type there.
type Schemas func(schema.GroupVersionKind) (*spec.Schema, error)

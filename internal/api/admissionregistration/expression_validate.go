package admissionregistration

import (
	"errors"
	"fmt"
	"strings"

	"sampan.dev/internal/api/expression"
	"sampan.dev/internal/api/valid"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel"
)

// maxConditions is how many match conditions a webhook or a policy may have.
const maxConditions = 64

// checkConditions validates match conditions; known are expressions that are stored already.
func checkConditions(list []admissionv1.MatchCondition, params bool, known map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	if len(list) > maxConditions {
		errs = append(errs, field.TooMany(path, len(list), maxConditions))
	}
	compiler := expression.Compiler()
	for i, c := range list {
		at := path.Index(i)
		if text := strings.TrimSpace(c.Expression); text == "" {
			errs = append(errs, field.Required(at.Child("expression"), ""))
		} else {
			vars := plugincel.OptionalVariableDeclarations{HasParams: params, HasAuthorizer: true}
			errs = append(errs, compiles(compiler, expression.Condition(text), vars, known[text], at.Child("expression"))...)
		}
		if c.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
			continue
		}
		errs = append(errs, valid.QualifiedName(c.Name, at.Child("name"))...)
		if names[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		names[c.Name] = true
	}
	return errs
}

// compiles says what is wrong with an expression. One that is stored may use what only a server of the version that took it knew.
func compiles(c plugincel.Compiler, e *expression.Expression, vars plugincel.OptionalVariableDeclarations, stored bool, path *field.Path) field.ErrorList {
	if err := c.CompileCELExpression(e, vars, expression.Mode(stored)).Error; err != nil {
		return field.ErrorList{fieldError(err, e.Text, path)}
	}
	return nil
}

// fieldError makes a compiler's error one of the field that text stands in.
func fieldError(err error, text string, path *field.Path) *field.Error {
	var e *cel.Error
	if errors.As(err, &e) {
		switch e.Type {
		case cel.ErrorTypeRequired:
			return field.Required(path, e.Detail)
		case cel.ErrorTypeInvalid:
			return field.Invalid(path, text, e.Detail)
		case cel.ErrorTypeInternal:
			return field.InternalError(path, e)
		}
	}
	return field.InternalError(path, fmt.Errorf("unsupported error type: %w", err))
}

// scope is what the expressions of one policy share: the compiler, which learns the policy's variables as they are compiled, and
// what of it is stored already.
type scope struct {
	compiler plugincel.Compiler
	composed *plugincel.CompositedCompiler // nil where there are no variables
	params   bool
	known    known
}

// known are the expressions of a policy as it is stored, by the field that they stand in.
type known struct{ conditions, validations, messages, annotations, applied map[string]bool }

func newScope(composed, params bool, k known) *scope {
	s := &scope{compiler: expression.Compiler(), params: params, known: k}
	if composed {
		s.composed = expression.Composed()
		s.compiler = s.composed
	}
	return s
}

func (s *scope) vars() plugincel.OptionalVariableDeclarations {
	return plugincel.OptionalVariableDeclarations{HasParams: s.params, HasAuthorizer: true}
}

func (s *scope) checkVariables(list []admissionv1.Variable, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, v := range list {
		at := path.Index(i)
		if strings.TrimSpace(v.Name) == "" {
			errs = append(errs, field.Required(at.Child("name"), "name is not specified"))
		} else if !expression.Identifier(v.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), v.Name, "must be a valid CEL identifier"))
		}
		if strings.TrimSpace(v.Expression) == "" {
			errs = append(errs, field.Required(at.Child("expression"), "expression is not specified"))
			continue
		}
		e := expression.Variable(v.Name, v.Expression)
		if err := s.composed.CompileAndStoreVariable(e, s.vars(), expression.Mode(s.known.validations[v.Expression])).Error; err != nil {
			errs = append(errs, fieldError(err, e.Text, at.Child("expression")))
		}
	}
	return errs
}

func (s *scope) checkValidation(v *admissionv1.Validation, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.TrimSpace(v.Expression) == "" {
		errs = append(errs, field.Required(path.Child("expression"), "expression is not specified"))
	} else {
		errs = append(errs, compiles(s.compiler, expression.Condition(v.Expression), s.vars(), s.known.validations[v.Expression], path.Child("expression"))...)
	}
	if v.MessageExpression != "" && strings.TrimSpace(v.MessageExpression) == "" {
		errs = append(errs, field.Invalid(path.Child("messageExpression"), v.MessageExpression, "must be non-empty if specified"))
	} else if v.MessageExpression != "" {
		vars := plugincel.OptionalVariableDeclarations{HasParams: s.params}
		errs = append(errs, compiles(s.compiler, expression.Message(v.MessageExpression), vars, s.known.messages[v.MessageExpression], path.Child("messageExpression"))...)
	}
	if message := strings.TrimSpace(v.Message); v.Message != "" && message == "" {
		errs = append(errs, field.Invalid(path.Child("message"), v.Message, "must be non-empty if specified"))
	} else if strings.ContainsAny(message, "\n\r") {
		errs = append(errs, field.Invalid(path.Child("message"), v.Message, "must not contain line breaks"))
	}
	return append(errs, oneOf(v.Reason, reasons, path.Child("reason"))...)
}

func (s *scope) checkAnnotation(policy string, a *admissionv1.AuditAnnotation, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if policy != "" {
		errs = append(errs, valid.QualifiedName(policy+"/"+a.Key, path.Child("key"))...)
	} else {
		errs = append(errs, field.Invalid(path.Child("key"), a.Key, "requires metadata.name be non-empty"))
	}
	at := path.Child("valueExpression")
	switch text := strings.TrimSpace(a.ValueExpression); {
	case text == "":
		errs = append(errs, field.Required(at, "valueExpression is not specified"))
	case len(text) > maxAnnotation:
		errs = append(errs, field.Required(at, fmt.Sprintf("must not exceed %d bytes in length", maxAnnotation)))
	default:
		if err := s.compiler.CompileCELExpression(expression.Annotation(text), s.vars(), expression.Mode(s.known.annotations[a.ValueExpression])).Error; err != nil {
			errs = append(errs, fieldError(err, a.ValueExpression, at))
		}
	}
	return errs
}

// checkPatch validates the expression of a mutation; make says what it has to be.
func (s *scope) checkPatch(text string, make func(string) *expression.Expression, path *field.Path) field.ErrorList {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	vars := s.vars()
	vars.HasPatchTypes = true
	return compiles(s.compiler, make(trimmed), vars, s.known.applied[text], path)
}

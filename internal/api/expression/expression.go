package expression

import (
	"slices"
	"sync"

	"sampan.dev/internal/pattern"

	"github.com/google/cel-go/cel"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Expression is a text and what it may evaluate to. It is made by the functions below and never changed.
type Expression struct {
	Name    string // of a variable; "" for all others
	Text    string
	returns []*cel.Type
}

// GetExpression, GetName and ReturnTypes are what the compiler asks for.
func (e *Expression) GetExpression() string    { return e.Text }
func (e *Expression) GetName() string          { return e.Name }
func (e *Expression) ReturnTypes() []*cel.Type { return e.returns }

var (
	condition  = []*cel.Type{cel.BoolType}
	message    = []*cel.Type{cel.StringType}
	annotation = []*cel.Type{cel.StringType, cel.NullType}
	variable   = []*cel.Type{cel.AnyType, cel.DynType}
	applied    = []*cel.Type{cel.ObjectType("Object")}
	patch      = []*cel.Type{cel.ListType(cel.ObjectType("JSONPatch"))}
)

// Condition is an expression that is true or false: a match condition or a validation.
func Condition(text string) *Expression { return &Expression{Text: text, returns: condition} }

// Message is an expression that makes the text of a refusal.
func Message(text string) *Expression { return &Expression{Text: text, returns: message} }

// Annotation is an expression that makes the value of an audit annotation, or null for none.
func Annotation(text string) *Expression { return &Expression{Text: text, returns: annotation} }

// Variable is an expression of any type that others refer to as variables.name.
func Variable(name, text string) *Expression {
	return &Expression{Name: name, Text: text, returns: variable}
}

// Apply is an expression that makes the object to apply.
func Apply(text string) *Expression { return &Expression{Text: text, returns: applied} }

// JSONPatch is an expression that makes a list of patch operations.
func JSONPatch(text string) *Expression { return &Expression{Text: text, returns: patch} }

// Mode is the environment for an expression that is stored already, or for one that is new, which may use less: what only the
// newest release knows is no good to those who go back one.
func Mode(stored bool) environment.Type {
	if stored {
		return environment.StoredExpressions
	}
	return environment.NewExpressions
}

// Base is the environment of all expressions, which knows no variables.
func Base() *environment.EnvSet {
	return environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
}

// Compiler compiles expressions that use no variables. It keeps nothing of what it compiles, and is safe for concurrent use.
var Compiler = sync.OnceValue(func() plugincel.Compiler { return plugincel.NewCompiler(Base()) })

// Composed makes a compiler for one policy: it learns the policy's variables as they are compiled. It is used by one goroutine.
func Composed() *plugincel.CompositedCompiler {
	c, err := plugincel.NewCompositedCompiler(Base())
	if err != nil {
		panic("the environment of variables: " + err.Error()) // it depends on nothing that anybody sends
	}
	return c
}

// Evaluator compiles stored expressions that are evaluated together; nil in list holds the place of one that there is none of.
func Evaluator(c plugincel.Compiler, list []*Expression, vars plugincel.OptionalVariableDeclarations) plugincel.ConditionEvaluator {
	accessors := make([]plugincel.ExpressionAccessor, len(list))
	for i, e := range list {
		if e != nil {
			accessors[i] = e
		}
	}
	if composed, ok := c.(*plugincel.CompositedCompiler); ok {
		return composed.CompileCondition(accessors, vars, Mode(true))
	}
	results := make([]plugincel.CompilationResult, len(list))
	for i, a := range accessors {
		if a != nil {
			results[i] = c.CompileCELExpression(a, vars, Mode(true))
		}
	}
	return plugincel.NewCondition(results)
}

// Mutator compiles the stored expression of a mutation.
func Mutator(c plugincel.Compiler, e *Expression, vars plugincel.OptionalVariableDeclarations) plugincel.MutatingEvaluator {
	if composed, ok := c.(*plugincel.CompositedCompiler); ok {
		return composed.CompileMutatingEvaluator(e, vars, Mode(true))
	}
	return plugincel.NewMutatingEvaluator(c.CompileCELExpression(e, vars, Mode(true)))
}

var identifier = pattern.New("^[_a-zA-Z][_a-zA-Z0-9]*$")

var reserved = []string{
	"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
	"namespace", "return", "var", "void", "while",
}

// Identifier reports whether a variable may be called that.
func Identifier(name string) bool {
	return identifier.MatchString(name) && !slices.Contains(reserved, name)
}

package cel

import (
	"context"

	config "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/warning"
)

// What expressions may cost, in the units of cel-go's cost tracker, of which a million take about a tenth of a second.
const (
	PerCall     = config.PerCallLimit                        // one evaluation of one expression
	Budget      = config.RuntimeCELCostBudget                // all rules of one object, all expressions of one binding of a policy
	MatchBudget = config.RuntimeCELCostBudgetMatchConditions // all match conditions of one webhook
)

// Environment is what every expression is compiled in: the libraries of the release for expressions that are new, and those of
// the releases since for expressions that are stored. It is made once, by the first caller.
func Environment() *environment.EnvSet {
	return environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
}

// WithWarnings returns a context in which warn is told the warnings that evaluations under it have.
func WithWarnings(ctx context.Context, warn func(text string)) context.Context {
	return warning.WithWarningRecorder(ctx, recorder(warn))
}

type recorder func(text string)

// AddWarning implements warning.Recorder. The agent of a warning is always the server itself.
func (r recorder) AddWarning(_, text string) { r(text) }

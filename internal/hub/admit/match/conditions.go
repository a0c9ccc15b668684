package match

import (
	"context"

	"sampan.dev/internal/api/expression"

	"github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Conditions are the match conditions of a webhook or a policy, all of which must hold. They are safe for concurrent use.
type Conditions struct {
	compiled plugincel.ConditionEvaluator
	ignore   bool // what cannot be evaluated does not hold, rather than refuse the write
}

// NewConditions compiles conditions by c; nil for none.
func NewConditions(c plugincel.Compiler, list []admissionv1.MatchCondition, params bool, policy *admissionv1.FailurePolicyType) *Conditions {
	if len(list) == 0 {
		return nil
	}
	vars := plugincel.OptionalVariableDeclarations{HasParams: params, HasAuthorizer: true}
	all := make([]*expression.Expression, len(list))
	for i := range list {
		all[i] = expression.Condition(list[i].Expression)
	}
	return &Conditions{compiled: expression.Evaluator(c, all, vars), ignore: policy != nil && *policy == admissionv1.Ignore}
}

// Hold reports whether all of them hold of a write; params is nil where there are none. One that is false decides, whatever the
// others come to. ctx is that of the policy's variables where it has any.
func (c *Conditions) Hold(ctx context.Context, r *Request, v *Version, params runtime.Object, z authorizer.UnconditionalAuthorizer) (bool, error) {
	if c == nil {
		return true, nil
	}
	attrs := r.CEL(v)
	// The resource is the one that was asked for, whichever version the object is shown in.
	request := plugincel.CreateAdmissionRequest(attrs.Attributes, metav1.GroupVersionResource(r.kind.GVR()), metav1.GroupVersionKind(v.Kind))
	bind := plugincel.OptionalVariableBindings{VersionedParams: params, Authorizer: z}
	results, _, err := c.compiled.ForInput(ctx, attrs, request, bind, nil, celconfig.RuntimeCELCostBudgetMatchConditions)
	if err != nil {
		return c.failed(err)
	}
	var errs []error
	for _, res := range results {
		if res.Error != nil {
			errs = append(errs, res.Error)
		} else if res.EvalResult == types.False {
			return false, nil
		}
	}
	if len(errs) > 0 {
		return c.failed(utilerrors.NewAggregate(errs))
	}
	return true, nil
}

func (c *Conditions) failed(err error) (bool, error) {
	if c.ignore {
		return false, nil
	}
	return false, err
}

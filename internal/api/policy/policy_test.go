package policy

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"

	policyv1 "k8s.io/api/policy/v1"
)

const plain = `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: b, namespace: ns}
spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}
`

func TestBudget(t *testing.T) {
	apitest.Creates(t, PodDisruptionBudgets(), plain, []apitest.Change{
		{"spec: {maxUnavailable: 1}", `spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set`},
		{"spec: {minAvailable: 101%}", `spec.minAvailable: Invalid value: "101%": must not be greater than 100%`},
		{"spec: {minAvailable: -1}", `spec.minAvailable: Invalid value: -1: must be greater than or equal to 0`},
		{"spec: {unhealthyPodEvictionPolicy: X}", `spec.unhealthyPodEvictionPolicy: Unsupported value: "X": supported values: "AlwaysAllow", "IfHealthyBudget"`},
		{"spec: {selector: {matchExpressions: [{key: a, operator: X}]}}", `spec.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator`},
		{"spec: {selector: null}", ""},
	})
	apitest.Statuses(t, PodDisruptionBudgets(), plain, "", []apitest.Change{
		{"status: {disruptionsAllowed: -1, expectedPods: -1}", "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0\nstatus.expectedPods: Invalid value: -1: must be greater than or equal to 0"},
		{"status: {conditions: [{type: A}]}", "status.conditions[0].status: Required value\nstatus.conditions[0].lastTransitionTime: Required value\nstatus.conditions[0].reason: Required value"},
	})
}

// The label that v1beta1 left in selectors may stand alone.
func TestOldLabel(t *testing.T) {
	const alone = "spec: {selector: {matchLabels: null, matchExpressions: [{key: pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match, operator: Exists}]}}"
	const beside = "spec: {selector: {matchExpressions: [{key: pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match, operator: Exists}]}}"
	for patch, want := range map[string]int{alone: 1, beside: 0} {
		b := apitest.Made(t, PodDisruptionBudgets(), plain, patch).(*policyv1.PodDisruptionBudget)
		if got := len(b.Spec.Selector.MatchExpressions); got != want {
			t.Errorf("%s: %d", patch, got)
		}
	}
}

func TestBudgetRow(t *testing.T) {
	b := apitest.Read(t, PodDisruptionBudgets(), plain, "status: {disruptionsAllowed: 2}")
	if got := fmt.Sprint(PodDisruptionBudgets().Row(b)[:4]...); got != fmt.Sprint("b", "1", "N/A", int64(2)) {
		t.Error(got)
	}
}

// What a status update brings along of metadata stays, finalizers too.
func TestBudgetStatusKeepsMetadata(t *testing.T) {
	k := PodDisruptionBudgets()
	old := apitest.Made(t, k, plain, "").(*policyv1.PodDisruptionBudget)
	b := apitest.Read(t, k, plain, "metadata: {labels: {x: w}, finalizers: [a.b/c]}\nspec: {minAvailable: 7}").(*policyv1.PodDisruptionBudget)
	k.Sub("status").PrepareUpdate(b, old)
	if b.Labels["x"] != "w" || len(b.Finalizers) != 1 || b.Spec.MinAvailable.IntValue() != 1 {
		t.Error(apitest.JSON(t, b))
	}
}

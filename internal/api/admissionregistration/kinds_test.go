package admissionregistration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	hooks = `
metadata: {name: x}
webhooks:
- name: w.x.io
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {service: {namespace: n, name: s}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
`
	vap = `
metadata: {name: x}
spec:
  matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]}
  validations: [{expression: "object.data.size() < 3"}]
`
	mapolicy = `
metadata: {name: x}
spec:
  reinvocationPolicy: Never
  matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]}
  mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"}}]
`
	vapb = "metadata: {name: x}\nspec: {policyName: p, validationActions: [Deny]}\n"
	mapb = "metadata: {name: x}\nspec: {policyName: p}\n"
)

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		kind *api.Kind
		in   string
		want []string // parts of the JSON
	}{
		{MutatingWebhookConfigurations(), hooks, []string{`"port":443`, `"failurePolicy":"Fail"`, `"matchPolicy":"Equivalent"`, `"timeoutSeconds":10`, `"namespaceSelector":{}`,
			`"objectSelector":{}`, `"scope":"*"`, `"reinvocationPolicy":"Never"`}},
		{ValidatingWebhookConfigurations(), hooks, []string{`"port":443`, `"failurePolicy":"Fail"`, `"matchPolicy":"Equivalent"`, `"timeoutSeconds":10`, `"namespaceSelector":{}`,
			`"objectSelector":{}`, `"scope":"*"`}},
		{ValidatingAdmissionPolicies(), vap, []string{`"failurePolicy":"Fail"`, `"matchPolicy":"Equivalent"`, `"namespaceSelector":{}`, `"objectSelector":{}`, `"scope":"*"`}},
		{MutatingAdmissionPolicies(), mapolicy, []string{`"failurePolicy":"Fail"`, `"matchPolicy":"Equivalent"`, `"namespaceSelector":{}`, `"objectSelector":{}`, `"scope":"*"`}},
		{ValidatingAdmissionPolicyBindings(), vapb + "  \n", nil},
		{MutatingAdmissionPolicyBindings(), mapb, nil},
	} {
		o := apitest.Read(t, c.kind, c.in, "")
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range c.want {
			if !strings.Contains(string(data), part) {
				t.Errorf("%s: no %s in %s", c.kind.Kind, part, data)
			}
		}
		if errs := c.kind.Validate(o); len(errs) > 0 {
			t.Errorf("%s: %s", c.kind.Kind, apitest.Text(errs))
		}
		if c.kind.PrepareCreate(o); o.GetGeneration() != 1 {
			t.Errorf("%s: generation %d", c.kind.Kind, o.GetGeneration())
		}
		next := o.DeepCopyObject().(api.Object)
		next.SetLabels(map[string]string{"a": "b"})
		if c.kind.PrepareUpdate(next, o); next.GetGeneration() != 1 {
			t.Errorf("%s: a label makes generation %d", c.kind.Kind, next.GetGeneration())
		}
	}
}

// Each row changes one thing of a good object, by replacing a piece of its text.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		kind      *api.Kind
		from      string
		old, new  string
		want      string // a part of the errors
		exactHere bool
	}{
		{MutatingWebhookConfigurations(), hooks, "w.x.io", "w", `webhooks[0].name: Invalid value: "w": should be a domain with at least three segments separated by dots`, true},
		{MutatingWebhookConfigurations(), hooks, "sideEffects: None", "", `webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun`, true},
		{MutatingWebhookConfigurations(), hooks, "sideEffects: None", "sideEffects: Some", `webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"`, true},
		{MutatingWebhookConfigurations(), hooks, "[v1]\n", "[]\n", `webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1`, true},
		{MutatingWebhookConfigurations(), hooks, "[v1]\n", "[v2]\n", `webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1`, true},
		{MutatingWebhookConfigurations(), hooks, "[v1]\n", "[v1, v1]\n", `webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version`, true},
		{MutatingWebhookConfigurations(), hooks, "{service: {namespace: n, name: s}}", "{}", `webhooks[0].clientConfig: Required value: exactly one of url or service is required`, true},
		{MutatingWebhookConfigurations(), hooks, "{service: {namespace: n, name: s}}", "{url: 'http://u@h/p?q=1#f'}", `webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]
webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL
webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL
webhooks[0].clientConfig.url: Invalid value: "q=1": query parameters are not permitted in the URL`, true},
		{MutatingWebhookConfigurations(), hooks, "name: s}", "name: ''}", `webhooks[0].clientConfig.service.namespace: Required value`, true},
		{MutatingWebhookConfigurations(), hooks, "name: s}", "name: s, port: 70000, path: x//y}", `webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive
webhooks[0].clientConfig.service.path: Invalid value: "x//y": must start with a '/'`, false},
		{MutatingWebhookConfigurations(), hooks, "[CREATE]", "[CREATE, '*', FOO]", `webhooks[0].rules[0].operations: Invalid value: ["CREATE","*","FOO"]: if '*' is present, must not specify other operations
webhooks[0].rules[0].operations[2]: Unsupported value: "FOO": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"`, true},
		{MutatingWebhookConfigurations(), hooks, "[pods]", "['*', pods]", `webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources`, true},
		{MutatingWebhookConfigurations(), hooks, "[pods]", "[pods/*, pods/status, '*/*']", `webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status`, false},
		{MutatingWebhookConfigurations(), hooks, "  rules:", "  timeoutSeconds: 31\n  rules:", `webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds`, true},
		{MutatingWebhookConfigurations(), hooks, "  rules:", "  reinvocationPolicy: Often\n  rules:", `webhooks[0].reinvocationPolicy: Unsupported value: "Often": supported values: "IfNeeded", "Never"`, true},
		{MutatingWebhookConfigurations(), hooks, "  rules:", "  matchConditions: [{name: a, expression: 'object.x =='}]\n  rules:", `webhooks[0].matchConditions[0].expression: Invalid value: "object.x ==": compilation failed: ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>'`, false},
		{MutatingWebhookConfigurations(), hooks, "  rules:", "  matchConditions: [{name: a, expression: '1'}]\n  rules:", `webhooks[0].matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int`, true},
		{MutatingWebhookConfigurations(), hooks, "  rules:", "  matchConditions: [{name: a, expression: 'params.x == 1'}]\n  rules:", "undeclared reference to 'params'", false},
		{MutatingWebhookConfigurations(), hooks, "{name: x}", "{name: x.static.k8s.io}", `metadata.name: Invalid value: "x.static.k8s.io": names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot be managed via the API`, true},
		{ValidatingWebhookConfigurations(), hooks + strings.TrimPrefix(hooks, "\nmetadata: {name: x}\nwebhooks:\n"), "", "", `webhooks[1].name: Duplicate value: "w.x.io"`, true},

		{ValidatingAdmissionPolicies(), vap, "  validations: [{expression: \"object.data.size() < 3\"}]", "", `spec.validations: Required value: validations or auditAnnotations must contain at least one item
spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item`, true},
		{ValidatingAdmissionPolicies(), vap, "object.data.size() < 3", "nosuch", `spec.validations[0].expression: Invalid value: "nosuch": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nosuch' (in container '')`, false},
		{ValidatingAdmissionPolicies(), vap, "[{expression:", "[{reason: Nope, message: \"a\\nb\", messageExpression: '1', expression:", `spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int
spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks
spec.validations[0].reason: Unsupported value: "Nope": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"`, true},
		{ValidatingAdmissionPolicies(), vap, "  validations:", "  variables: [{name: in, expression: '1'}, {name: b, expression: 'variables.c'}]\n  validations:", `spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier
spec.variables[1].expression: Invalid value: "variables.c": compilation failed: ERROR: <input>:1:10: undefined field 'c'`, false},
		{ValidatingAdmissionPolicies(), vap, "object.data.size() < 3\"}]", "variables.size < 3\"}]\n  variables: [{name: size, expression: object.data.size()}]", "", true},
		{ValidatingAdmissionPolicies(), vap, "  validations:", "  paramKind: {apiVersion: a/b/c, kind: '-'}\n  validations:", `spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c`, false},
		{ValidatingAdmissionPolicies(), vap, "  validations:", "  auditAnnotations: [{key: a, valueExpression: '1'}, {key: a, valueExpression: '\"x\"'}]\n  validations:", `spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int
spec.auditAnnotations[1].key: Duplicate value: "a"`, true},

		{ValidatingAdmissionPolicyBindings(), vapb, "[Deny]", "[Deny, Warn, Warn]", `spec.validationActions[2]: Duplicate value: "Warn"
spec.validationActions: Invalid value: ["Deny","Warn","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)`, true},
		{ValidatingAdmissionPolicyBindings(), vapb, "[Deny]", "[]", `spec.validationActions: Required value: at least one validation action is required`, true},
		{ValidatingAdmissionPolicyBindings(), vapb, "policyName: p", "policyName: '', paramRef: {}", `spec.policyName: Required value
spec.paramRef: Required value: one of name or selector must be specified
spec.paramRef.parameterNotFoundAction: Required value`, true},

		{MutatingAdmissionPolicies(), mapolicy, "reinvocationPolicy: Never", "", `spec.reinvocationPolicy: Required value`, true},
		{MutatingAdmissionPolicies(), mapolicy, "[CREATE]", "[DELETE]", `spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"`, true},
		{MutatingAdmissionPolicies(), mapolicy, "patchType: ApplyConfiguration", "patchType: JSONPatch", `spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch
spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch`, true},
		{MutatingAdmissionPolicies(), mapolicy, "Object{metadata: Object.metadata{labels: {'a': 'b'}}}", "1", `spec.mutations[0].applyConfiguration.expression: Invalid value: "1": must evaluate to Object but got int`, true},
		{MutatingAdmissionPolicies(), mapolicy, "patchType: ApplyConfiguration, applyConfiguration: {expression: \"Object{metadata: Object.metadata{labels: {'a': 'b'}}}\"",
			"patchType: JSONPatch, jsonPatch: {expression: \"[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('a/b'), value: 'x'}]\"", "", true},
		{MutatingAdmissionPolicyBindings(), mapb, "policyName: p", "policyName: p, matchResources: {resourceRules: [{operations: [DELETE], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}",
			`spec.matchResources.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"`, true},
	} {
		t.Run(fmt.Sprint(c.kind.Resource, " ", c.new), func(t *testing.T) {
			if !strings.Contains(c.from, c.old) {
				t.Fatalf("no %q in it", c.old)
			}
			got := apitest.Text(c.kind.Validate(apitest.Read(t, c.kind, strings.Replace(c.from, c.old, c.new, 1), "")))
			if c.exactHere && got != c.want || !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What is stored may be as wrong as it was; what changes may not.
func TestUpdateRatchets(t *testing.T) {
	k := MutatingWebhookConfigurations()
	old := apitest.Read(t, k, strings.NewReplacer("None", "Some", "[v1]\n", "[v2]\n").Replace(hooks), "")
	next := old.DeepCopyObject().(api.Object)
	next.SetLabels(map[string]string{"a": "b"})
	if errs := k.ValidateUpdate(next, old); len(errs) > 0 {
		t.Error(apitest.Text(errs))
	}
	good := apitest.Read(t, k, hooks, "")
	if errs := k.ValidateUpdate(next, good); len(errs) != 2 {
		t.Error(apitest.Text(errs))
	}
}

func TestWarnings(t *testing.T) {
	k := ValidatingWebhookConfigurations()
	o := apitest.Read(t, k, strings.NewReplacer(`[""]`, `["authentication.k8s.io", "authorization.k8s.io"]`, "[pods]", "[tokenreviews, tokenreviews, subjectaccessreviews]").Replace(hooks), "")
	const want = `webhooks[0].rules[0]: tokenreviews.authentication.k8s.io is excluded from admission webhooks; this rule will have no effect
webhooks[0].rules[0]: subjectaccessreviews.authorization.k8s.io is excluded from admission webhooks; this rule will have no effect`
	if got := strings.Join(k.Warnings(o, nil), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	o.SetName("x.static.k8s.io")
	if got := strings.Join(k.Warnings(o, o), "\n"); !strings.HasPrefix(got, `metadata.name: names ending with ".static.k8s.io" are reserved`) {
		t.Error(got)
	}
}

func TestRows(t *testing.T) {
	made := metav1.Unix(3600, 0)
	for _, c := range []struct {
		kind *api.Kind
		in   string
		want string
	}{
		{MutatingWebhookConfigurations(), hooks, "x 1"},
		{ValidatingWebhookConfigurations(), hooks, "x 1"},
		{ValidatingAdmissionPolicies(), vap, "x 1 <unset>"},
		{ValidatingAdmissionPolicies(), strings.Replace(vap, "spec:", "spec:\n  paramKind: {apiVersion: v1, kind: ConfigMap}", 1), "x 1 v1/ConfigMap"},
		{MutatingAdmissionPolicies(), mapolicy, "x 1 <unset>"},
		{ValidatingAdmissionPolicyBindings(), vapb, "x p <unset>"},
		{ValidatingAdmissionPolicyBindings(), strings.Replace(vapb, "policyName: p", "policyName: p, paramRef: {name: c}", 1), "x p */c"},
		{MutatingAdmissionPolicyBindings(), strings.Replace(mapb, "policyName: p", "policyName: p, paramRef: {name: c, namespace: ns}", 1), "x p ns/c"},
	} {
		o := apitest.Read(t, c.kind, c.in, "")
		o.SetCreationTimestamp(made)
		row := c.kind.Row(o)
		if got := strings.TrimSpace(fmt.Sprintln(row[:len(row)-1]...)); got != c.want || row[len(row)-1] != made {
			t.Errorf("%s: %q %v, want %q", c.kind.Kind, got, row[len(row)-1], c.want)
		}
	}
}

func TestStatus(t *testing.T) {
	k := ValidatingAdmissionPolicies()
	old := apitest.Read(t, k, vap, "").(*validatingPolicy)
	p := old.DeepCopy()
	p.Labels, p.Spec.Validations = map[string]string{"a": "b"}, nil
	p.Status.TypeChecking = &admissionv1.TypeChecking{ExpressionWarnings: []admissionv1.ExpressionWarning{{}, {FieldRef: "spec.validations[0", Warning: "w"}}}
	sub := k.Sub("status")
	if sub.PrepareUpdate(p, old); len(p.Labels) > 0 || len(p.Spec.Validations) != 1 {
		t.Errorf("through status: %v", p)
	}
	const want = `status.typeChecking.expressionWarnings[0].warning: Required value
status.typeChecking.expressionWarnings[0].fieldRef: Required value
status.typeChecking.expressionWarnings[1].fieldRef: Invalid value: "spec.validations[0": invalid JSONPath: unterminated array`
	if got := apitest.Text(sub.ValidateUpdate(p, old)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const policyPath = "/apis/admissionregistration.k8s.io/v1/"

// bound stores a policy and a binding of the same name; kind is "Validating" or "Mutating". Both are the specs, in YAML.
func bound(t *testing.T, h *Hub, kind, name, policy, binding string) {
	t.Helper()
	for i, text := range []string{policy, binding} {
		what, path := kind+"AdmissionPolicy", strings.ToLower(kind)+"admissionpolicies"
		if i == 1 {
			what, path = what+"Binding", strings.ToLower(kind)+"admissionpolicybindings"
			text = "policyName: " + name + "\n" + text
		}
		spec, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":%q,"metadata":{"name":%q},"spec":%s}`, what, name, spec)
		expect(t, h, "201 POST "+policyPath+path, body)
	}
}

func unbound(t *testing.T, h *Hub, kind, name string) {
	t.Helper()
	expect(t, h, "200 DELETE "+policyPath+strings.ToLower(kind)+"admissionpolicybindings/"+name, "")
	expect(t, h, "200 DELETE "+policyPath+strings.ToLower(kind)+"admissionpolicies/"+name, "")
}

const aboutConfigMaps = `
matchConstraints:
  resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]
`

const deny = "validationActions: [Deny]\n"

func TestValidatingAdmissionPolicy(t *testing.T) {
	h := start(t, nil)
	expect(t, h, "201 POST "+configMaps, `{"metadata":{"name":"limit","labels":{"for":"v"}},"data":{"max":"1"}}`)
	expect(t, h, "201 POST "+configMaps, `{"metadata":{"name":"wide","labels":{"for":"v"}},"data":{"max":"9"}}`)
	for i, c := range []struct {
		policy, binding string
		code            int
		want            string // a part of the answer
		warning         string
	}{
		{"validations: [{expression: object.data.size() < 2}]", deny, 422, `"message":"configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'v' with binding 'v' denied request: failed expression: object.data.size() \u003c 2",` +
			`"reason":"Invalid","details":{"name":"x","kind":"configmaps","causes":[{"message":"ValidatingAdmissionPolicy 'v' with binding 'v' denied request: failed expression: object.data.size() \u003c 2"}]},"code":422`, ""},
		{"validations: [{expression: object.data.size() < 2, message: ' too many ', reason: Forbidden}]", deny, 403, `denied request: too many","reason":"Forbidden"`, ""},
		{"validations: [{expression: object.data.size() < 2, messageExpression: '\"too many: \" + string(object.data.size())', message: other, reason: RequestEntityTooLarge}]", deny, 413, `denied request: too many: 2`, ""},
		{"validations: [{expression: object.data.size() < 2, messageExpression: string(object.nosuch), message: other}]", deny, 422, `denied request: other`, ""},
		{"validations: [{expression: object.data.nosuch == '1'}]", deny, 422, `denied request: expression 'object.data.nosuch == '1'' resulted in error: no such key: nosuch`, ""},
		{"failurePolicy: Ignore\nvalidations: [{expression: object.data.nosuch == '1'}]", deny, 201, "", ""},
		{"validations: [{expression: object.data.size() < 2}]", "validationActions: [Warn, Audit]", 201, "", "Validation failed for ValidatingAdmissionPolicy 'v' with binding 'v': failed expression: object.data.size() < 2"},
		{"variables: [{name: size, expression: object.data.size()}, {name: more, expression: variables.size + 1}]\nvalidations: [{expression: variables.more > 3, messageExpression: '\"it is \" + string(variables.more)'}]", deny, 422, "denied request: it is 3", ""},
		{"matchConditions: [{name: other, expression: request.name != 'x'}]\nvalidations: [{expression: 'false'}]", deny, 201, "", ""},
		{"validations: [{expression: \"namespaceObject.metadata.name == 'default' && request.operation == 'CREATE' && request.userInfo.username == 'admin' && oldObject == null\"}]", deny, 201, "", ""},
		{"validations: [{expression: \"authorizer.group('').resource('configmaps').namespace('default').check('create').allowed() && !authorizer.path('/x').check('get').errored()\"}]", deny, 201, "", ""},
		{"validations: [{expression: 'object.data.all(a, object.data.all(b, object.data.all(c, object.data.all(d, a.matches(b+c+d+\".*.*.*\") || true))))'}]", deny, 201, "", ""},

		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: object.data.size() <= int(params.data.max), messageExpression: '\"at most \" + params.data.max'}]",
			deny + "paramRef: {name: limit, namespace: default, parameterNotFoundAction: Deny}", 422, "denied request: at most 1", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: object.data.size() <= int(params.data.max), messageExpression: '\"at most \" + params.data.max'}]",
			deny + "paramRef: {name: wide, parameterNotFoundAction: Deny}", 201, "", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: object.data.size() <= int(params.data.max), messageExpression: '\"at most \" + params.data.max'}]",
			deny + "paramRef: {selector: {matchLabels: {for: v}}, parameterNotFoundAction: Deny}", 422, "denied request: at most 1", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: 'false'}]", deny + "paramRef: {name: none, parameterNotFoundAction: Deny}", 422,
			"ValidatingAdmissionPolicy 'v' with binding 'v' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: 'false'}]", deny + "paramRef: {name: none, parameterNotFoundAction: Allow}", 201, "", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: params == null}]", deny, 201, "", ""},
		{"paramKind: {apiVersion: example.com/v1, kind: Nosuch}\nvalidations: [{expression: 'true'}]", deny, 422,
			"ValidatingAdmissionPolicy 'v' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Nosuch'", ""},

		{"validations: [{expression: 'false'}]", deny + "matchResources: {namespaceSelector: {matchLabels: {no: such}}}", 201, "", ""},
		{"validations: [{expression: 'false'}]", deny + "matchResources: {excludeResourceRules: [{resourceNames: [x], operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}", 201, "", ""},
		{"validations: [{expression: 'false'}]", deny + "matchResources: {resourceRules: [{resourceNames: [x], operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}", 422, "", ""},
	} {
		bound(t, h, "Validating", "v", c.policy+aboutConfigMaps, c.binding)
		a := do(h, "POST", configMaps, configMap("x", `"a":"1","b":"2"`))
		if a.code != c.code || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%d: %d %s\nwant %d %s", i, a.code, a.body, c.code, c.want)
		}
		if got := a.header.Get("Warning"); c.warning != "" && got != `299 - "`+c.warning+`"` || c.warning == "" && got != "" {
			t.Errorf("%d: warning %q, want %q", i, got, c.warning)
		}
		unbound(t, h, "Validating", "v")
		if a.code == 201 {
			expect(t, h, "200 DELETE "+configMaps+"/x", "")
		}
	}
}

func TestMutatingAdmissionPolicy(t *testing.T) {
	h := start(t, nil)
	const conf = "reinvocationPolicy: Never" + aboutConfigMaps
	apply := func(expression string) string {
		data, _ := json.Marshal(expression)
		return conf + "mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: " + string(data) + "}}]"
	}
	patch := func(expression string) string {
		data, _ := json.Marshal(expression)
		return conf + "mutations: [{patchType: JSONPatch, jsonPatch: {expression: " + string(data) + "}}]"
	}
	for i, c := range []struct {
		policy string
		code   int
		want   string // the labels, or a part of the answer
	}{
		{apply(`Object{metadata: Object.metadata{labels: {"added": object.data.a}}}`), 201, "map[added:1 was:here]"},
		{patch(`[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x/y"), value: "v"}, JSONPatch{op: "remove", path: "/metadata/labels/was"}]`), 201, "map[x/y:v]"},
		{patch(`[JSONPatch{op: "test", path: "/data/a", value: "other"}, JSONPatch{op: "remove", path: "/metadata/labels"}]`), 201, "map[was:here]"},
		{patch(`[JSONPatch{op: "add", path: "/nosuch/x", value: "v"}]`), 403, `"message":"policy 'm' with binding 'm' denied request: JSON Patch: add operation does not apply: doc is missing path: \"/nosuch/x\": missing value","reason":"Invalid"`},
		{apply(`Object{nosuch: "x"}`), 403, `.nosuch: field not declared in schema`},
		{apply(`Object{metadata: Object.metadata{labels: {"a": string(object.nosuch)}}}`), 403, "resulted in error: no such key: nosuch"},
		{"failurePolicy: Ignore\n" + apply(`Object{metadata: Object.metadata{labels: {"a": string(object.nosuch)}}}`), 201, "map[was:here]"},
		{"variables: [{name: l, expression: '{\"v\": \"x\"}'}]\n" + apply(`Object{metadata: Object.metadata{labels: variables.l}}`), 201, "map[v:x was:here]"},
	} {
		bound(t, h, "Mutating", "m", c.policy, "matchResources: {}")
		a := do(h, "POST", configMaps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"was":"here"}},"data":{"a":"1"}}`)
		got := string(a.body)
		if a.code == 201 {
			got = fmt.Sprint(dig(a.object(t), "metadata.labels"))
			if managed := fmt.Sprint(dig(a.object(t), "metadata.managedFields")); strings.Contains(managed, "f:added") {
				t.Errorf("%d: managed fields: %s", i, managed)
			}
			expect(t, h, "200 DELETE "+configMaps+"/x", "")
		}
		if a.code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%d: %d %s\nwant %d %s", i, a.code, got, c.code, c.want)
		}
		unbound(t, h, "Mutating", "m")
	}
}

// A policy is applied again when another has changed the object after it, and only if it wants to.
func TestReinvocationOfPolicies(t *testing.T) {
	h := start(t, nil)
	count := func(policy, name string) string {
		return "reinvocationPolicy: " + policy + aboutConfigMaps + `mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{metadata: Object.metadata{annotations: {'` + name +
			`': string(object.data.size()) + (has(object.metadata.annotations) && '` + name + `' in object.metadata.annotations ? object.metadata.annotations['` + name + `'] : '')}}}"}}]`
	}
	bound(t, h, "Mutating", "a", count("IfNeeded", "a"), "matchResources: {}")
	bound(t, h, "Mutating", "b", count("Never", "b"), "matchResources: {}")
	a := expect(t, h, "201 POST "+configMaps, configMap("x", `"k":"v"`))
	if got := fmt.Sprint(dig(a.object(t), "metadata.annotations")); got != "map[a:11 b:1]" {
		t.Errorf("annotations %s", got)
	}
}

// What a policy changes in a kind with a type of its own comes back with its defaults.
func TestMutatingTypedObjects(t *testing.T) {
	h := start(t, withoutAccounts)
	bound(t, h, "Mutating", "side", `
reinvocationPolicy: IfNeeded
matchConstraints:
  resourceRules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
matchConditions: [{name: once, expression: "!object.spec.containers.exists(c, c.name == 'side')"}]
mutations:
- patchType: ApplyConfiguration
  applyConfiguration:
    expression: "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 'side:1'}]}}"
`, "matchResources: {}")
	a := expect(t, h, "201 POST /api/v1/namespaces/default/pods", `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	containers, _ := dig(a.object(t), "spec.containers").([]any)
	if len(containers) != 2 || containers[1].(map[string]any)["imagePullPolicy"] != "IfNotPresent" {
		t.Errorf("%s", a.body)
	}
}

package hub

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestBadInput sends what a client may get wrong and compares the status code, reason and message with upstream's.
func TestBadInput(t *testing.T) { synctest.Test(t, badInput) }

func badInput(t *testing.T) {
	h := start(t, nil)
	const cms = "/api/v1/namespaces/default/configmaps"
	made := do(h, "POST", cms, `{"metadata":{"name":"there"},"data":{"a":"b"}}`)
	if made.code != 201 {
		t.Fatalf("%d %s", made.code, made.body)
	}
	do(h, "PUT", cms+"/there", `{"metadata":{"name":"there"},"data":{"a":"c"}}`)
	first := dig(made.object(t), "metadata.resourceVersion").(string)
	pod := func(spec string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":` + spec + `}`
	}
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		code                     int
		reason                   metav1.StatusReason
		message                  string
	}{
		{"unknown field, strict", "POST", "/api/v1/namespaces/default/pods?fieldValidation=Strict", pod(`{"x":1,"containers":[{"name":"a","image":"b"}]}`), nil,
			400, "BadRequest", `Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.x"`},
		{"two unknown fields, strict, yaml", "POST", cms + "?fieldValidation=Strict", "metadata: {name: z}\ndata: {}\nfoo: 1\nbar: 2\n", []string{"Content-Type: application/yaml"},
			400, "BadRequest", `ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bar", unknown field "foo"`},
		{"wrong type", "POST", "/api/v1/namespaces/default/pods", pod(`{"containers":"none"}`), nil,
			400, "BadRequest", `Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`},
		{"no JSON", "POST", cms, `{"metadata":`, nil, 400, "BadRequest", `the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({"metadata":)`},
		{"wrong kind", "POST", cms, pod(`{}`), nil, 400, "BadRequest", `Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion`},
		{"wrong version", "POST", "/apis/events.k8s.io/v1/namespaces/default/events", `{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"}}`, nil,
			400, "BadRequest", `the API version in the data (v1) does not match the expected API version (events.k8s.io/v1)`},
		{"invalid name", "POST", cms, `{"metadata":{"name":"Not_A_Name"}}`, nil, 422, "Invalid",
			`ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
		{"no name", "POST", cms, `{}`, nil, 422, "Invalid", `ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required`},
		{"stale resourceVersion", "PUT", cms + "/there", `{"metadata":{"name":"there","resourceVersion":"` + first + `"},"data":{"a":"d"}}`, nil, 409, "Conflict",
			`Operation cannot be fulfilled on configmaps "there": the object has been modified; please apply your changes to the latest version and try again`},
		{"wrong uid", "PUT", cms + "/there", `{"metadata":{"name":"there","uid":"other"}}`, nil, 409, "Conflict",
			`Operation cannot be fulfilled on configmaps "there": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/there, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: …`},
		{"resourceVersion on create", "POST", cms, `{"metadata":{"name":"rv","resourceVersion":"1"}}`, nil, 500, "", "resourceVersion should not be set on objects to be created"},
		{"resourceVersion on create, already there", "POST", cms + "?dryRun=All", `{"metadata":{"name":"there","resourceVersion":"1"}}`, nil, 409, "AlreadyExists", `configmaps "there" already exists`},
		{"wrong uid, dry run", "PUT", cms + "/there?dryRun=All", `{"metadata":{"name":"there","uid":"other"}}`, nil, 409, "Conflict",
			`Operation cannot be fulfilled on configmaps "there": StorageError: invalid object, Code: 4, Key: /configmaps/default/there, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: …`},
		{"already there", "POST", cms, `{"metadata":{"name":"there"}}`, nil, 409, "AlreadyExists", `configmaps "there" already exists`},
		{"a name that is no segment", "GET", cms + "/a%25b", "", nil, 400, "BadRequest", `Name parameter invalid: "a%b": may not contain '%'`},
		{"a name that is the folder", "DELETE", cms + "/.", "", nil, 400, "BadRequest", `Name parameter invalid: ".": may not be '.'`},
		{"a name that is no segment, patch", "PATCH", cms + "/..", `{}`, []string{"Content-Type: application/merge-patch+json"}, 400, "BadRequest", `Name parameter invalid: "..": may not be '..'`},
		{"a name that is no segment, update", "PUT", cms + "/a%25b", `{"metadata":{"name":"a%b"}}`, nil, 400, "BadRequest", `Name parameter invalid: "a%b": may not contain '%'`},
		{"deletion of a kind of its own", "DELETE", cms + "/there", `{"kind":"Foo"}`, nil, 400, "BadRequest", `no kind "Foo" is registered for version "meta.k8s.io/v1" in scheme "pkg/runtime/scheme.go:111"`},
		{"deletion by a list", "DELETE", cms + "/there", `[]`, nil, 400, "BadRequest",
			`couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }`},
		{"a collection of unreadable objects", "DELETE", cms + "?labelSelector=none", `{"ignoreStoreReadErrorWithClusterBreakingPotential":true}`, nil, 422, "Invalid",
			`DeleteOptions.meta.k8s.io "" is invalid: ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: is not allowed with DELETECOLLECTION, try again after removing the option`},
		{"a review by name", "GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x", "", nil, 404, "NotFound", "the server could not find the requested resource"},
		{"no such version, no such media type", "GET", "/apis/apps/v9", "", []string{"Accept: text/html"}, 404, "NotFound", "the server could not find the requested resource"},
		{"applied YAML", "PATCH", cms + "/there?fieldManager=m", "a: b: c", []string{"Content-Type: application/apply-patch+yaml"}, 400, "BadRequest", "error encoding patch: yaml: mapping values are not allowed in this context"},
		{"clusterIPs alone", "POST", "/api/v1/namespaces/default/services", `{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}],"clusterIPs":["10.96.5.5"]}}`, nil,
			422, "Invalid", "Service \"s\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.5.5\"]: must be empty when `clusterIP` is not specified"},
		{"not there", "GET", cms + "/none", "", nil, 404, "NotFound", `configmaps "none" not found`},
		{"update of nothing", "PUT", cms + "/none", `{"metadata":{"name":"none"}}`, nil, 404, "NotFound", `configmaps "none" not found`},
		{"other name in body", "PUT", cms + "/there", `{"metadata":{"name":"other"}}`, nil, 400, "BadRequest", `the name of the object (other) does not match the name on the URL (there)`},
		{"other namespace in body", "POST", cms, `{"metadata":{"name":"x","namespace":"kube-system"}}`, nil, 400, "BadRequest", `the namespace of the provided object does not match the namespace sent on the request`},
		{"no such namespace", "POST", "/api/v1/namespaces/none/configmaps", `{"metadata":{"name":"x"}}`, nil, 404, "NotFound", `namespaces "none" not found`},
		{"body over 3 MiB", "POST", cms, `{"data":{"a":"` + strings.Repeat("x", 3<<20) + `"}}`, nil, 413, "RequestEntityTooLarge", `Request entity too large: limit is 3145728`},
		{"unknown resource", "GET", "/api/v1/namespaces/default/nothings", "", nil, 404, "NotFound", `the server could not find the requested resource`},
		{"unknown subresource", "GET", cms + "/there/status", "", nil, 404, "NotFound", `the server could not find the requested resource`},
		{"cluster-scoped in a namespace", "GET", "/api/v1/namespaces/default/nodes", "", nil, 404, "NotFound", `the server could not find the requested resource`},
		{"wrong method", "POST", cms + "/there", `{}`, nil, 405, "MethodNotAllowed", `the server does not allow this method on the requested resource`},
		{"wrong token", "GET", cms, "", []string{"Authorization: Bearer wrong"}, 401, "Unauthorized", "Unauthorized"},
		{"no credentials", "GET", cms, "", []string{"X-User: nobody"}, 401, "Unauthorized", "Unauthorized"},
		{"not allowed", "GET", cms, "", []string{"X-User: jane"}, 403, "Forbidden", `configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default"`},
		{"path not allowed", "GET", "/metrics", "", []string{"X-User: jane"}, 403, "Forbidden", `forbidden: User "jane" cannot get path "/metrics"`},
		{"impersonation not allowed", "GET", cms, "", []string{"X-User: jane", "Impersonate-User: bob"}, 403, "Forbidden", `configmaps is forbidden: User "jane" cannot impersonate-on:user-info:list resource "configmaps" in API group "" in the namespace "default"`},
		{"unknown field label", "GET", "/api/v1/pods?fieldSelector=spec.foo%3Dx", "", nil, 400, "BadRequest", `field label not supported: spec.foo`},
		{"bad label selector", "GET", "/api/v1/pods?labelSelector=%3D%3D", "", nil, 400, "BadRequest", `found '==', expected: !, identifier, or 'end of string'`},
		{"bad continue", "GET", "/api/v1/pods?continue=abc", "", nil, 400, "BadRequest", `invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value`},
		{"match without version", "GET", "/api/v1/pods?resourceVersionMatch=Exact", "", nil, 422, "Invalid", `ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided`},
		{"media type of body", "POST", cms, `x`, []string{"Content-Type: text/plain"}, 415, "UnsupportedMediaType", `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf`},
		{"media type of patch", "PATCH", cms + "/there", `{}`, []string{"Content-Type: application/json"}, 415, "UnsupportedMediaType", `415: Unsupported Media Type`},
		{"media type of answer", "GET", cms, "", []string{"Accept: text/html"}, 406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"},
		{"half a media type of answer", "GET", cms + "/there", "", []string{"Accept: application/*"}, 406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"media type of version", "GET", "/version", "", []string{"Accept: text/html"}, 406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json"},
		{"watch in YAML", "GET", cms + "?watch=1&timeoutSeconds=1", "", []string{"Accept: application/yaml;as=Table;v=v1;g=meta.k8s.io"}, 406, "NotAcceptable", `only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch`},
		{"unreadable resourceVersion, update", "PUT", cms + "/there", `{"metadata":{"name":"there","resourceVersion":"abc"}}`, nil, 500, "", `strconv.ParseUint: parsing "abc": invalid syntax`},
		{"unreadable resourceVersion, patch", "PATCH", cms + "/there", `{"metadata":{"resourceVersion":"abc"}}`, []string{"Content-Type: application/merge-patch+json"}, 500, "", `strconv.ParseUint: parsing "abc": invalid syntax`},
		{"unreadable resourceVersion, get", "GET", cms + "/there?resourceVersion=abc", "", nil, 500, "", `resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax`},
		{"unreadable resourceVersion, watch", "GET", cms + "?watch=1&resourceVersion=abc", "", nil, 500, "", `resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax`},
		{"unreadable resourceVersion, list", "GET", cms + "?resourceVersion=abc", "", nil, 400, "BadRequest", `invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax`},
		{"bad continue with resourceVersion", "GET", cms + "?limit=1&continue=abc&resourceVersion=5", "", nil, 400, "BadRequest", `invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value`},
		{"update of nothing with a uid", "PUT", cms + "/none", `{"metadata":{"name":"none","uid":"x"}}`, nil, 404, "NotFound", `configmaps "none" not found`},
		{"update in another namespace", "PUT", cms + "/there", `{"metadata":{"name":"there","namespace":"kube-system"}}`, nil, 400, "BadRequest", `the namespace of the provided object does not match the namespace sent on the request`},
		{"already there, with a base name", "POST", cms, `{"metadata":{"name":"there","generateName":"a-"}}`, nil, 409, "AlreadyExists", `configmaps "there" already exists, the server was not able to generate a unique name for the object`},
		{"kind of another group", "POST", cms, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"}}`, nil, 400, "BadRequest", `Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion`},
		{"delete options, no JSON", "DELETE", cms + "/there", `{"kind":`, nil, 400, "BadRequest", `couldn't get version/kind; json parse error: unexpected end of JSON input`},
		{"delete options, another kind", "DELETE", cms + "/there", `{"kind":"ConfigMap","apiVersion":"v1"}`, nil, 400, "BadRequest", `no kind "ConfigMap" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"`},
		{"patch, no JSON", "PATCH", cms + "/there", `{"a":`, []string{"Content-Type: application/strategic-merge-patch+json"}, 400, "BadRequest", `invalid JSON patch`},
		{"system priority class", "DELETE", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", "", nil, 403, "Forbidden", `priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: this is a system priority class and cannot be deleted`},
		{"review of nothing", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{}`, nil, 422, "Invalid", `.authorization.k8s.io "" is invalid: spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified`},
		{"impersonation of no user", "GET", cms, "", []string{"Impersonate-Group: g"}, 400, "BadRequest", `requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name`},
		{"resource of another version", "GET", "/apis/apps/v9/deployments", "", nil, 404, "NotFound", `the server could not find the requested resource`},
		{"scale without a name", "PUT", "/apis/apps/v1/namespaces/default/deployments/x/scale", `{}`, nil, 400, "BadRequest", `the name of the object (x based on URL) was undeterminable: name must be provided`},
		{"binding to nothing", "POST", "/api/v1/namespaces/default/bindings", `{}`, nil, 500, "", `target.name: Required value`},
		{"event of the newer group", "POST", "/apis/events.k8s.io/v1/namespaces/kube-system/events", `{"metadata":{"name":"x"}}`, nil, 422, "Invalid", `Event "x" is invalid: [involvedObject.namespace: Invalid value: "": does not match event.namespace, eventTime: Required value, type: Invalid value: "": has invalid value: ]`},
		{"version of a group", "GET", "/apis/apps/v9", "", nil, 404, "NotFound", `the server could not find the requested resource`},
		{"wrong method on a path", "PUT", "/version", `{}`, nil, 405, "MethodNotAllowed", `the server does not allow this method on the requested resource`},
		{"includeObject", "GET", cms + "?includeObject=Foo", "", []string{"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}, 400, "BadRequest", `Unable to convert to Table as requested: includeObject: Invalid value: "Foo": must be 'Metadata', 'Object', 'None', or empty`},
		{"metadata of a list as of one object", "GET", cms, "", []string{"Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}, 406, "NotAcceptable", `you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)`},
		{"metadata of an object as of a list", "GET", cms + "/there", "", []string{"Accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}, 406, "NotAcceptable", `you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)`},
		{"table of what has none", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`, []string{"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}, 406, "NotAcceptable", `only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf`},
		{"apply without a manager", "PATCH", cms + "/there", `{"apiVersion":"v1","kind":"ConfigMap"}`, []string{"Content-Type: application/apply-patch+yaml"}, 422, "Invalid", `PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch`},
		{"dry run value", "POST", cms + "?dryRun=Some", `{"metadata":{"name":"x"}}`, nil, 422, "Invalid", `CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"`},
		{"too large resource version", "GET", cms + "?resourceVersion=999999&resourceVersionMatch=NotOlderThan&timeout=10s", "", nil, 504, "Timeout", `Timeout: Too large resource version: 999999, current: …`},
	} {
		a := do(h, c.method, c.path, c.body, c.headers...)
		s := a.status(t)
		if a.code != c.code || int(s.Code) != c.code || s.Reason != c.reason || s.Kind != "Status" || s.Status != "Failure" {
			t.Errorf("%s: got %d, %d %q %q; want %d %q", c.name, a.code, s.Code, s.Reason, s.Message, c.code, c.reason)
		}
		// Some messages end with what changes from run to run.
		prefix, open := strings.CutSuffix(c.message, "…")
		if s.Message != c.message && !(open && strings.HasPrefix(s.Message, prefix)) {
			t.Errorf("%s: message\n got %s\nwant %s", c.name, s.Message, c.message)
		}
	}
}

// TestWarns sees what is let pass with a warning.
func TestWarns(t *testing.T) {
	h := start(t, nil)
	a := do(h, "POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"w"},"nope":1}`)
	if a.code != 201 || a.header.Get("Warning") != `299 - "unknown field \"nope\""` {
		t.Errorf("%d, warning %q", a.code, a.header.Get("Warning"))
	}
	a = do(h, "POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Ignore", `{"metadata":{"name":"w2"},"nope":1}`)
	if a.code != 201 || a.header.Get("Warning") != "" {
		t.Errorf("%d, warning %q", a.code, a.header.Get("Warning"))
	}
}

// TestDeprecated sees that every request for a kind that is on its way out says so, even one that fails.
func TestDeprecated(t *testing.T) {
	h := start(t, nil)
	a := do(h, "GET", "/api/v1/namespaces/default/endpoints/none", "")
	if a.code != 404 || a.header.Get("Warning") != `299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"` {
		t.Errorf("%d, warning %q", a.code, a.header.Get("Warning"))
	}
}

// TestAnyStateIsWhole: a list of any state takes no notice of the limit.
func TestAnyStateIsWhole(t *testing.T) {
	h := start(t, nil)
	const cms = "/api/v1/namespaces/default/configmaps"
	for _, name := range []string{"a", "b"} {
		do(h, "POST", cms, `{"metadata":{"name":"`+name+`"}}`)
	}
	for _, c := range []struct {
		query string
		want  int
	}{
		{"?limit=1", 1}, // the most recent state: afterwards the hub has it at hand
		{"?limit=1&resourceVersion=0", 2},
	} {
		a := do(h, "GET", cms+c.query, "")
		if got := len(dig(a.object(t), "items").([]any)); got != c.want {
			t.Errorf("%s: %d items, want %d", c.query, got, c.want)
		}
	}
}

// TestScaleTable: a scale has columns of its own.
func TestScaleTable(t *testing.T) {
	h := start(t, nil)
	const path = "/apis/apps/v1/namespaces/default/deployments"
	if a := do(h, "POST", path, `{"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","image":"x"}]}}}}`); a.code != 201 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	a := do(h, "GET", path+"/d/scale", "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io")
	row := dig(a.object(t), "rows").([]any)[0].(map[string]any)["cells"].([]any)
	if len(row) != 4 || row[0] != "d" || row[1] != 2.0 || row[2] != 0.0 {
		t.Errorf("%d, cells %v", a.code, row)
	}
}

// TestUnknownGroup: groups without a version that is served are plain 404s.
func TestUnknownGroup(t *testing.T) {
	h := start(t, nil)
	for path, code := range map[string]int{"/apis/none.example.com/v1": http.StatusNotFound, "/apis/none.example.com": http.StatusNotFound, "/apis/none.example.com/v1/things": http.StatusNotFound, "//api/v1/pods": http.StatusNotFound, "/nothing": http.StatusNotFound} {
		if a := do(h, "GET", path, ""); a.code != code {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
}

// TestResourceVersionOnCreate: the store refuses a revision on what is to be created; what is no number is none, and a dry run
// does not get as far as the store.
func TestResourceVersionOnCreate(t *testing.T) {
	h := start(t, nil)
	const cms = "/api/v1/namespaces/default/configmaps"
	for _, c := range []struct {
		version, query string
		code           int
		back           string // resourceVersion in the answer; "" for a new one
	}{
		{"1", "", 500, ""}, {"0", "", 201, ""}, {"abc", "", 201, ""}, {"-1", "", 201, ""}, {"18446744073709551616", "", 201, ""},
		{"1", "?dryRun=All", 201, "1"}, {"0", "?dryRun=All", 201, "0"}, {"abc", "?dryRun=All", 201, "abc"},
	} {
		a := do(h, "POST", cms+c.query, `{"metadata":{"generateName":"rv-","resourceVersion":"`+c.version+`"}}`)
		if a.code != c.code {
			t.Errorf("%s%s: %d %s", c.version, c.query, a.code, a.body)
			continue
		}
		if a.code != 201 {
			continue
		}
		got, _ := dig(a.object(t), "metadata.resourceVersion").(string)
		if c.back != "" && got != c.back || c.back == "" && got == c.version {
			t.Errorf("%s%s: answered with %q", c.version, c.query, got)
		}
	}
}

// TestNilAndEmpty: every answer about an object shows what its stored bytes hold, the one to the request that wrote it too.
func TestNilAndEmpty(t *testing.T) {
	h := start(t, nil)
	for _, c := range []struct{ path, name, body, want string }{
		{"/api/v1/namespaces/default/secrets", "s", `{"metadata":{"name":"s"},"data":{"a":null,"b":""}}`, `"data":{"a":"","b":""}`},
		{"/api/v1/namespaces/default/configmaps", "c", `{"metadata":{"name":"c"},"binaryData":{"a":null}}`, `"binaryData":{"a":""}`},
		{"/apis/rbac.authorization.k8s.io/v1/clusterroles", "r", `{"metadata":{"name":"r"},"rules":[]}`, `"rules":null`},
		{"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "e", `{"metadata":{"name":"e"},"addressType":"IPv4","endpoints":[],"ports":[]}`, `"endpoints":null,"ports":null`},
	} {
		for _, r := range []struct{ method, path, body string }{
			{"POST", c.path + "?dryRun=All", c.body}, {"POST", c.path, c.body}, {"GET", c.path + "/" + c.name, ""}, {"GET", c.path, ""},
		} {
			if a := do(h, r.method, r.path, r.body); a.code > 201 || !strings.Contains(string(a.body), c.want) {
				t.Errorf("%s %s: %d %s", r.method, r.path, a.code, a.body)
			}
		}
	}
}

// TestAnyStateHasNoPages: a token does not bring the limit back.
func TestAnyStateHasNoPages(t *testing.T) {
	h := start(t, nil)
	const cms = "/api/v1/namespaces/default/configmaps"
	for _, name := range []string{"a", "b", "c"} {
		do(h, "POST", cms, `{"metadata":{"name":"`+name+`"}}`)
	}
	token := dig(do(h, "GET", cms+"?limit=1", "").object(t), "metadata.continue").(string)
	a := do(h, "GET", cms+"?limit=1&resourceVersion=0&continue="+token, "")
	if items, _ := dig(a.object(t), "items").([]any); len(items) != 2 {
		t.Errorf("%d items: %s", len(items), a.body)
	}
}

// The option that removes what cannot be read removes nothing that can.
func TestUnsafeDeletionOfWhatIsWhole(t *testing.T) {
	h := start(t, bare)
	const path, option = "/api/v1/namespaces/default/configmaps", "ignoreStoreReadErrorWithClusterBreakingPotential"
	expect(t, h, "201 POST "+path, `{"metadata":{"name":"whole"}}`)
	for _, a := range []answer{
		expect(t, h, "409 DELETE "+path+"/whole?"+option+"=true", ""),
		expect(t, h, "409 DELETE "+path+"/whole", `{"kind":"DeleteOptions","apiVersion":"v1","`+option+`":true}`),
	} {
		if m := a.status(t).Message; !strings.Contains(m, "unsafe deletion is not allowed because the object is decodable from storage") {
			t.Error(m)
		}
	}
	expect(t, h, "404 DELETE "+path+"/nobody?"+option+"=true", "")
	expect(t, h, "200 GET "+path+"/whole", "")
	expect(t, h, "200 DELETE "+path+"/whole?"+option+"=false", "")
}

package openapi

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/api/group"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// golden reads a file of testdata: what a kube-apiserver v1.37.1 described in OpenAPI v2, one JSON value a line, compressed. It has
// all of upstream's groups and kinds, so that those of a new kind are there before it.
func golden[T any](t *testing.T, name string) []T {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for d := json.NewDecoder(z); d.More(); {
		var v T
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// served reports whether a path is of a kind or a group that is served, or of neither. The slash at the end of a group's path is
// upstream's.
func served(path string, kinds *api.Kinds) bool {
	rest, core := strings.CutPrefix(path, "/api/")
	if !core {
		named := false
		if rest, named = strings.CutPrefix(path, "/apis/"); !named {
			return true
		}
	} else {
		rest = "/" + rest // the group without a name
	}
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if len(parts) > 5 && parts[2] == "namespaces" || len(parts) > 4 && parts[2] == "namespaces" && !strings.HasPrefix(parts[4], "{") && parts[4] != "status" && parts[4] != "finalize" {
		parts = append(parts[:2:2], parts[4:]...)
	}
	for _, k := range kinds.All() {
		if parts[0] == k.Group && (len(parts) < 2 || parts[1] == k.Version) && (len(parts) < 3 || parts[2] == k.Resource) {
			return true
		}
	}
	return path == "/api/" || path == "/apis/"
}

// TestPaths compares what is described with what upstream describes, without its deprecated watch paths.
func TestPaths(t *testing.T) {
	kinds := all.Kinds()
	want := map[string]map[string]any{}
	for _, p := range golden[map[string]any](t, "paths.jsonl.gz") {
		if path := p["path"].(string); served(path, kinds) {
			want[path] = p
		}
	}
	docs, err := documents(outlinesOf(kinds, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		for _, it := range d.items {
			w := want[it.path]
			delete(want, it.path)
			if w == nil {
				t.Errorf("%s: not upstream's", it.path)
				continue
			}
			data, _ := json.Marshal(summary(it))
			var got map[string]any
			json.Unmarshal(data, &got)
			for k := range merged(got, w) {
				if !reflect.DeepEqual(got[k], w[k]) {
					g, _ := json.Marshal(got[k])
					e, _ := json.Marshal(w[k])
					t.Errorf("%s %s:\ngot  %s\nwant %s", it.path, k, g, e)
				}
			}
		}
	}
	for p := range want {
		t.Errorf("%s: missing", p)
	}
}

func merged(a, b map[string]any) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// summary has the shape of the lines of the golden file.
func summary(it item) map[string]any {
	out := map[string]any{"path": it.path, "parameters": names(it.params)}
	for _, o := range it.ops {
		n := names(o.params)
		if o.body != "" {
			n = append(n, "body")
			slices.Sort(n)
		}
		codes := []string{"401"}
		for _, c := range o.codes {
			codes = append(codes, strconv.Itoa(c))
		}
		slices.Sort(codes)
		op := map[string]any{
			"id": o.id, "action": nil, "gvk": nil, "consumes": o.consumes, "produces": o.produces, "parameters": n, "responses": codes,
		}
		if o.action != "" {
			op["action"] = o.action
			op["gvk"] = map[string]string{"group": o.gvk.Group, "version": o.gvk.Version, "kind": o.gvk.Kind}
		}
		out[o.method] = op
	}
	return out
}

func names(list []param) []string {
	out := []string{}
	for _, p := range list {
		if !slices.Contains(out, p.name) {
			out = append(out, p.name)
		}
	}
	slices.Sort(out)
	return out
}

var handler = New(Config{Kinds: all.Kinds(), Version: "v1.37.1+test"})

func get(t *testing.T, url string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, r *http.Response) []byte {
	t.Helper()
	if r.StatusCode != 200 {
		t.Fatalf("status %d", r.StatusCode)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestV3(t *testing.T) {
	var index struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(read(t, get(t, "/openapi/v3")), &index); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1", "version"} {
		if index.Paths[p].ServerRelativeURL == "" {
			t.Errorf("index lacks %s", p)
		}
	}
	url := index.Paths["apis/apps/v1"].ServerRelativeURL
	r := get(t, url)
	if r.Header.Get("Cache-Control") != "public, immutable" || r.Header.Get("Etag") == "" {
		t.Errorf("headers %v", r.Header)
	}
	if again := get(t, url, "If-None-Match", r.Header.Get("Etag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("known etag: %d", again.StatusCode)
	}
	if old := get(t, "/openapi/v3/apis/apps/v1?hash=OLD"); old.StatusCode != 301 || old.Header.Get("Location") != url {
		t.Errorf("old hash: %d %s", old.StatusCode, old.Header.Get("Location"))
	}
	var doc spec3.OpenAPI
	if err := json.Unmarshal(read(t, r), &doc); err != nil {
		t.Fatal(err)
	}
	p := doc.Paths.Paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
	var gvk map[string]string
	if err := p.Patch.Extensions.GetObject("x-kubernetes-group-version-kind", &gvk); err != nil || gvk["kind"] != "Deployment" {
		t.Errorf("patch is of %v (%v)", gvk, err)
	}
	if !slices.ContainsFunc(p.Patch.Parameters, func(p *spec3.Parameter) bool { return p.Name == "fieldValidation" && p.In == "query" }) {
		t.Error("kubectl asks whether patch has fieldValidation")
	}
	d := doc.Components.Schemas["io.k8s.api.apps.v1.Deployment"]
	if d == nil || d.Description == "" {
		t.Fatal("no schema of Deployment")
	}
	c := doc.Components.Schemas["io.k8s.api.core.v1.PodSpec"].Properties["containers"]
	if c.Extensions["x-kubernetes-patch-merge-key"] != "name" || c.Extensions["x-kubernetes-list-type"] != "map" {
		t.Errorf("containers: %v", c.Extensions)
	}
	checkRefs(t, doc.Components.Schemas)
	pb := get(t, url, "Accept", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
	var m openapi_v3.Document
	if err := proto.Unmarshal(read(t, pb), &m); err != nil || len(m.Paths.Path) != len(doc.Paths.Paths) {
		t.Errorf("protobuf: %v", err)
	}
}

// checkRefs checks that every reference of the schemas leads to one of them.
func checkRefs(t *testing.T, schemas map[string]*spec.Schema) {
	t.Helper()
	data, _ := json.Marshal(schemas)
	var v any
	json.Unmarshal(data, &v)
	walk(v, func(ref string) {
		if schemas[strings.TrimPrefix(ref, refV3)] == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	})
}

func TestV2(t *testing.T) {
	for _, accept := range []string{"", "application/json", "*/*", "text/html, application/json;q=0.5"} {
		var doc spec.Swagger
		if err := json.Unmarshal(read(t, get(t, "/openapi/v2", "Accept", accept)), &doc); err != nil {
			t.Fatal(err)
		}
		s := doc.Definitions["io.k8s.api.core.v1.ServicePort"].Properties["targetPort"]
		if s.Ref.String() != "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString" || s.Description == "" {
			t.Errorf("targetPort: %+v", s)
		}
		if i := doc.Definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]; i.Format != "int-or-string" {
			t.Errorf("IntOrString: %+v", i)
		}
	}
	pb := get(t, "/openapi/v2", "Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
	if got := pb.Header.Get("Content-Type"); got != "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" {
		t.Errorf("content type %s", got)
	}
	var m openapi_v2.Document
	if err := proto.Unmarshal(read(t, pb), &m); err != nil || len(m.Definitions.AdditionalProperties) < 250 {
		t.Errorf("protobuf: %v, %d definitions", err, len(m.Definitions.GetAdditionalProperties()))
	}
	if r := get(t, "/openapi/v2", "Accept", "text/html"); r.StatusCode != http.StatusNotAcceptable {
		t.Errorf("text/html: %d", r.StatusCode)
	}
	if r := get(t, "/openapi/v2", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "gzip" {
		t.Error("not compressed")
	}
}

// TestDefinitions compares shapes (no descriptions) with upstream's definitions.
func TestDefinitions(t *testing.T) {
	var d definitions[node]
	if err := unpack(compressed, &d); err != nil {
		t.Fatal(err)
	}
	known, checked := described(t), 0
	for _, w := range golden[node](t, "definitions.jsonl.gz") {
		name := w["name"].(string)
		delete(w, "name")
		if of := name[:strings.LastIndex(name, ".")]; !known[of] && !strings.HasPrefix(of, "io.k8s.apimachinery.") {
			continue
		}
		checked++
		if strings.HasSuffix(name, ".meta.v1.DeleteOptions") || strings.HasSuffix(name, ".meta.v1.WatchEvent") {
			delete(w, "x-kubernetes-group-version-kind") // it depends on what is served
		}
		def := d.V3[name]
		if v2 := d.V2[name]; v2 != nil {
			def = v2
		}
		if def == nil {
			t.Errorf("%s: missing", name)
			continue
		}
		got := bare(schemaV2(def)).(node)
		if w["x-kubernetes-group-version-kind"] == nil {
			delete(got, "x-kubernetes-group-version-kind")
		}
		if strings.HasSuffix(name, ".JSONSchemaProps") {
			// The golden file lacks whatever is called externalDocs, which here is the name of a field.
			delete(got["properties"].(node), "externalDocs")
		}
		if !reflect.DeepEqual(got, w) {
			g, _ := json.Marshal(got)
			e, _ := json.Marshal(w)
			t.Errorf("%s:\ngot  %s\nwant %s", name, g, e)
		}
	}
	if checked < 368 {
		t.Errorf("only %d definitions were compared", checked)
	}
}

// described are the packages of types that are described, as definitions name them: "io.k8s.api.apps.v1".
func described(t *testing.T) map[string]bool {
	t.Helper()
	known := runtime.NewScheme()
	if err := group.AddToScheme(known, func(g *group.Group) bool { return g.Described }); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, typ := range known.AllKnownTypes() {
		if rest, ok := strings.CutPrefix(typ.PkgPath(), "k8s.io/"); ok {
			out["io.k8s."+strings.ReplaceAll(rest, "/", ".")] = true
		}
	}
	return out
}

// bare drops descriptions, as the golden file does.
func bare(v any) any {
	n, ok := v.(node)
	if !ok {
		return v
	}
	out := node{}
	for k, c := range n {
		switch k {
		case "description":
		case "properties":
			props := node{}
			for name, p := range c.(node) {
				props[name] = bare(p)
			}
			out[k] = props
		case "items", "additionalProperties":
			out[k] = bare(c)
		default:
			out[k] = c
		}
	}
	return out
}

// TestTypes checks that the types for managed fields were generated from the definitions that are embedded beside them.
func TestTypes(t *testing.T) {
	var d definitions[*spec.Schema]
	if err := unpack(compressed, &d); err != nil {
		t.Fatal(err)
	}
	want, err := schemaconv.ToSchemaFromOpenAPI(d.V3, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want.Types {
		got, ok, err := Type(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		if s := shape(w.Atom); !ok || shape(got.Atom) != s {
			t.Errorf("%s:\ngot  %s\nwant %s", w.Name, shape(got.Atom), s)
		}
		for _, near := range []string{w.Name + "s", w.Name[:len(w.Name)-1], w.Name + "\t"} {
			if _, ok, err := Type(near); err != nil || ok && !slices.ContainsFunc(want.Types, func(t schema.TypeDef) bool { return t.Name == near }) {
				t.Errorf("%q is found", near)
			}
		}
	}
	if n := strings.Count(typeLines, "\n"); n != len(want.Types) {
		t.Errorf("%d types, want %d", n, len(want.Types))
	}
	for _, none := range []string{"", "a", "zzz"} {
		if _, ok, err := Type(none); ok || err != nil {
			t.Errorf("%q: %t, %v", none, ok, err)
		}
	}
}

// shape prints an atom with its fields in order.
func shape(a schema.Atom) string {
	ref := func(r schema.TypeRef) string {
		out := shape(r.Inlined)
		if r.NamedType != nil {
			out += *r.NamedType
		}
		if r.ElementRelationship != nil {
			out += "!" + string(*r.ElementRelationship)
		}
		return out
	}
	switch {
	case a.Map != nil:
		out := []string{}
		for _, f := range a.Map.Fields {
			out = append(out, fmt.Sprintf("%s:%s=%v", f.Name, ref(f.Type), f.Default))
		}
		slices.Sort(out)
		return fmt.Sprint("map", a.Map.ElementRelationship, ref(a.Map.ElementType), out)
	case a.List != nil:
		return fmt.Sprint("list", a.List.ElementRelationship, ref(a.List.ElementType), a.List.Keys)
	case a.Scalar != nil:
		return string(*a.Scalar)
	}
	return ""
}

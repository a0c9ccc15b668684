// Emit writes the OpenAPI definitions of the models package as compressed JSON into the folder named by its argument:
//
//	definitions.json.gz   {"v3": {"io.k8s.api.core.v1.Pod": schema, …}, "v2": {…}}
//	types.txt             the same types as structured-merge-diff sees them, for managed fields, a line each (types.go)
//
// v3 holds every definition as OpenAPI v3 has it; v2 only those few whose v2 form cannot be derived from it (IntOrString).
// Each definition of a registered type carries its group, versions and kinds, as upstream's definitions do.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sampan.dev/internal/api/group"
	"sampan.dev/tools/openapi/models"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	builder "k8s.io/kube-openapi/pkg/builder3/util"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

type definitions struct {
	V3 map[string]*spec.Schema `json:"v3"`
	V2 map[string]any          `json:"v2,omitempty"`
}

func main() {
	if err := emit(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "emit:", err)
		os.Exit(1)
	}
}

func emit(dir string) error {
	kinds, err := kindsOf()
	if err != nil {
		return err
	}
	out := definitions{V3: map[string]*spec.Schema{}, V2: map[string]any{}}
	ref := func(name string) spec.Ref { return spec.MustCreateRef("#/components/schemas/" + name) }
	for name, def := range models.GetOpenAPIDefinitions(ref) {
		s := def.Schema
		if v2, ok := s.Extensions[common.ExtensionV2Schema]; ok {
			out.V2[name] = v2
			delete(s.Extensions, common.ExtensionV2Schema)
		}
		if k := kinds[name]; k != nil {
			s.AddExtension("x-kubernetes-group-version-kind", k)
		}
		out.V3[name] = builder.WrapRefs(&s)
	}
	if err := write(filepath.Join(dir, "definitions.json.gz"), out); err != nil {
		return err
	}
	types, err := typesOf(out.V3)
	if err != nil {
		return err
	}
	return writeTypes(filepath.Join(dir, "types.txt"), types)
}

func write(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if _, err := z.Write(data); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, %d compressed\n", file, len(data), b.Len())
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// kindsOf returns the kinds by definition name, as the extension prints them.
func kindsOf() (map[string][]any, error) {
	s := runtime.NewScheme()
	if err := group.AddToScheme(s, func(g *group.Group) bool { return g.Described }); err != nil {
		return nil, err
	}
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	by := map[string][]schema.GroupVersionKind{}
	for gvk := range s.AllKnownTypes() {
		name, err := s.ToOpenAPIDefinitionName(gvk)
		if err != nil {
			return nil, err
		}
		by[name] = append(by[name], gvk)
	}
	out := map[string][]any{}
	for name, list := range by {
		slices.SortFunc(list, func(a, b schema.GroupVersionKind) int {
			return bytes.Compare([]byte(a.Group+"\x00"+a.Version+"\x00"+a.Kind), []byte(b.Group+"\x00"+b.Version+"\x00"+b.Kind))
		})
		for _, g := range list {
			out[name] = append(out[name], map[string]any{"group": g.Group, "version": g.Version, "kind": g.Kind})
		}
	}
	return out, nil
}

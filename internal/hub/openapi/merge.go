package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// Merge returns a v2 document that has, besides all of own, those paths of other that are below prefix, and the definitions that they
// refer to. Where own has another definition of the same name, other's gets a name that is free ("Name_v2"). It changes neither.
func Merge(own, other map[string]any, prefix string) map[string]any {
	out := node{}
	for k, v := range own {
		out[k] = v
	}
	paths, definitions := copied(own["paths"]), copied(own["definitions"])
	theirs, _ := other["definitions"].(node)
	taken := node{}
	for path, item := range copied(other["paths"]) {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			taken[path] = item
		}
	}
	names := map[string]string{}
	var follow func(v any)
	follow = func(v any) {
		walk(v, func(ref string) {
			name, is := strings.CutPrefix(ref, refV2)
			if !is || names[name] != "" || theirs[name] == nil {
				return
			}
			names[name] = free(name, theirs[name], definitions)
			follow(theirs[name])
		})
	}
	follow(taken)
	for name, as := range names {
		definitions[as] = renamed(theirs[name], names)
	}
	for path, item := range taken {
		paths[path] = renamed(item, names)
	}
	out["paths"], out["definitions"] = paths, definitions
	return out
}

// free is the name under which a definition can stand among others: its own, where there is none or the same.
func free(name string, def any, among node) string {
	as := name
	for n := 2; among[as] != nil && !reflect.DeepEqual(among[as], def); n++ {
		as = fmt.Sprintf("%s_v%d", name, n)
	}
	return as
}

func copied(v any) node {
	out := node{}
	m, _ := v.(node)
	for k, c := range m {
		out[k] = c
	}
	return out
}

// renamed is v with other names of definitions.
func renamed(v any, names map[string]string) any {
	switch v := v.(type) {
	case node:
		out := make(node, len(v))
		for k, c := range v {
			if ref, ok := c.(string); ok && k == "$ref" {
				if as := names[strings.TrimPrefix(ref, refV2)]; as != "" {
					c = refV2 + as
				}
				out[k] = c
				continue
			}
			out[k] = renamed(c, names)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, c := range v {
			out[i] = renamed(c, names)
		}
		return out
	}
	return v
}

// ServeV2 answers with a v2 document in the encoding that the client likes best. etag names its content.
func ServeV2(w http.ResponseWriter, r *http.Request, doc map[string]any, etag string) error {
	w.Header().Add("Vary", "Accept")
	asProto, ok := negotiate(r.Header.Get("Accept"), "v2")
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return nil
	}
	data, err := json.Marshal(doc)
	contentType := "application/json"
	if err == nil && asProto {
		contentType = "application/" + protoSubtype("v2") + "+protobuf"
		data, err = encodeProto("", data)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Etag", strconv.Quote(etag))
	if r.Header.Get("If-None-Match") == strconv.Quote(etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, err = w.Write(data)
	return err
}

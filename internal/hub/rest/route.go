package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"sampan.dev/internal/hub/verb"

	"k8s.io/apimachinery/pkg/fields"
)

// route is what a request asks for, read from its method and path alone.
type route struct {
	Resource bool // of an API resource; otherwise a plain path
	Verb     string
	Path     string

	Group, Version, Plural, Subresource, Namespace, Name string

	Rest       string // the path after the subresource, with a leading slash, or ""
	PathVerb   bool   // the old /watch/ form
	Selectors  bool   // selectors are meaningful for the verb
	NameInPath bool   // Name came from the path, not from a field selector
}

var pathVerbs = map[string]bool{"proxy": true, "watch": true}

// parseRoute reads the URL grammar of the API:
//
//	/api/VERSION[/watch][/namespaces/NS]/PLURAL[/NAME[/SUB[/REST]]]
//	/apis/GROUP/VERSION/…
//
// Everything else is a plain path.
func parseRoute(r *http.Request) (route, error) {
	rt := route{Verb: strings.ToLower(r.Method), Path: r.URL.Path}
	parts := splitPath(r.URL.Path)
	if len(parts) < 3 || parts[0] != "api" && parts[0] != "apis" {
		return rt, nil
	}
	grouped := parts[0] == "apis"
	parts = parts[1:]
	if grouped {
		if len(parts) < 3 {
			return rt, nil
		}
		rt.Group, parts = parts[0], parts[1:]
	}
	rt.Resource, rt.Version, parts = true, parts[0], parts[1:]
	if pathVerbs[parts[0]] {
		if len(parts) < 2 {
			return rt, fmt.Errorf("unable to determine kind and namespace from url, %v", r.URL)
		}
		rt.Verb, rt.PathVerb, parts = parts[0], true, parts[1:]
	} else {
		rt.Verb = methodVerb(r.Method)
	}
	if parts[0] == "namespaces" && len(parts) > 1 {
		rt.Namespace = parts[1]
		if len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
			parts = parts[2:]
		}
	}
	rt.Plural = parts[0]
	if len(parts) > 1 {
		rt.Name, rt.NameInPath = parts[1], true
	}
	if len(parts) > 2 && rt.Verb != "proxy" {
		rt.Subresource = parts[2]
		if len(parts) > 3 {
			rt.Rest = "/" + strings.Join(parts[3:], "/")
		}
		if strings.HasSuffix(r.URL.Path, "/") {
			rt.Rest += "/"
		}
	}
	rt.settleVerb(r)
	return rt, nil
}

// settleVerb tells lists, watches and deletions of collections from their single forms.
func (rt *route) settleVerb(r *http.Request) {
	if rt.Name == "" && rt.Verb == "get" {
		rt.Verb = "list"
		q := r.URL.Query()
		if values, ok := q["watch"]; ok && watchWanted(values[0]) {
			rt.Verb = "watch"
		}
		// Nobody knows yet who asks: what will be refused is not parsed for them.
		if text := q.Get("fieldSelector"); text != "" && len(text) <= verb.MaxSelector {
			rt.Name = soleName(text)
		}
	}
	if rt.Name == "" && rt.Verb == "delete" {
		rt.Verb = "deletecollection"
	}
	rt.Selectors = !rt.PathVerb && (rt.Verb == "list" || rt.Verb == "watch" || rt.Verb == "deletecollection")
}

// soleName is the only name that a field selector leaves, or "".
func soleName(selector string) string {
	sel, err := fields.ParseSelector(selector)
	if err != nil {
		return ""
	}
	name, ok := sel.RequiresExactMatch("metadata.name")
	if !ok || strings.ContainsAny(name, "/%") || name == "." || name == ".." {
		return ""
	}
	return name
}

// watchWanted reads the watch parameter: present without a value means yes.
func watchWanted(v string) bool {
	if v == "" {
		return true
	}
	b, err := strconv.ParseBool(v)
	return err != nil || b
}

func methodVerb(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodGet, http.MethodHead:
		return "get"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return ""
}

func splitPath(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

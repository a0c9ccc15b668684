package main

import (
	"context"
	"strings"
)

// openAPI reads the paths and definitions of OpenAPI v2, and which documents there are of v3.
func openAPI(ctx context.Context, s *server, f facts) error {
	v2, err := s.object(ctx, "/openapi/v2", "application/json")
	if err != nil {
		return err
	}
	paths, _ := v2["paths"].(doc)
	parameters, _ := v2["parameters"].(doc)
	for path, item := range paths {
		ops, _ := item.(doc)
		for method, op := range ops {
			f.put("path "+path+" "+method, resolved(op, parameters))
		}
	}
	definitions, _ := v2["definitions"].(doc)
	for name, def := range definitions {
		d, _ := def.(doc)
		properties, _ := d["properties"].(doc)
		for p, schema := range properties {
			f.put("definition "+name+" "+p, schema)
		}
		delete(d, "properties")
		f.put("definition "+name, d)
	}
	v3, err := s.object(ctx, "/openapi/v3", "application/json")
	if err != nil {
		return err
	}
	docs, _ := v3["paths"].(doc)
	for path := range docs {
		f["openapi/v3 "+path] = "yes"
	}
	return nil
}

// resolved is an operation, or the parameters of a path, with parameters in the place of references to them: a document may name them
// once for all paths.
func resolved(v any, parameters doc) any {
	switch v := v.(type) {
	case doc:
		if ref, ok := v["$ref"].(string); ok && strings.HasPrefix(ref, "#/parameters/") {
			return parameters[strings.TrimPrefix(ref, "#/parameters/")]
		}
		if list, ok := v["parameters"]; ok {
			v["parameters"] = resolved(list, parameters)
		}
	case []any:
		for i := range v {
			v[i] = resolved(v[i], parameters)
		}
	}
	return v
}

// metrics reads names, types and stability, and not the help.
func metrics(ctx context.Context, s *server, f facts) error {
	data, err := s.get(ctx, "/metrics", "text/plain")
	if err != nil {
		return err
	}
	stability := map[string]string{}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			if level, _, ok := strings.Cut(strings.TrimPrefix(help, "["), "]"); ok && strings.HasPrefix(help, "[") {
				stability[name] = level
			}
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			f["metric "+name] = strings.TrimSpace(kind + " " + stability[name])
		}
	}
	return nil
}

// health reads the names of the checks.
func health(ctx context.Context, s *server, f facts) error {
	for _, at := range []string{"livez", "readyz", "healthz"} {
		data, err := s.get(ctx, "/"+at+"?verbose", "text/plain")
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(data), "\n") {
			if len(line) > 3 && (strings.HasPrefix(line, "[+]") || strings.HasPrefix(line, "[-]")) {
				name, _, _ := strings.Cut(line[3:], " ")
				f["check "+at+" "+name] = "yes"
			}
		}
	}
	return nil
}

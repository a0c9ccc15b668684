package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// doc is any JSON object.
type doc = map[string]any

func (s *server) object(ctx context.Context, at, accept string) (doc, error) {
	data, err := s.get(ctx, at, accept)
	if err != nil {
		return nil, err
	}
	var d doc
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return d, nil
}

// list is a field that holds a list of objects; absent is empty.
func list(d doc, field string) []doc {
	items, _ := d[field].([]any)
	var out []doc
	for _, it := range items {
		if o, ok := it.(doc); ok {
			out = append(out, o)
		}
	}
	return out
}

func text(d doc, path ...string) string {
	for _, p := range path[:len(path)-1] {
		d, _ = d[p].(doc)
	}
	s, _ := d[path[len(path)-1]].(string)
	return s
}

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// eachResource visits every resource that discovery lists; version is "v1" or "apps/v1".
func eachResource(ctx context.Context, s *server, visit func(version string, r doc)) error {
	for _, root := range []string{"/api", "/apis"} {
		groups, err := s.object(ctx, root, aggregated)
		if err != nil {
			return err
		}
		for _, g := range list(groups, "items") {
			for _, v := range list(g, "versions") {
				version := text(v, "version")
				if name := text(g, "metadata", "name"); name != "" {
					version = name + "/" + version
				}
				for _, r := range list(v, "resources") {
					visit(version, r)
				}
			}
		}
	}
	return nil
}

// discovery reads each resource with its subresources, the order in which they come, and whether a version is called stale.
func discovery(ctx context.Context, s *server, f facts) error {
	var order []string
	at := map[string][]string{}
	err := eachResource(ctx, s, func(version string, r doc) {
		name := text(r, "resource")
		if at[version] == nil {
			order = append(order, version)
		}
		at[version] = append(at[version], name)
		for _, sub := range list(r, "subresources") {
			f.put("discovery "+version+" "+name+"/"+text(sub, "subresource"), sub)
		}
		delete(r, "subresources")
		f.put("discovery "+version+" "+name, r)
	})
	for version, names := range at {
		f["order "+version] = strings.Join(names, " ")
	}
	f["order groups"] = strings.Join(order, " ")
	return err
}

const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

// columns reads how tables of each resource are headed.
func columns(ctx context.Context, s *server, f facts) error {
	var paths [][2]string
	err := eachResource(ctx, s, func(version string, r doc) {
		verbs, _ := r["verbs"].([]any)
		for _, v := range verbs {
			if v == "list" {
				root := "/apis/"
				if !strings.Contains(version, "/") {
					root = "/api/"
				}
				paths = append(paths, [2]string{version + " " + text(r, "resource"), root + version + "/" + text(r, "resource")})
			}
		}
	})
	if err != nil {
		return err
	}
	for _, p := range paths {
		table, err := s.object(ctx, p[1], asTable)
		if err != nil {
			return err
		}
		for i, c := range list(table, "columnDefinitions") {
			f.put(fmt.Sprintf("column %s %02d %s", p[0], i, text(c, "name")), c)
		}
	}
	return nil
}

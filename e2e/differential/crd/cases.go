package crd

import (
	"fmt"
	"math/rand/v2"

	"sampan.dev/e2e/differential/ask"
)

const (
	definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	namespace   = "default"
	perCase     = 8 // objects
)

// Cases makes the cases written by hand and count random ones.
func Cases(seed uint64, count int) []ask.Case {
	out := append(named(), libraries()...)
	out = append(out, brokenCases()...)
	for i := range count {
		g := &gen{rand.New(rand.NewPCG(seed, uint64(i)))}
		out = append(out, g.randomCase(fmt.Sprintf("r%d-%d", seed, i)))
	}
	return out
}

// place is where the objects of a case are.
type place struct{ group, plural, kind string }

func placeOf(name string) place { return place{name + ".diff.io", "things", "Thing"} }

func (p place) name() string { return p.plural + "." + p.group }
func (p place) path() string {
	return "/apis/" + p.group + "/v1/namespaces/" + namespace + "/" + p.plural
}

// definition is one of a single version; more is merged into that version.
func (p place) definition(schema, more node) node {
	version := node{"name": "v1", "served": true, "storage": true, "schema": node{"openAPIV3Schema": schema}}
	for k, v := range more {
		version[k] = v
	}
	return node{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": node{"name": p.name()},
		"spec": node{
			"group": p.group, "scope": "Namespaced", "names": node{"plural": p.plural, "singular": "thing", "kind": p.kind, "listKind": p.kind + "List"},
			"versions": []any{version},
		},
	}
}

func (p place) object(name string, fields node) node {
	out := node{"apiVersion": p.group + "/v1", "kind": p.kind, "metadata": node{"name": name}}
	for k, v := range fields {
		out[k] = v
	}
	return out
}

// setup makes the definition and waits until its objects can be made; steps follow, and then all goes.
func (p place) wrap(name string, def node, steps ...ask.Step) ask.Case {
	c := ask.Case{Name: name, Steps: []ask.Step{
		ask.Post(definitions, def),
		ask.Await(definitions+"/"+p.name(), ask.Condition{Condition: "Established"}),
		ask.Await(p.path(), ask.Condition{Code: 200}),
	}}
	c.Steps = append(c.Steps, steps...)
	c.Steps = append(c.Steps, ask.Delete(p.path()), ask.Delete(definitions+"/"+p.name()),
		ask.Await(definitions+"/"+p.name(), ask.Condition{Code: 404}))
	return c
}

// randomCase makes a definition and sends objects to it.
func (g *gen) randomCase(name string) ask.Case {
	p := placeOf(name)
	root := g.root()
	more := node{}
	if g.chance(0.4) {
		more["subresources"] = node{"status": node{}}
	}
	if g.chance(0.15) {
		g.breakSchema(root)
	}
	var steps []ask.Step
	for i := range perCase {
		obj := p.object(fmt.Sprintf("o%d", i), g.fields(root))
		at := p.path() + fmt.Sprintf("/o%d", i)
		steps = append(steps, ask.Post(p.path()+g.validation(), obj), ask.Get(at))
		switch g.r.IntN(4) {
		case 0:
			changed := p.object(fmt.Sprintf("o%d", i), g.fields(root))
			steps = append(steps, ask.Merge(at+g.validation(), changed))
		case 1:
			steps = append(steps, ask.Apply(at, "m1", p.object(fmt.Sprintf("o%d", i), g.fields(root))))
		case 2:
			steps = append(steps, ask.Apply(at, "m1", p.object(fmt.Sprintf("o%d", i), g.fields(root))),
				ask.Apply(at, "m2", p.object(fmt.Sprintf("o%d", i), g.fields(root))), ask.Get(at))
		case 3:
			steps = append(steps, ask.Merge(at+"/status", node{"status": g.wild(2), "spec": g.wild(1)}))
		}
	}
	return p.wrap(name, p.definition(root, more), steps...)
}

// validation is a query that asks for a level of field validation, or none.
func (g *gen) validation() string {
	return []string{"", "", "?fieldValidation=Strict", "?fieldValidation=Ignore"}[g.r.IntN(4)]
}

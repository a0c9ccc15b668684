package kinds

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"sampan.dev/e2e/differential/ask"
)

// Cases makes count cases of the kinds of one file of bases, or ("") of all.
func Cases(file string) func(seed uint64, count int) []ask.Case {
	return func(seed uint64, count int) []ask.Case {
		r := rand.New(rand.NewPCG(seed, seed))
		all := bases(file)
		out := make([]ask.Case, count)
		for i := range out {
			b := &all[i%len(all)]
			out[i] = one(r, b, fmt.Sprintf("d%d-%d", seed, i))
		}
		return out
	}
}

func one(r *rand.Rand, b *base, name string) ask.Case {
	if len(b.Names) > 0 {
		name = b.Names[r.IntN(len(b.Names))]
	}
	object := clone(b.Object).(map[string]any)
	object["metadata"].(map[string]any)["name"] = name
	all := mutations(b, "", object)
	at := b.Path + "/" + name
	c := ask.Case{Name: fmt.Sprintf("%v %s", object["kind"], name)}
	add := func(steps ...ask.Step) { c.Steps = append(c.Steps, steps...) }
	strict := func(s ask.Step) ask.Step {
		if r.IntN(4) == 0 {
			s.Path += "?fieldValidation=Strict"
		}
		return s
	}
	add(strict(ask.Post(b.Path, mutate(r, all, object, r.IntN(3)))))
	if r.IntN(3) > 0 {
		add(ask.Post(b.Path, object)) // there must be one to be changed
	}
	for range 1 + r.IntN(3) {
		switch r.IntN(5) {
		case 0, 1:
			add(strict(ask.Put(at, mutate(r, all, object, 1+r.IntN(2)))))
		case 2:
			add(ask.Merge(at, mutate(r, all, object, 1)))
		case 3:
			add(ask.Apply(at, "m"+fmt.Sprint(r.IntN(2)), mutate(r, all, object, r.IntN(2))))
		case 4:
			add(ask.Step{Method: "PATCH", Path: at, Type: "application/strategic-merge-patch+json", Body: encode(mutate(r, all, object, 1))})
		}
	}
	if b.Status != nil {
		changes := mutations(b, "status", b.Status)
		for range 1 + r.IntN(2) {
			body := map[string]any{"metadata": map[string]any{"labels": map[string]any{"status": "x"}}, "status": mutate(r, changes, b.Status, r.IntN(3))}
			add(ask.Merge(at+"/status", body))
		}
	}
	if b.Scale {
		add(ask.Get(at+"/scale"), ask.Merge(at+"/scale", map[string]any{"spec": map[string]any{"replicas": r.IntN(5) - 1}}))
	}
	table := ask.Get(at)
	table.Accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
	add(ask.Get(at), table, ask.Delete(at), ask.Delete(at+"?propagationPolicy=Background"))
	if b.Object["kind"] == "Job" || b.Protected {
		// Nobody takes the finalizer away that an ordinary deletion leaves.
		add(ask.Merge(at, map[string]any{"metadata": map[string]any{"finalizers": nil}}))
	}
	return c
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of JSON's own types
	}
	return string(data)
}

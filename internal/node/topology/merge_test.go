package topology

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"sampan.dev/internal/node/hardware"
)

// everyChoice is merging as it is defined: every choice of one hint from each list is merged, and better keeps the best so far.
func everyChoice(p *Policy, all [][]Hint) Hint {
	need := widestNeed(all)
	var best *Hint
	var choose func(i int, mask Mask, first Mask, preferred bool)
	choose = func(i int, mask, first Mask, preferred bool) {
		if i == len(all) {
			if h := (Hint{mask, preferred}); mask != 0 && (best == nil || replaces(p, need, *best, h)) {
				best = &h
			}
			return
		}
		for _, h := range all[i] {
			m, f, pr := mask, first, preferred && h.Preferred
			if h.Mask != 0 {
				m &= h.Mask
				if f == 0 {
					f = h.Mask
				}
				pr = pr && f == h.Mask
			}
			choose(i+1, m, f, pr)
		}
	}
	choose(0, p.all, 0, true)
	if best == nil {
		return Hint{p.all, false}
	}
	return *best
}

// replaces says whether a candidate takes the place of the best so far, case by case as upstream's documentation tells it.
func replaces(p *Policy, need int, best, candidate Hint) bool {
	closer := func() bool {
		if b, c := best.Mask.Count(), candidate.Mask.Count(); b != c {
			return c < b
		}
		if p.options.Closest && p.name != SingleNUMANode {
			if b, c := average(p, best.Mask), average(p, candidate.Mask); b != c {
				return c < b
			}
		}
		return candidate.Mask < best.Mask
	}
	b, c := best.Mask.Count(), candidate.Mask.Count()
	switch {
	case best.Preferred != candidate.Preferred:
		return candidate.Preferred
	case best.Preferred, b > need:
		return closer()
	case b == need:
		return c == need && closer()
	case c > need:
		return false
	case c == need, c > b:
		return true
	case c < b:
		return false
	}
	return closer()
}

func average(p *Policy, m Mask) float64 {
	sum, n := 0.0, 0.0
	for _, a := range m.IDs() {
		for _, b := range m.IDs() {
			sum += float64(p.distances[a][b])
			n++
		}
	}
	return sum / n
}

// testPolicy is a policy for a machine whose NUMA nodes are as far from each other as distances says.
func testPolicy(t *testing.T, name string, closest bool, distances [][]uint64) *Policy {
	t.Helper()
	m := &hardware.Machine{}
	for i, d := range distances {
		m.Nodes = append(m.Nodes, hardware.Node{ID: i, Distances: d})
	}
	p, err := NewPolicy(name, Options{Closest: closest, MaxNodes: 8}, m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMergeIsTheBestOfAllChoices(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 10000 {
		distances := make([][]uint64, 1+rnd.IntN(8))
		for i := range distances {
			for range distances {
				distances[i] = append(distances[i], 10+uint64(rnd.IntN(4)))
			}
		}
		name := []string{BestEffort, Restricted, SingleNUMANode}[rnd.IntN(3)]
		p := testPolicy(t, name, rnd.IntN(2) == 0, distances)
		var providers []Hints
		for range rnd.IntN(4) {
			h := Hints{}
			for r := range rnd.IntN(3) {
				var list []Hint
				for range rnd.IntN(7) {
					list = append(list, Hint{Mask(rnd.Uint64()) & p.all, rnd.IntN(2) == 0})
				}
				if list == nil && rnd.IntN(2) == 0 {
					list = []Hint{}
				}
				h[fmt.Sprint(r)] = list
			}
			providers = append(providers, h)
		}
		all := lists(providers)
		if name == SingleNUMANode {
			all = single(all)
		}
		if got, want := p.merge(all), everyChoice(p, all); got != want {
			t.Fatalf("round %d: %s closest=%v %v of %v: %+v, want %+v", round, name, p.options.Closest, distances, all, got, want)
		}
	}
}

// The tables are what a stock v1.37.1 decides for the cases that its own tests try, on machines of two, four and eight nodes.
func TestMergeDecidesAsUpstreamDoes(t *testing.T) {
	type hint struct {
		Mask      []int
		Preferred bool
	}
	f, err := os.Open("testdata/tables.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	read := func(h hint) Hint { return Hint{MaskOf(h.Mask...), h.Preferred} }
	lines, n := bufio.NewScanner(z), 0
	for lines.Scan() {
		var c struct {
			Name, Policy   string
			Closest, Admit bool
			Distances      [][]uint64
			Hints          []map[string][]hint
			Got            hint
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		var providers []Hints
		for _, m := range c.Hints {
			h := Hints{}
			for name, list := range m {
				h[name] = nil
				if list != nil {
					h[name] = []Hint{}
				}
				for _, x := range list {
					h[name] = append(h[name], read(x))
				}
			}
			providers = append(providers, h)
		}
		p := testPolicy(t, c.Policy, c.Closest, c.Distances)
		if got, admit := p.Merge(providers); got != read(c.Got) || admit != c.Admit {
			t.Errorf("%s, %s, %d nodes, closest %v: %+v %v, want %+v %v", c.Name, c.Policy, len(c.Distances), c.Closest, got, admit, c.Got, c.Admit)
		}
		n++
	}
	if n < 500 || lines.Err() != nil {
		t.Errorf("%d cases, %v", n, lines.Err())
	}
}

// Four resources with all 255 hints of a machine of eight nodes are four thousand millions of choices.
func TestMergeOfManyHints(t *testing.T) {
	p := testPolicy(t, BestEffort, false, make([][]uint64, 8))
	var all []Hint
	Subsets(p.ids, func(m Mask) { all = append(all, Hint{m, m.Count() == 3}) })
	got, ok := p.Merge([]Hints{{"a": all, "b": all}, {"c": all}, {"d": all}})
	if want := (Hint{MaskOf(0, 1, 2), true}); got != want || !ok {
		t.Errorf("%+v %v", got, ok)
	}
}

package firewall

import "slices"

// Change is what one base chain needs.
type Change struct {
	Chain  *Chain
	Remove []uint64 // handles of rules of ours
	Insert bool     // our rules
	Before int      // the rule of the chain that ours go before, or their number: at the end
	For    []Dropped
}

// Dropped is what a foreign chain does to a sample.
type Dropped struct {
	Packet Packet
	By     *Place
}

// plan tells what the base chains of a set of tables need so that no sample is dropped, and what they drop as they are.
func plan(tables []*Table, samples []Packet, mark string) (changes []Change, dropped []Dropped) {
	for _, t := range tables {
		for _, c := range t.base() {
			ch, now := c.plan(samples, mark)
			dropped = append(dropped, now...)
			if ch.Insert || len(ch.Remove) > 0 {
				changes = append(changes, ch)
			}
		}
	}
	return changes, dropped
}

func (t *Table) base() []*Chain {
	var out []*Chain
	for _, c := range t.Chains {
		if c.Base {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *Chain) int { return int(a.Hook) - int(b.Hook) })
	return out
}

// plan looks at the chain with our rules and without: ours are due where something is dropped without them, and are put
// anew where something is dropped in spite of them.
func (c *Chain) plan(samples []Packet, mark string) (ch Change, dropped []Dropped) {
	ours := func(r *Rule) bool { return r.Comment == mark }
	none := func(*Rule) bool { return false }
	ch = Change{Chain: c, Before: len(c.Rules)}
	for i := range samples {
		p := &samples[i]
		if p.Hook != c.Hook {
			continue
		}
		if place := c.drops(p, none); place != nil {
			dropped = append(dropped, Dropped{*p, place})
		}
		if place := c.drops(p, ours); place != nil {
			ch.For = append(ch.For, Dropped{*p, place})
			ch.Before = min(ch.Before, place.Top)
		}
	}
	ch.Insert = len(dropped) > 0
	if ch.Insert || len(ch.For) == 0 {
		for i := range c.Rules {
			if ours(&c.Rules[i]) {
				ch.Remove = append(ch.Remove, c.Rules[i].Handle)
			}
		}
	}
	return ch, dropped
}

package firewall

import (
	"fmt"
	"strings"
)

// Verdict is what a rule says of a packet.
type Verdict uint8

// The verdicts. A rule that does not match, or of which it is not known whether it does, says Continue.
const (
	Continue Verdict = iota
	Accept
	Drop
	Return
	Jump // and come back
	Goto
)

// Rule is one rule of a chain, whoever wrote it.
type Rule struct {
	Handle  uint64 // nft's, or a legacy rule's number from 1
	Text    string // for people
	Comment string
	Decide  func(*Packet) (Verdict, string) // the string is the chain of Jump and Goto
}

// Chain is a list of rules. A base chain has a hook and a policy.
type Chain struct {
	Table  *Table
	Name   string
	Base   bool
	Hook   Hook
	Policy Verdict // Accept or Drop
	Rules  []Rule
}

// Table is somebody's table, with all its chains.
type Table struct {
	Name   string // "ip filter", as nft writes it
	Chains map[string]*Chain
}

// Place is where a packet was dropped.
type Place struct {
	Chain *Chain
	Rule  *Rule // nil: by the chain's policy
	Top   int   // the rule of the base chain that it was dropped by or below; its number of rules for the policy
}

// String names the place as its owner would look for it.
func (p *Place) String() string {
	if p.Rule == nil {
		return fmt.Sprintf("table %s, chain %s: policy drop", p.Chain.Table.Name, p.Chain.Name)
	}
	return fmt.Sprintf("table %s, chain %s, rule %d: %s", p.Chain.Table.Name, p.Chain.Name, p.Rule.Handle, p.Rule.Text)
}

// deepest is how far jumps are followed; the kernel allows 16.
const deepest = 32

// drops walks a packet through a base chain, without the rules that skip names, and tells where it is dropped, or nil.
func (c *Chain) drops(p *Packet, skip func(*Rule) bool) *Place {
	for i := range c.Rules {
		r := &c.Rules[i]
		if skip(r) {
			continue
		}
		v, place := c.apply(r, p, skip, 0)
		switch v {
		case Drop:
			place.Top = i
			return place
		case Accept:
			return nil
		case Return, Goto: // out of a base chain, or of one that was gone to: its policy decides
			return c.policy()
		}
	}
	return c.policy()
}

func (c *Chain) policy() *Place {
	if c.Policy == Drop {
		return &Place{Chain: c, Top: len(c.Rules)}
	}
	return nil
}

// apply is what a rule comes to, jumps followed: Continue, Accept, Drop, or Return, which ends its chain (Goto: that and
// nothing more came of a chain that was gone to).
func (c *Chain) apply(r *Rule, p *Packet, skip func(*Rule) bool, depth int) (Verdict, *Place) {
	v, name := r.Decide(p)
	switch v {
	case Drop:
		return Drop, &Place{Chain: c, Rule: r}
	case Jump, Goto:
		to, ok := c.Table.Chains[name]
		if !ok || depth > deepest {
			return Continue, nil
		}
		inner, place := to.walk(p, skip, depth+1)
		if inner == Drop || inner == Accept {
			return inner, place
		}
		if v == Goto {
			return Goto, nil
		}
		return Continue, nil
	}
	return v, nil
}

func (c *Chain) walk(p *Packet, skip func(*Rule) bool, depth int) (Verdict, *Place) {
	for i := range c.Rules {
		if skip(&c.Rules[i]) {
			continue
		}
		switch v, place := c.apply(&c.Rules[i], p, skip, depth); v {
		case Accept, Drop:
			return v, place
		case Return, Goto:
			return Return, nil
		}
	}
	return Return, nil
}

// hasPrefix tells whether a link's name matches a pattern of iptables: a name, or a prefix and "+".
func hasPrefix(name, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "+"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return name == pattern
}

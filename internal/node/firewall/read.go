package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// read copies those tables of others that could drop a packet of pods. Only what has a filtering base chain is read whole,
// so that a machine without a packet filter costs one listing of its chains.
func read(ours func(table string) bool) ([]*Table, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, os.ErrNotExist) {
		return nil, nil // a kernel without nf_tables has none
	}
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	type key struct {
		family nftables.TableFamily
		name   string
	}
	tables, found := map[key]*Table{}, map[key]bool{}
	var order []key
	for _, c := range chains {
		k := key{c.Table.Family, c.Table.Name}
		if familyName(k.family) == "" || ours(k.name) {
			continue
		}
		if tables[k] == nil {
			tables[k] = &Table{Name: familyName(k.family) + " " + k.name, Chains: map[string]*Chain{}}
			order = append(order, k)
		}
		ch := &Chain{Table: tables[k], Name: c.Name, Policy: Accept}
		if c.Hooknum != nil && c.Type != nftables.ChainTypeNAT && c.Type != "" {
			ch.Base, ch.Hook, found[k] = true, Hook(*c.Hooknum), true
		}
		if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			ch.Policy = Drop
		}
		tables[k].Chains[c.Name] = ch
	}
	var out []*Table
	for _, k := range order {
		if !found[k] {
			continue
		}
		if err := tables[k].fill(k.family, k.name); err != nil {
			return nil, err
		}
		out = append(out, tables[k])
	}
	return out, nil
}

// fill reads the rules of a table.
func (t *Table) fill(family nftables.TableFamily, name string) error {
	rules, err := nf.Rules(family, name)
	if err != nil {
		return err
	}
	find := remembered(family, name)
	for _, r := range rules {
		c := t.Chains[r.Chain]
		if c == nil {
			continue // made since
		}
		c.Rules = append(c.Rules, Rule{Handle: r.Handle, Text: text(r), Comment: comment(r), Decide: decide(r.Exprs, find)})
	}
	return nil
}

// remembered finds the sets of a table, reading each when a packet first gets as far as to be looked up in it: lists of
// addresses that are refused may have a million entries, and most are about others.
func remembered(family nftables.TableFamily, table string) sets {
	known := map[string]*set{}
	return func(name string) (*set, bool) {
		if s, ok := known[name]; ok {
			return s, s != nil
		}
		known[name] = nil
		list, interval, err := nf.Elements(family, table, name)
		if err != nil {
			return nil, false
		}
		s := &set{interval: interval}
		for _, e := range list {
			if len(e.KeyEnd) > 0 {
				return nil, false // ranges of several fields at once
			}
			s.elements = append(s.elements, element{key: e.Key, end: e.IntervalEnd, value: e.Val, verdict: e.VerdictData})
		}
		if interval {
			slices.SortStableFunc(s.elements, func(a, b element) int { return bytes.Compare(a.key, b.key) })
		}
		known[name] = s
		return s, true
	}
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyINet:
		return "inet"
	}
	return ""
}

// nftTable is a table as the library names it.
func (t *Table) nftTable() *nftables.Table {
	family, name, _ := strings.Cut(t.Name, " ")
	f := nftables.TableFamilyIPv4
	if family == "inet" {
		f = nftables.TableFamilyINet
	}
	return &nftables.Table{Name: name, Family: f}
}

package firewall

import (
	"errors"
	"fmt"

	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Config says whose rules they are.
type Config struct {
	Mark  string                  // the comment that rules of ours carry
	Ours  func(table string) bool // tables that are not of others
	Batch func() *nf.Batch        // a batch of our own; nil for one that nobody watches
}

// Report is what was found and done.
type Report struct {
	Opened  []Dropped // what was dropped and no longer is
	Blocked []Dropped // what is dropped still
	Err     error     // why, when that is known
}

// tries bounds how often rules are put right at once: with each, what dropped behind the last drop comes to light.
const tries = 4

// Open sees to it that nobody drops what the sample says, and takes away what is no longer needed for that.
func Open(cfg Config, s Sample) (Report, error) {
	var rep Report
	samples := s.packets()
	for i := 0; ; i++ {
		tables, err := read(cfg.Ours)
		if err != nil {
			return rep, err
		}
		legacy, err := readLegacy()
		if err != nil {
			rep.Err = errors.Join(rep.Err, err)
		}
		changes, dropped := plan(append(tables, legacy...), samples, cfg.Mark)
		rep.Blocked = dropped
		if len(changes) == 0 || i == tries || rep.Err != nil {
			return rep, nil
		}
		for _, ch := range changes {
			if err := cfg.apply(ch, s.Links); err != nil {
				rep.Err = errors.Join(rep.Err, fmt.Errorf("table %s, chain %s: %w", ch.Chain.Table.Name, ch.Chain.Name, err))
			} else if ch.Insert {
				rep.Opened = append(rep.Opened, ch.For...)
			}
		}
	}
}

// Cleanup takes away all rules that carry the mark.
func Cleanup(cfg Config) error {
	tables, err := read(cfg.Ours)
	errs := []error{err}
	legacy, err := readLegacy()
	errs = append(errs, err)
	changes, _ := plan(append(tables, legacy...), nil, cfg.Mark) // nothing is needed for nobody
	for _, ch := range changes {
		errs = append(errs, cfg.apply(ch, nil))
	}
	return errors.Join(errs...)
}

func (cfg Config) apply(ch Change, links []string) error {
	if ch.Chain.Table.Name == legacyTable {
		return applyLegacy(ch, links, cfg.Mark)
	}
	b := nf.NewBatch()
	if cfg.Batch != nil {
		b = cfg.Batch()
	}
	table := ch.Chain.Table.nftTable()
	chain := &nftables.Chain{Table: table, Name: ch.Chain.Name}
	for _, handle := range ch.Remove {
		if err := b.DelRule(&nftables.Rule{Table: table, Chain: chain, Handle: handle}); err != nil {
			return err
		}
	}
	if ch.Insert {
		for _, exprs := range accepts(ch.Chain.Hook, links) {
			r := &nftables.Rule{Table: table, Chain: chain, Exprs: exprs, UserData: nf.Marked(cfg.Mark)}
			if at := ch.anchor(); at != nil {
				r.Position = at.Handle
				b.InsertRule(r)
			} else {
				b.AddRule(r)
			}
		}
	}
	return b.Commit()
}

// anchor is the rule that ours go before, or nil for the end. It is none of ours, which are removed first.
func (ch Change) anchor() *Rule {
	if ch.Before >= len(ch.Chain.Rules) {
		return nil
	}
	return &ch.Chain.Rules[ch.Before]
}

// accepts are our rules at a hook: what comes in by a link of pods, and what goes out by one. They are written as iptables
// itself would, which lists them, saves and restores them.
func accepts(h Hook, links []string) []nf.Exprs {
	var out []nf.Exprs
	for _, l := range links {
		if h != Output && h != Postrouting {
			out = append(out, accept(expr.MetaKeyIIFNAME, l))
		}
		if h != Input && h != Prerouting {
			out = append(out, accept(expr.MetaKeyOIFNAME, l))
		}
	}
	return out
}

func accept(key expr.MetaKey, prefix string) nf.Exprs {
	const reg = 1 // of the registers that iptables knows
	return nf.Exprs{
		&expr.Meta{Key: key, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte(prefix)},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

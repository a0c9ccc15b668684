package fairness

import (
	"cmp"
	"math"
	"slices"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

// rules are what requests are held against: schemas in the order in which they are tried. They never change; new ones take their place.
type rules struct {
	schemas  []*schema
	catchAll *schema
	levels   []*level // by name
}

// limits are how many seats a level has. They never change; new ones take their place.
type limits struct {
	exempt   bool
	rejects  bool  // no queue: what finds no seat is refused
	nominal  int64 // seats that are the level's own
	lendable int64 // of these, what others may take while the level does not
	ceiling  int64 // own and borrowed seats together
	queues   int
	hand     int // how many of the queues a flow may be put into
	length   int // requests that may wait in one queue
	widest   int64
}

// wide is what one request may take of a level's seats, as a part of them.
const wide = 0.15

// limitsOf is what a level's configuration says where seats are shared out by shares.
func limitsOf(c *flowcontrolv1.PriorityLevelConfiguration, seats, shares int64) *limits {
	own := func(of *int32, or int32) int64 {
		n := or
		if of != nil {
			n = *of
		}
		if shares == 0 {
			return 0
		}
		return int64(math.Ceil(float64(seats) * float64(n) / float64(shares)))
	}
	percent := func(of int64, p *int32) int64 {
		if p == nil {
			return 0
		}
		return int64(math.Round(float64(of) * float64(*p) / 100))
	}
	if c.Spec.Type == flowcontrolv1.PriorityLevelEnablementExempt {
		l := &limits{exempt: true}
		if e := c.Spec.Exempt; e != nil {
			l.nominal = own(e.NominalConcurrencyShares, 0)
			l.lendable = percent(l.nominal, e.LendablePercent)
		}
		return l
	}
	l := &limits{rejects: true}
	limited := c.Spec.Limited
	if limited == nil {
		limited = &flowcontrolv1.LimitedPriorityLevelConfiguration{}
	}
	l.nominal = own(limited.NominalConcurrencyShares, defaultShares)
	l.lendable = percent(l.nominal, limited.LendablePercent)
	l.ceiling = max(seats, l.nominal)
	if limited.BorrowingLimitPercent != nil {
		l.ceiling = l.nominal + percent(l.nominal, limited.BorrowingLimitPercent)
	}
	l.widest = max(1, int64(wide*float64(l.nominal)))
	if q := limited.LimitResponse.Queuing; q != nil && limited.LimitResponse.Type == flowcontrolv1.LimitResponseTypeQueue {
		l.rejects, l.queues, l.hand, l.length = false, max(1, int(q.Queues)), max(1, int(q.HandSize)), int(q.QueueLengthLimit)
		l.hand = min(l.hand, l.queues)
	}
	return l
}

// defaultShares are those of a level that names none.
const defaultShares = 30

// sharesOf are the shares of a level.
func sharesOf(c *flowcontrolv1.PriorityLevelConfiguration) int64 {
	switch {
	case c.Spec.Type == flowcontrolv1.PriorityLevelEnablementExempt:
		if e := c.Spec.Exempt; e != nil && e.NominalConcurrencyShares != nil {
			return int64(*e.NominalConcurrencyShares)
		}
		return 0
	case c.Spec.Limited != nil && c.Spec.Limited.NominalConcurrencyShares != nil:
		return int64(*c.Spec.Limited.NominalConcurrencyShares)
	}
	return defaultShares
}

// compile makes rules. level finds or makes the level of a name, whose requests under way go on under other limits. What cannot do
// without is added where it is missing; a schema that names no level there is is left out.
func compile(schemas []*flowcontrolv1.FlowSchema, levels []*flowcontrolv1.PriorityLevelConfiguration, seats int64, find func(name string) *level, known func(name string) *schema) *rules {
	schemas, levels = withMandatory(schemas, levels)
	var shares int64
	for _, c := range levels {
		shares += sharesOf(c)
	}
	r := &rules{}
	byName := map[string]*level{}
	for _, c := range levels {
		l := find(c.Name)
		l.limits.Store(limitsOf(c, seats, shares))
		l.uid.Store(&[]string{string(c.UID)})
		byName[c.Name] = l
		r.levels = append(r.levels, l)
	}
	slices.SortFunc(r.levels, func(a, b *level) int { return cmp.Compare(a.name, b.name) })
	schemas = slices.Clone(schemas)
	slices.SortFunc(schemas, func(a, b *flowcontrolv1.FlowSchema) int {
		return cmp.Or(cmp.Compare(a.Spec.MatchingPrecedence, b.Spec.MatchingPrecedence), cmp.Compare(a.Name, b.Name))
	})
	for _, c := range schemas {
		l := byName[c.Spec.PriorityLevelConfiguration.Name]
		if l == nil {
			continue
		}
		s := newSchema(c, l, known(c.Name))
		r.schemas = append(r.schemas, s)
		if c.Name == flowcontrolv1.FlowSchemaNameCatchAll {
			r.catchAll = s
		}
	}
	return r
}

// withMandatory adds the schemas and levels without which there would be requests that belong nowhere.
func withMandatory(schemas []*flowcontrolv1.FlowSchema, levels []*flowcontrolv1.PriorityLevelConfiguration) ([]*flowcontrolv1.FlowSchema, []*flowcontrolv1.PriorityLevelConfiguration) {
	defaultSchemas, defaultLevels := Defaults()
	for _, d := range defaultLevels {
		if Mandatory(d.Name) && !slices.ContainsFunc(levels, func(c *flowcontrolv1.PriorityLevelConfiguration) bool { return c.Name == d.Name }) {
			levels = append(slices.Clip(levels), d)
		}
	}
	for _, d := range defaultSchemas {
		i := slices.IndexFunc(schemas, func(c *flowcontrolv1.FlowSchema) bool { return c.Name == d.Name })
		if !Mandatory(d.Name) {
			continue
		}
		if i < 0 {
			schemas = append(slices.Clip(schemas), d)
		} else if schemas[i].Spec.PriorityLevelConfiguration.Name != d.Spec.PriorityLevelConfiguration.Name {
			schemas = slices.Clone(schemas)
			schemas[i] = d
		}
	}
	return schemas, levels
}

package admit

import "context"

// Chain runs plugins in order. Its zero value has none.
type Chain struct {
	plugins    []Plugin
	mutators   []Mutator // of plugins, in their order
	validators []Validator
	times      *Times
}

// newChain makes one of plugins and begins to count how long they take.
func newChain(plugins []Plugin) Chain {
	c := Chain{plugins: plugins}
	for _, p := range plugins {
		if m, ok := p.(Mutator); ok {
			c.mutators = append(c.mutators, m)
		}
		if v, ok := p.(Validator); ok {
			c.validators = append(c.validators, v)
		}
	}
	c.times = newTimes(c.mutators, c.validators)
	return c
}

// Times are how long the plugins have taken.
func (c Chain) Times() *Times { return c.times }

// Admit runs the mutators, a second time if one of them asks for it.
func (c Chain) Admit(ctx context.Context, a *Attributes) error {
	if len(c.mutators) == 0 {
		return nil
	}
	began := now()
	err := c.admit(ctx, a)
	if err == nil && a.round.again {
		a.round.second = true
		err = c.admit(ctx, a)
	}
	c.times.step(admitting, a.Operation, now()-began, err)
	return err
}

// admit runs the mutators once. The end of one is the beginning of the next, so that the clock is read once for each.
func (c Chain) admit(ctx context.Context, a *Attributes) error {
	began := now()
	for i, m := range c.mutators {
		err := m.Admit(ctx, a)
		ended := now()
		c.times.plugin(admitting, a.Operation, i, ended-began, err)
		if began = ended; err != nil {
			return err
		}
	}
	return nil
}

// Validate runs the validators.
func (c Chain) Validate(ctx context.Context, a *Attributes) error {
	if len(c.validators) == 0 {
		return nil
	}
	first := now()
	began := first
	for i, v := range c.validators {
		err := v.Validate(ctx, a)
		ended := now()
		c.times.plugin(validating, a.Operation, i, ended-began, err)
		if began = ended; err != nil {
			c.times.step(validating, a.Operation, ended-first, err)
			return err
		}
	}
	c.times.step(validating, a.Operation, began-first, nil)
	return nil
}

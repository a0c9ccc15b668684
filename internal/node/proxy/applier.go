package proxy

import "context"

// Applier makes a machine do what a ruleset says. There is one for nf_tables, and one that forwards connections itself for
// machines without a packet filter. One goroutine uses it, and another runs it.
type Applier interface {
	// Mode is what :10249/proxyMode answers.
	Mode() string
	// Reset replaces everything the applier made before, in this process or an earlier one, by all, a delta from nothing.
	Reset(all *Delta) error
	// Apply changes it. After an error the state is unknown, and Reset is due.
	Apply(d *Delta) error
	// Run does what has to be done beside that, until ctx ends. It calls lost, which does not block, when somebody else broke
	// what the applier made, so that Reset is due.
	Run(ctx context.Context, lost func()) error
}

package proxy

// Applier makes a machine do what a ruleset says. There is one for nf_tables; one that forwards connections itself, for
// hosts without a packet filter, is to come. It is used by one goroutine.
type Applier interface {
	// Mode is what :10249/proxyMode answers.
	Mode() string
	// Reset replaces everything the applier made before, in this process or an earlier one, by all, a delta from nothing.
	Reset(all *Delta) error
	// Apply changes it. After an error the state is unknown, and Reset is due.
	Apply(d *Delta) error
}

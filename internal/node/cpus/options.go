package cpus

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"sampan.dev/internal/node/topology"
)

// Names of the policies.
const (
	None   = "none"
	Static = "static"
)

// Options of the static policy.
type Options struct {
	WholeCores     bool // full-pcpus-only: a container shares no core with another
	AcrossNodes    bool // distribute-cpus-across-numa: equal shares of several NUMA nodes, where one does not do
	BySocket       bool // align-by-socket: what lies in one socket is close together
	AcrossCores    bool // distribute-cpus-across-cores: CPUs of different cores
	StrictReserved bool // strict-cpu-reservation: reserved CPUs are not for other pods either
	ByCache        bool // prefer-align-cpus-by-uncorecache
}

// ReadOptions reads --cpu-manager-policy-options. alpha says that those may be used that upstream has not proven yet (the feature
// gate CPUManagerPolicyAlphaOptions).
func ReadOptions(m map[string]string, alpha bool) (o Options, err error) {
	fields := map[string]*bool{
		"full-pcpus-only": &o.WholeCores, "distribute-cpus-across-numa": &o.AcrossNodes, "align-by-socket": &o.BySocket,
		"distribute-cpus-across-cores": &o.AcrossCores, "strict-cpu-reservation": &o.StrictReserved,
		"prefer-align-cpus-by-uncorecache": &o.ByCache,
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		field, known := fields[name]
		switch {
		case !known:
			return o, fmt.Errorf("unknown CPU Manager Policy option: %q", name)
		case !alpha && (field == &o.BySocket || field == &o.AcrossCores):
			return o, fmt.Errorf("CPU Manager Policy Alpha-level Options not enabled, but option %q provided", name)
		}
		if *field, err = strconv.ParseBool(m[name]); err != nil {
			return o, fmt.Errorf("bad value for option %q: %w", name, err)
		}
	}
	for _, clash := range []struct {
		a, b  bool
		names [2]string
	}{
		{o.WholeCores, o.AcrossCores, [2]string{"full-pcpus-only", "distribute-cpus-across-cores"}},
		{o.AcrossNodes, o.AcrossCores, [2]string{"distribute-cpus-across-numa", "distribute-cpus-across-cores"}},
		{o.ByCache, o.AcrossCores, [2]string{"prefer-align-cpus-by-uncorecache", "distribute-cpus-across-cores"}},
		{o.ByCache, o.AcrossNodes, [2]string{"prefer-align-cpus-by-uncorecache", "distribute-cpus-across-numa"}},
	} {
		if clash.a && clash.b {
			return o, fmt.Errorf("static policy options %s and %s can not be used at the same time", clash.names[0], clash.names[1])
		}
	}
	return o, nil
}

// suit says whether the options suit a machine and the policy of the topology manager.
func (o Options) suit(m *machine, policy string) error {
	switch {
	case !o.BySocket:
		return nil
	case policy == topology.SingleNUMANode:
		return fmt.Errorf("Topolgy manager %s policy is incompatible with CPUManager %s policy option", policy, "align-by-socket") //nolint:staticcheck // upstream's words
	case len(m.ids(bySocket)) > m.nodes:
		return errors.New("Align by socket is not compatible with hardware where number of sockets are more than number of NUMA") //nolint:staticcheck // upstream's words
	}
	return nil
}

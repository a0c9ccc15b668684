package devices

import (
	"maps"
	"slices"
)

// set of device IDs.
type set map[string]struct{}

func setOf(ids ...string) set {
	out := make(set, len(ids))
	for _, id := range ids {
		out[id] = struct{}{}
	}
	return out
}

func (s set) has(id string) bool { _, ok := s[id]; return ok }

// list is never nil: checkpoints tell none from nothing.
func (s set) list() []string {
	out := slices.AppendSeq(make([]string, 0, len(s)), maps.Keys(s))
	slices.Sort(out)
	return out
}

func (s set) with(o set) set {
	out := maps.Clone(s)
	if out == nil {
		out = set{}
	}
	maps.Copy(out, o)
	return out
}

func (s set) without(o set) set {
	out := set{}
	for id := range s {
		if !o.has(id) {
			out[id] = struct{}{}
		}
	}
	return out
}

func (s set) and(o set) set {
	out := set{}
	for id := range s {
		if o.has(id) {
			out[id] = struct{}{}
		}
	}
	return out
}

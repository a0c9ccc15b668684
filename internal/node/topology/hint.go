package topology

// Hint is one way to serve a container: with what lies on the nodes of Mask. Preferred says that no fewer nodes would do, even
// were nothing in use.
type Hint struct {
	Mask      Mask // empty: any nodes do
	Preferred bool
}

// Hints are what a provider says of each resource that a container asks of it: nil where it does not matter from where it comes,
// an empty list where it can be had from nowhere.
type Hints map[string][]Hint

// lists makes one list for each resource of each provider. A provider without hints, and a resource for which it does not
// matter, become the hint that any nodes are good; what cannot be had becomes one that none is.
func lists(providers []Hints) [][]Hint {
	var out [][]Hint
	for _, hints := range providers {
		if len(hints) == 0 {
			out = append(out, []Hint{{Preferred: true}})
			continue
		}
		for _, list := range hints {
			switch {
			case list == nil:
				list = []Hint{{Preferred: true}}
			case len(list) == 0:
				list = []Hint{{}}
			}
			out = append(out, list)
		}
	}
	return out
}

// single keeps the hints that need one node at most and are preferred.
func single(all [][]Hint) [][]Hint {
	out := make([][]Hint, len(all))
	for i, list := range all {
		for _, h := range list {
			if h.Preferred && h.Mask.Count() <= 1 {
				out[i] = append(out[i], h)
			}
		}
	}
	return out
}

// widestNeed is how many nodes the resource needs that needs the most, when each takes as few as it can.
func widestNeed(all [][]Hint) int {
	most := 0
	for _, list := range all {
		least := 0
		for _, h := range list {
			if n := h.Mask.Count(); n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
		most = max(most, least)
	}
	return most
}

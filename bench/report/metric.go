package report

import (
	"fmt"
	"strings"
)

// Metric is one figure of a part.
type Metric struct {
	Key   string // name of the value in a run
	Title string
	Unit  string // "ms", "s", "µs", "MB", "KB", "/s", "%", "cores" or ""
	More  bool   // more is better
	Alone bool   // a ratio would mean nothing: sampan's own parts, or a value that depends on the client
	Gate  Gate
}

// Gate is what a metric must reach. Zero fields ask for nothing. Ratios are sampan's value by the peer's.
type Gate struct {
	Max, Min           float64
	RatioMax, RatioMin float64
}

// None says that the gate asks for nothing.
func (g Gate) None() bool { return g == Gate{} }

// String writes the gate as the issue does.
func (g Gate) String() string {
	var out []string
	if g.Max > 0 {
		out = append(out, "≤ "+Number(g.Max))
	}
	if g.Min > 0 {
		out = append(out, "≥ "+Number(g.Min))
	}
	if g.RatioMax > 0 {
		out = append(out, fmt.Sprintf("≤ 1/%s of the peer", Number(1/g.RatioMax)))
	}
	if g.RatioMin > 0 {
		out = append(out, fmt.Sprintf("≥ %s× the peer", Number(g.RatioMin)))
	}
	return strings.Join(out, ", ")
}

// Verdict says whether a gate holds.
type Verdict string

const (
	Pass     Verdict = "pass"
	Fail     Verdict = "FAIL"
	Unjudged Verdict = ""      // no gate, or sizes that it was not made for
	NoPeer   Verdict = "peer?" // what can be judged without the peer holds
	NoValue  Verdict = "none"  // the run failed
)

// Judge compares the median of sampan's values, and of the ratios where there are any, with the gate.
func (g Gate) Judge(value, ratio Stat) Verdict {
	switch {
	case g.None():
		return Unjudged
	case value.N == 0:
		return NoValue
	case g.Max > 0 && value.Median > g.Max, g.Min > 0 && value.Median < g.Min:
		return Fail
	case g.RatioMax == 0 && g.RatioMin == 0:
		return Pass
	case ratio.N == 0:
		return NoPeer
	case g.RatioMax > 0 && ratio.Median > g.RatioMax, g.RatioMin > 0 && ratio.Median < g.RatioMin:
		return Fail
	}
	return Pass
}

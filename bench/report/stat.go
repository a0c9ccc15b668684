package report

import (
	"fmt"
	"math"
	"slices"
)

// Stat is the middle and the ends of some values.
type Stat struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Of sums values up. The median of an even number is the mean of the two in the middle.
func Of(values []float64) Stat {
	if len(values) == 0 {
		return Stat{}
	}
	v := slices.Clone(values)
	slices.Sort(v)
	m := len(v) / 2
	s := Stat{N: len(v), Median: v[m], Min: v[0], Max: v[len(v)-1]}
	if len(v)%2 == 0 {
		s.Median = (v[m-1] + v[m]) / 2
	}
	return s
}

// Number writes v with three significant digits, and without an exponent.
func Number(v float64) string {
	a := math.Abs(v)
	switch {
	case a == 0:
		return "0"
	case a >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.0f", math.Round(v/10)*10)
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(a))))
	return trimmed(fmt.Sprintf("%.*f", min(digits, 6), v))
}

func trimmed(s string) string {
	for len(s) > 0 && s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if len(s) > 0 && s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}

// Spread writes a statistic as "median (min..max)", or the value alone when there is but one.
func (s Stat) Spread() string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return Number(s.Median)
	}
	return fmt.Sprintf("%s (%s..%s)", Number(s.Median), Number(s.Min), Number(s.Max))
}

package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Stat
	}{
		{nil, Stat{}},
		{[]float64{3}, Stat{1, 3, 3, 3}},
		{[]float64{4, 1}, Stat{2, 2.5, 1, 4}},
		{[]float64{9, 1, 2}, Stat{3, 2, 1, 9}},
		{[]float64{5, 1, 4, 2, 3}, Stat{5, 3, 1, 5}},
	} {
		if got := Of(c.values); got != c.want {
			t.Errorf("Of(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	v := []float64{3, 1, 2}
	Of(v)
	if v[0] != 3 {
		t.Error("Of sorts what it is given")
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0"}, {1, "1"}, {0.125, "0.125"}, {0.04567, "0.0457"}, {12.34, "12.3"}, {99.96, "100"}, {123.4, "123"}, {5000, "5000"},
		{12345, "12350"}, {1234567, "1.23M"}, {2.5, "2.5"}, {-3, "-3"}, {10, "10"}, {0.00000012, "0"},
	} {
		if got := Number(c.v); got != c.want {
			t.Errorf("Number(%v) = %q, want %q", c.v, got, c.want)
		}
	}
}

func TestGate(t *testing.T) {
	at := func(v float64) Stat { return Stat{N: 1, Median: v} }
	for _, c := range []struct {
		name         string
		gate         Gate
		value, ratio Stat
		text         string
		want         Verdict
	}{
		{"nothing asked", Gate{}, at(1), at(1), "", Unjudged},
		{"below the most", Gate{Max: 400}, at(400), Stat{}, "≤ 400", Pass},
		{"above the most", Gate{Max: 400}, at(401), Stat{}, "≤ 400", Fail},
		{"both hold", Gate{Max: 400, RatioMax: 1. / 8}, at(300), at(.1), "≤ 400, ≤ 1/8 of the peer", Pass},
		{"ratio does not hold", Gate{Max: 400, RatioMax: 1. / 8}, at(300), at(.2), "≤ 400, ≤ 1/8 of the peer", Fail},
		{"no peer, the rest holds", Gate{Max: 400, RatioMax: 1. / 8}, at(300), Stat{}, "≤ 400, ≤ 1/8 of the peer", NoPeer},
		{"no peer, the rest does not", Gate{Max: 400, RatioMax: 1. / 8}, at(500), Stat{}, "≤ 400, ≤ 1/8 of the peer", Fail},
		{"at least", Gate{Min: 2000, RatioMin: 5}, at(2000), at(5), "≥ 2000, ≥ 5× the peer", Pass},
		{"too few times", Gate{Min: 2000, RatioMin: 5}, at(3000), at(4.9), "≥ 2000, ≥ 5× the peer", Fail},
		{"too little", Gate{Min: 2000, RatioMin: 5}, at(1999), at(9), "≥ 2000, ≥ 5× the peer", Fail},
		{"the run failed", Gate{Max: 1}, Stat{}, Stat{}, "≤ 1", NoValue},
	} {
		if got := c.gate.Judge(c.value, c.ratio); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if got := c.gate.String(); got != c.text {
			t.Errorf("%s: %q, want %q", c.name, got, c.text)
		}
	}
}

// sample has three pairs of a part with a time and a rate, one of whose runs failed.
func sample() *Report {
	r := &Report{Began: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Sampan: "sampan v0", Peer: "Kubernetes v1", Judged: true, Command: "bench x"}
	for i, v := range [][4]float64{{10, 100, 50, 5}, {20, 100, 40, 4}, {30, 200, 60, 10}} {
		r.Runs = append(r.Runs,
			Run{Part: "x", Pair: i + 1, Side: Sampan, Load: 1, Values: map[string]float64{"ms": v[0], "rate": v[2]}},
			Run{Part: "x", Pair: i + 1, Side: Peer, Load: 2, Values: map[string]float64{"ms": v[1], "rate": v[3]}})
	}
	r.Runs = append(r.Runs, Run{Part: "x", Pair: 4, Side: Sampan, Error: "it broke\nbadly", Values: map[string]float64{"ms": 1000}, Notes: []string{"a <note>"}})
	r.Sum([]Part{
		{Name: "x", Title: "a & b", How: "By hand.", Metrics: []Metric{
			{Key: "ms", Title: "time < all", Unit: "ms", Gate: Gate{Max: 15, RatioMax: 1. / 5}},
			{Key: "rate", Title: "rate", Unit: "/s", More: true, Gate: Gate{RatioMin: 3}},
			{Key: "absent", Title: "absent"},
			{Key: "wanted", Title: "wanted", Gate: Gate{Max: 1}},
		}},
		{Name: "y", Title: "not run"},
	})
	return r
}

func TestSum(t *testing.T) {
	r := sample()
	if len(r.Rows) != 3 {
		t.Fatalf("%d rows, want 3: %v", len(r.Rows), r.Rows)
	}
	ms, rate, wanted := r.Rows[0], r.Rows[1], r.Rows[2]
	if want := (Stat{3, 20, 10, 30}); ms.Sampan != want {
		t.Errorf("sampan %v, want %v: a failed run does not count", ms.Sampan, want)
	}
	if want := (Stat{3, .15, .1, .2}); ms.Ratio != want {
		t.Errorf("ratio %v, want %v: of each pair, not of medians", ms.Ratio, want)
	}
	if ms.Verdict != Fail || rate.Verdict != Pass || wanted.Verdict != NoValue {
		t.Errorf("verdicts %q %q %q", ms.Verdict, rate.Verdict, wanted.Verdict)
	}
	if gates, runs := r.Failed(); gates != 2 || runs != 1 {
		t.Errorf("%d gates and %d runs failed, want 2 and 1", gates, runs)
	}
	r.Judged = false
	r.Sum(r.parts)
	if r.Rows[0].Verdict != Unjudged {
		t.Error("a run of other sizes is judged")
	}
}

func TestMarkdown(t *testing.T) {
	got := sample().Markdown()
	for _, want := range []string{
		"sampan sampan v0 against Kubernetes v1",
		"## x: a & b",
		"| time < all | ms   | 20 (10..30) | 100 (100..200) | 0.15 (0.1..0.2) | ≤ 15, ≤ 1/5 of the peer | FAIL |",
		"| rate       | /s   | 50 (40..60) | 5 (4..10)      | 10 (6..10)      | ≥ 3× the peer           | pass |",
		"- kubernetes: 3 runs, load average 2 (2..2), cores busy with other work 0 (0..0)",
		"- sampan, run 4 FAILED: it broke\n",
		"- sampan, run 4: a <note>",
		"2 gates do not hold; 1 runs failed.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "## y") {
		t.Error("a part that was not run is in the table")
	}
}

func TestJSON(t *testing.T) {
	data, err := sample().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Runs) != 7 || back.Runs[2].Values["ms"] != 20 || back.Rows[0].Verdict != Fail {
		t.Errorf("values are lost: %s", data)
	}
}

func TestSVG(t *testing.T) {
	r := sample()
	got := r.SVG("x")
	dec := xml.NewDecoder(strings.NewReader(got))
	count := map[string]int{}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
	if want := 2 + 2*6; count["circle"] != want { // two in the legend, six runs in each of two metrics
		t.Errorf("%d dots, want %d", count["circle"], want)
	}
	if !strings.Contains(got, "time &lt; all") || !strings.Contains(got, "FAIL") {
		t.Error("names or verdicts are missing")
	}
	if r.SVG("y") != "" {
		t.Error("a part without values has a plot")
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct{ values []float64 }{{[]float64{1, 100}}, {[]float64{5}}, {[]float64{0, 0}}, {[]float64{1e-3, 1e6}}, {nil}} {
		s := scaleOf(c.values)
		if s.low <= 0 || s.high/s.low < 4 {
			t.Errorf("%v: scale %v", c.values, s)
		}
		if n := len(s.ticks()); n == 0 || n > 12 {
			t.Errorf("%v: %d ticks", c.values, n)
		}
		for _, v := range c.values {
			if x := s.at(v); x < plotLeft || x > plotRight {
				t.Errorf("%v: %v is drawn at %v", c.values, v, x)
			}
		}
	}
}

package report

import (
	"encoding/json"
	"time"
)

// The names of the two sides.
const (
	Sampan = "sampan"
	Peer   = "kubernetes"
)

// Run is one run of one part on one side.
type Run struct {
	Part    string             `json:"part"`
	Pair    int                `json:"pair"`
	Side    string             `json:"side"`
	Began   time.Time          `json:"began"`
	Seconds float64            `json:"seconds"`
	Load    float64            `json:"load"`         // load average of the minute, mean of before and after
	Others  float64            `json:"others_cores"` // most cores busy with other work in any window
	Values  map[string]float64 `json:"values"`
	Notes   []string           `json:"notes,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// Part is what the report needs to know of a part.
type Part struct {
	Name, Title, How string
	Metrics          []Metric
}

// Machine is where it was measured.
type Machine struct {
	CPUs     int    `json:"cpus"`
	MemoryMB int    `json:"memory_mb"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
}

// Report is everything that was measured.
type Report struct {
	Began   time.Time `json:"began"`
	Machine Machine   `json:"machine"`
	Sampan  string    `json:"sampan"` // version
	Peer    string    `json:"peer,omitempty"`
	Command string    `json:"command"`
	Judged  bool      `json:"judged"` // sizes are those that the gates were made for
	Runs    []Run     `json:"runs"`
	Rows    []Row     `json:"rows"`

	parts []Part
}

// Row is one metric of one part, over all pairs.
type Row struct {
	Part    string  `json:"part"`
	Key     string  `json:"key"`
	Title   string  `json:"title"`
	Unit    string  `json:"unit"`
	Sampan  Stat    `json:"sampan"`
	Peer    Stat    `json:"peer"`
	Ratio   Stat    `json:"ratio"` // of each pair
	Gate    string  `json:"gate,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"`

	metric       Metric
	sampan, peer []float64
}

// Sum fills in the rows from the runs. Metrics that no run has are left out, unless they have a gate.
func (r *Report) Sum(parts []Part) {
	r.parts, r.Rows = nil, nil
	for _, p := range parts {
		if len(r.runsOf(p.Name)) == 0 {
			continue
		}
		r.parts = append(r.parts, p)
		for _, m := range p.Metrics {
			if row := r.row(p.Name, m); row.Sampan.N+row.Peer.N > 0 || !m.Gate.None() {
				r.Rows = append(r.Rows, row)
			}
		}
	}
}

func (r *Report) runsOf(part string) []Run {
	var out []Run
	for _, run := range r.Runs {
		if run.Part == part {
			out = append(out, run)
		}
	}
	return out
}

func (r *Report) row(part string, m Metric) Row {
	row := Row{Part: part, Key: m.Key, Title: m.Title, Unit: m.Unit, Gate: m.Gate.String(), metric: m}
	pairs := map[int][2]float64{}
	for _, run := range r.runsOf(part) {
		v, ok := run.Values[m.Key]
		if !ok || run.Error != "" {
			continue
		}
		pair := pairs[run.Pair]
		if run.Side == Sampan {
			row.sampan = append(row.sampan, v)
			pair[0] = v
		} else {
			row.peer = append(row.peer, v)
			pair[1] = v
		}
		pairs[run.Pair] = pair
	}
	var ratios []float64
	for _, p := range pairs {
		if p[0] > 0 && p[1] > 0 && !m.Alone {
			ratios = append(ratios, p[0]/p[1])
		}
	}
	row.Sampan, row.Peer, row.Ratio = Of(row.sampan), Of(row.peer), Of(ratios)
	if r.Judged {
		row.Verdict = m.Gate.Judge(row.Sampan, row.Ratio)
	}
	return row
}

// Failed counts the gates that do not hold and the runs that ended in an error.
func (r *Report) Failed() (gates, runs int) {
	for _, row := range r.Rows {
		if row.Verdict == Fail || row.Verdict == NoValue {
			gates++
		}
	}
	for _, run := range r.Runs {
		if run.Error != "" {
			runs++
		}
	}
	return gates, runs
}

// JSON writes everything, raw values included.
func (r *Report) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", " ")
	return append(data, '\n'), err
}

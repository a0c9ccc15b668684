package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotWidth  = 1080
	plotLeft   = 330 // names end here
	plotRight  = 800 // the scale ends here, and what was reached stands behind
	plotTop    = 74
	rowHeight  = 44
	axisHeight = 18
)

// Colours that differ in lightness too, for those who do not see hues.
const (
	inkSampan = "#00707a"
	inkPeer   = "#d98200"
	inkGate   = "#b0002a"
	inkPale   = "#8a8f98"
)

// SVG draws one part: a line for each metric, on a scale of its own that is logarithmic, with a dot for every run of both sides, a
// bar for each median, and a mark where the gate is. It returns "" when the part has no values.
func (r *Report) SVG(part string) string {
	var rows []Row
	title := part
	for _, p := range r.parts {
		if p.Name == part {
			title = p.Name + ": " + p.Title
		}
	}
	for _, row := range r.Rows {
		if row.Part == part && row.Sampan.N+row.Peer.N > 0 {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return ""
	}
	height := plotTop + len(rows)*(rowHeight+axisHeight) + 16
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica,Arial,sans-serif" font-size="13">`+"\n", plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", plotWidth, height)
	text(&b, 16, 26, "start", "#1b1e23", 17, title)
	text(&b, 16, 46, "start", inkPale, 12, fmt.Sprintf("%s; sampan %s%s; logarithmic scales; a dot for each run, a bar for each median", r.Began.Format("2006-01-02"), strings.TrimPrefix(r.Sampan, "sampan "), against(r.Peer)))
	legend(&b)
	for i, row := range rows {
		row.draw(&b, plotTop+i*(rowHeight+axisHeight))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func against(peer string) string {
	if peer == "" {
		return ""
	}
	return " against " + peer
}

func text(b *strings.Builder, x, y float64, anchor, ink string, size int, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, ink, size, html.EscapeString(s))
}

func legend(b *strings.Builder) {
	x := float64(plotRight + 20)
	for i, l := range []struct{ ink, name string }{{inkSampan, "sampan"}, {inkPeer, "Kubernetes"}} {
		at := x + float64(90*i)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="22" r="5" fill="%s"/>`+"\n", at, l.ink)
		text(b, at+9, 26, "start", "#1b1e23", 12, l.name)
	}
	fmt.Fprintf(b, `<line x1="%.1f" y1="36" x2="%.1f" y2="50" stroke="%s" stroke-width="2" stroke-dasharray="4 3"/>`+"\n", x, x, inkGate)
	text(b, x+9, 48, "start", "#1b1e23", 12, "gate")
}

// draw draws one metric below y.
func (row Row) draw(b *strings.Builder, y int) {
	gates := row.gates()
	scale := scaleOf(slices.Concat(row.sampan, row.peer, gates))
	mid := float64(y + rowHeight/2)
	fmt.Fprintf(b, `<line x1="0" y1="%d" x2="%d" y2="%d" stroke="#eceef1"/>`+"\n", y, plotWidth, y)
	text(b, plotLeft-12, mid-2, "end", "#1b1e23", 13, row.Title)
	better := "less is better"
	if row.metric.More {
		better = "more is better"
	}
	text(b, plotLeft-12, mid+13, "end", inkPale, 11, strings.TrimPrefix(row.Unit+", "+better, ", "))
	axis := y + rowHeight
	fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#c8ccd2"/>`+"\n", plotLeft, axis, plotRight, axis)
	for _, t := range scale.ticks() {
		x := scale.at(t)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#c8ccd2"/>`+"\n", x, axis, x, axis+3)
		text(b, x, float64(axis+13), "middle", inkPale, 10, Number(t))
	}
	for _, g := range gates {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="2" stroke-dasharray="4 3"/>`+"\n", scale.at(g), y+3, scale.at(g), axis, inkGate)
	}
	dots(b, scale, row.peer, row.Peer, mid+9, inkPeer)
	dots(b, scale, row.sampan, row.Sampan, mid-7, inkSampan)
	row.outcome(b, mid)
}

func dots(b *strings.Builder, s scale, values []float64, stat Stat, y float64, ink string) {
	for _, v := range values {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s" fill-opacity="0.45"/>`+"\n", s.at(v), y, ink)
	}
	if stat.N > 0 {
		x := s.at(stat.Median)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="3"/>`+"\n", x, y-7, x, y+7, ink)
	}
}

// outcome writes beside the scale what was reached.
func (row Row) outcome(b *strings.Builder, mid float64) {
	x := float64(plotRight + 20)
	line := Number(row.Sampan.Median)
	if row.Sampan.N == 0 {
		line = "–"
	}
	if row.Peer.N > 0 {
		line += " : " + Number(row.Peer.Median)
	}
	if row.Ratio.N > 0 {
		line += " = " + Number(row.Ratio.Median)
	}
	text(b, x, mid-2, "start", "#1b1e23", 13, line)
	if row.Gate == "" {
		return
	}
	ink, says := inkPale, row.Gate
	switch row.Verdict {
	case Pass:
		ink = "#2b7a2f"
	case Fail, NoValue:
		ink = inkGate
	}
	if row.Verdict != Unjudged {
		says += " – " + string(row.Verdict)
	}
	text(b, x, mid+13, "start", ink, 11, says)
}

// gates are where the gate stands on the metric's own scale; one that is a ratio is taken of the peer's median.
func (row Row) gates() []float64 {
	g := row.metric.Gate
	var out []float64
	for _, v := range []float64{g.Max, g.Min, g.RatioMax * row.Peer.Median, g.RatioMin * row.Peer.Median} {
		if v > 0 {
			out = append(out, v)
		}
	}
	return out
}

// scale is a logarithmic axis from low to high.
type scale struct{ low, high float64 }

// scaleOf makes room for all values that are above zero; those that are not stand at the left end.
func scaleOf(values []float64) scale {
	s := scale{math.Inf(1), 0}
	for _, v := range values {
		if v > 0 {
			s.low, s.high = min(s.low, v), max(s.high, v)
		}
	}
	if s.high == 0 {
		return scale{0.1, 10}
	}
	for s.low, s.high = s.low/1.3, s.high*1.3; s.high/s.low < 4; {
		s.low, s.high = s.low/1.1, s.high*1.1
	}
	return s
}

func (s scale) at(v float64) float64 {
	if v <= s.low {
		return plotLeft
	}
	return plotLeft + (plotRight-plotLeft)*math.Log(v/s.low)/math.Log(s.high/s.low)
}

// ticks are round numbers, at most a dozen.
func (s scale) ticks() []float64 {
	steps := []float64{1, 2, 5}
	if s.high/s.low > 300 {
		steps = []float64{1}
	}
	var out []float64
	for e := math.Floor(math.Log10(s.low)); e <= math.Log10(s.high); e++ {
		for _, k := range steps {
			if v := k * math.Pow(10, e); v >= s.low && v <= s.high {
				out = append(out, v)
			}
		}
	}
	return out
}

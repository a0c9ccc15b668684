package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Markdown writes the tables, aligned so that they can be read in a terminal too.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measurements of %s\n\n", r.Began.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "sampan %s", r.Sampan)
	if r.Peer != "" {
		fmt.Fprintf(&b, " against %s", r.Peer)
	}
	fmt.Fprintf(&b, "; %d cores, %d MB, Linux %s; `%s`\n\n", r.Machine.CPUs, r.Machine.MemoryMB, r.Machine.Kernel, r.Command)
	b.WriteString("median (min..max); a ratio is sampan's value by the peer's in the same pair of runs.\n")
	if !r.Judged {
		b.WriteString("The sizes are not those that the gates were made for, so that nothing is judged.\n")
	}
	for _, p := range r.parts {
		r.part(&b, p)
	}
	if gates, runs := r.Failed(); gates+runs > 0 {
		fmt.Fprintf(&b, "\n%d gates do not hold; %d runs failed.\n", gates, runs)
	}
	return b.String()
}

func (r *Report) part(b *strings.Builder, p Part) {
	fmt.Fprintf(b, "\n## %s: %s\n\n%s\n\n", p.Name, p.Title, p.How)
	rows := [][]string{{"metric", "unit", "sampan", "peer", "ratio", "gate", ""}}
	for _, row := range r.Rows {
		if row.Part != p.Name {
			continue
		}
		rows = append(rows, []string{row.Title, row.Unit, row.Sampan.Spread(), row.Peer.Spread(), row.Ratio.Spread(), row.Gate, string(row.Verdict)})
	}
	grid(b, rows)
	b.WriteString("\n")
	for _, side := range []string{Sampan, Peer} {
		var loads, others []float64
		for _, run := range r.runsOf(p.Name) {
			if run.Side == side {
				loads, others = append(loads, run.Load), append(others, run.Others)
			}
		}
		if len(loads) > 0 {
			fmt.Fprintf(b, "- %s: %d runs, load average %s, cores busy with other work %s\n", side, len(loads), Of(loads).Spread(), Of(others).Spread())
		}
	}
	for _, run := range r.runsOf(p.Name) {
		for _, note := range run.Notes {
			fmt.Fprintf(b, "- %s, run %d: %s\n", run.Side, run.Pair, note)
		}
		if run.Error != "" {
			first, _, _ := strings.Cut(run.Error, "\n")
			fmt.Fprintf(b, "- %s, run %d FAILED: %s\n", run.Side, run.Pair, first)
		}
	}
}

// grid writes a Markdown table with columns of even width.
func grid(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(b, "| %s%s ", cell, strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for _, w := range width {
			fmt.Fprintf(b, "|%s", strings.Repeat("-", w+2))
		}
		b.WriteString("|\n")
	}
}

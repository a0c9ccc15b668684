package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"sampan.dev/internal/tty"
)

// Write lays a status out for a person. now is what ages are counted from.
func (s *Status) Write(w io.Writer, p tty.Palette, now time.Time) error {
	out := &strings.Builder{}
	s.head(out, p, now)
	table(out, "NODE\tSTATUS\tROLES\tADDRESS\tVERSION\tSINCE", len(s.Nodes), func(i int) []string {
		n := s.Nodes[i]
		return []string{n.Name, n.Status, or(n.Roles, "<none>"), n.Address, n.Version, age(now, n.Since)}
	})
	table(out, "PART\tSTATE\tSINCE\tFAILURES", len(s.Parts), func(i int) []string {
		part := s.Parts[i]
		return []string{part.Name, stateOf(part.Running), age(now, part.Since), fmt.Sprint(part.Failures)}
	})
	table(out, "PORT\tADDRESS\tWHAT", len(s.Ports), func(i int) []string {
		port := s.Ports[i]
		return []string{fmt.Sprint(port.Port), port.Address, or(port.What, "-")}
	})
	table(out, "MANIFEST\tOBJECTS\tSTATE", len(s.Manifests), func(i int) []string {
		m := s.Manifests[i]
		state := "applied"
		if len(m.Errors) > 0 {
			state = "failed"
		}
		return []string{m.File, fmt.Sprint(len(m.Objects)), state}
	})
	for i, problem := range s.Problems {
		if i == 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, p.Paint(tty.Bad, "! "+problem))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func stateOf(running bool) string {
	if running {
		return "running"
	}
	return "failed"
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// head says what is said once.
func (s *Status) head(out *strings.Builder, p tty.Palette, now time.Time) {
	line := p.Paint(tty.Bold, or(s.Name, s.DataDir)) + " is " + p.Paint(colour(s.State), s.State)
	if s.PID != 0 {
		line += fmt.Sprintf(": process %d", s.PID)
		if s.Command != "" {
			line += fmt.Sprintf(" ('sampan %s')", s.Command)
		}
		if s.Since != nil {
			line += fmt.Sprintf(" since %s (%s)", s.Since.Local().Format("2006-01-02 15:04:05"), age(now, *s.Since))
		}
	}
	fmt.Fprintln(out, line)
	version := s.Version
	if s.Kubernetes != "" {
		version += ", Kubernetes " + s.Kubernetes
	}
	health := s.Server
	if s.Server != "" && s.Health != "" {
		health += ", " + s.Health
	}
	log := s.Log
	if log == "" && s.PID != 0 {
		log = "standard error of the process; under systemd: journalctl -u sampan"
	}
	node := ""
	if s.NodePID != 0 {
		node = fmt.Sprintf("process %d, its log is %s", s.NodePID, s.NodeLog)
	}
	for _, row := range [][2]string{
		{"version", version}, {"API server", health}, {"pods", s.Pods}, {"services", s.Services},
		{"data", s.DataDir}, {"kubeconfig", s.Kubeconfig}, {"log", log}, {"node", node},
	} {
		if row[1] != "" {
			fmt.Fprintf(out, "  %-12s %s\n", row[0], row[1])
		}
	}
	if len(s.Parts) > 0 {
		fmt.Fprintf(out, "  %-12s %d of %d run\n", "parts", running(s.Parts), len(s.Parts))
	}
}

func colour(state string) tty.Colour {
	switch state {
	case Running:
		return tty.Good
	case Starting, Unknown:
		return tty.Warn
	}
	return tty.Faint
}

// table writes rows below a heading, or nothing when there are none.
func table(out *strings.Builder, heading string, n int, row func(i int) []string) {
	if n == 0 {
		return
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, heading)
	for i := range n {
		fmt.Fprintln(t, strings.Join(row(i), "\t"))
	}
	t.Flush()
}

// WriteList lays out several as a table.
func WriteList(w io.Writer, all []*Status, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tPID\tSINCE\tAPI SERVER\tDATA")
	for _, s := range all {
		pid, since := "-", "-"
		if s.PID != 0 {
			pid = fmt.Sprint(s.PID)
		}
		if s.Since != nil {
			since = age(now, *s.Since)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", or(s.Name, "-"), s.State, pid, since, or(s.Server, "-"), s.DataDir)
	}
	return t.Flush()
}

// age is a duration as kubectl tells one, in the two largest units that matter.
func age(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return "-"
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

package usage

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// figure is what something has used and uses.
type figure struct {
	at     time.Time     // of the CPU time
	cpu    time.Duration // since it started
	memory uint64        // working set, in bytes
	hasCPU bool
}

// container names a container of a pod.
type container struct{ namespace, pod, name string }

// reading is what a node's kubelet said at one time.
type reading struct {
	taken      time.Time
	node       figure
	containers map[container]figure
}

// parse reads the exposition of /metrics/resource (Prometheus' text format). Lines that it does not know it passes over.
func parse(text []byte, now time.Time) *reading {
	r := &reading{taken: now, containers: map[container]figure{}}
	for line := range bytes.Lines(text) {
		name, labels, value, at, ok := sample(string(bytes.TrimSpace(line)))
		if !ok {
			continue
		}
		if at.IsZero() {
			at = now
		}
		switch name {
		case "node_cpu_usage_seconds_total":
			r.node.cpu, r.node.at, r.node.hasCPU = seconds(value), at, true
		case "node_memory_working_set_bytes":
			r.node.memory = uint64(value)
		case "container_cpu_usage_seconds_total", "container_memory_working_set_bytes":
			key := container{labels["namespace"], labels["pod"], labels["container"]}
			f := r.containers[key]
			if name == "container_memory_working_set_bytes" {
				f.memory = uint64(value)
			} else {
				f.cpu, f.at, f.hasCPU = seconds(value), at, true
			}
			r.containers[key] = f
		}
	}
	return r
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }

// sample reads one line: NAME{LABEL="VALUE",…} VALUE [MILLISECONDS].
func sample(line string) (name string, labels map[string]string, value float64, at time.Time, ok bool) {
	if line == "" || line[0] == '#' {
		return
	}
	rest := line
	if i := strings.IndexAny(line, "{ "); i < 0 {
		return
	} else if name, rest = line[:i], line[i:]; rest[0] == '{' {
		if labels, rest, ok = labelled(rest[1:]); !ok {
			return
		}
	}
	parts := strings.Fields(rest)
	if len(parts) < 1 || len(parts) > 2 {
		return name, labels, 0, at, false
	}
	value, err := strconv.ParseFloat(parts[0], 64)
	if err != nil || value < 0 {
		return name, labels, 0, at, false
	}
	if len(parts) == 2 {
		ms, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			return name, labels, 0, at, false
		}
		at = time.UnixMilli(ms)
	}
	return name, labels, value, at, true
}

// labelled reads labels up to the closing brace.
func labelled(s string) (labels map[string]string, rest string, ok bool) {
	labels = map[string]string{}
	for {
		s = strings.TrimLeft(s, ", ")
		if s != "" && s[0] == '}' {
			return labels, s[1:], true
		}
		name, after, found := strings.Cut(s, "=")
		if !found {
			return nil, "", false
		}
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, "", false
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, "", false
		}
		labels[name], s = text, after[len(quoted):]
	}
}

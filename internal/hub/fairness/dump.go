package fairness

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// DebugPath is below which the dumps are served, with upstream's names and columns.
const DebugPath = "/debug/api_priority_and_fairness/"

// Dumps are the pages below DebugPath, by name.
func (f *Fairness) Dumps() map[string]http.Handler {
	page := func(write func(w io.Writer, r *http.Request)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			tab := tabwriter.NewWriter(w, 8, 0, 1, ' ', 0)
			write(tab, r)
			tab.Flush() //nolint:errcheck // the client has gone
		})
	}
	return map[string]http.Handler{
		DebugPath + "dump_priority_levels": page(f.dumpLevels),
		DebugPath + "dump_queues":          page(f.dumpQueues),
		DebugPath + "dump_requests":        page(f.dumpRequests),
	}
}

func row(w io.Writer, columns ...string) {
	fmt.Fprintln(w, strings.Join(columns, ",\t")) //nolint:errcheck // the client has gone
}

func number[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// sums are the counts of a level's schemas together.
func (f *Fairness) sums(l *level) (executing, dispatched, rejected, late, ended int64) {
	for _, s := range f.now.Load().schemas {
		if s.level == l {
			c := s.counts
			executing, dispatched = executing+c.executing.Load(), dispatched+c.dispatched.Load()
			rejected += c.full.Load() + c.limited.Load()
			late, ended = late+c.late.Load(), ended+c.ended.Load()
		}
	}
	return executing, dispatched, rejected, late, ended
}

func (f *Fairness) dumpLevels(w io.Writer, _ *http.Request) {
	row(w, "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests", "DispatchedRequests", "RejectedRequests",
		"TimedoutRequests", "CancelledRequests")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.now.Load().levels {
		active := 0
		for _, line := range l.queues {
			if len(line.waiting) > 0 {
				active++
			}
		}
		waiting := l.waiting.Load()
		executing, dispatched, rejected, late, ended := f.sums(l)
		row(w, l.name, number(active), strconv.FormatBool(waiting == 0 && executing == 0), "false", number(waiting), number(executing), number(dispatched),
			number(rejected), number(late), number(ended))
	}
}

func (f *Fairness) dumpQueues(w io.Writer, _ *http.Request) {
	row(w, "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.now.Load().levels {
		for i := range l.limits.Load().queues {
			line := l.queues[i]
			if line == nil {
				line = &queue{}
			}
			// Who has been let in belongs to no queue any more.
			row(w, l.name, number(i), number(len(line.waiting)), "0", "0", fmt.Sprintf("%.8fss", line.served), number(line.width()), number(line.width()),
				fmt.Sprintf("%.8fss", float64(line.width())))
		}
	}
}

func (f *Fairness) dumpRequests(w io.Writer, r *http.Request) {
	whole := r.URL.Query().Get("includeRequestDetails") != ""
	head := []string{"PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats",
		"AdditionalLatency", "StartTime"}
	if whole {
		head = append(head, "UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")
	}
	row(w, head...)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.now.Load().levels {
		for _, i := range slices.Sorted(maps.Keys(l.queues)) {
			for n, x := range l.queues[i].waiting {
				line := []string{l.name, x.t.schema.name, number(i), number(n), x.flow, x.arrived.UTC().Format(time.RFC3339Nano), number(x.t.seats), "0", "0s",
					time.Time{}.UTC().Format(time.RFC3339Nano)}
				if whole {
					version := x.q.Version
					if x.q.Group != "" {
						version = x.q.Group + "/" + version
					}
					line = append(line, x.q.User.Name, x.q.Verb, x.q.Path, x.q.Namespace, x.q.Name, version, x.q.Plural, x.q.Subresource)
				}
				row(w, line...)
			}
		}
	}
}

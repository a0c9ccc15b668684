package control

import (
	"encoding/json"
	"net/http"
	"strings"

	"sampan.dev/internal/control/loop"
)

// Report is one controller as a person is told of it.
type Report struct {
	Name    string   `json:"name"`
	Account string   `json:"account"` // service account in kube-system
	Reads   []string `json:"reads"`   // resources it has informers of; "*" is all
	Writes  []string `json:"writes"`  // resources and subresources it writes, beside events
	Running bool     `json:"running"` // here and now: not when it is turned off, nor while another process leads
	loop.State
}

// Report describes every controller there is, in the order of the list.
func (m *Manager) Report() []Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Report
	for _, d := range m.list() {
		r := Report{Name: d.name, Account: d.account, Reads: strings.Fields(d.reads), Writes: strings.Fields(d.writes)}
		if runner, ok := m.mu.running[d.name]; ok {
			r.Running, r.State = true, loop.StateOf(runner)
		}
		out = append(out, r)
	}
	return out
}

// ServeHTTP answers with the report, as JSON.
func (m *Manager) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	data, err := json.Marshal(m.Report())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

// runs notes that a controller runs, until the function that it returns is called.
func (m *Manager) runs(name string, r loop.Runner) (ended func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.running == nil {
		m.mu.running = map[string]loop.Runner{}
	}
	m.mu.running[name] = r
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.mu.running, name)
	}
}

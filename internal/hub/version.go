package hub

import (
	"encoding/json"
	"net/http"
	"runtime"

	"k8s.io/apimachinery/pkg/version"
)

// Version is what /version says. Tools compare it with theirs.
type Version struct {
	Git       string // "v1.37.1+sampan1"
	Commit    string
	BuildDate string // RFC 3339
}

// Kubernetes is the version of the API that is implemented.
const Kubernetes = "v1.37.1+sampan1"

func (v Version) withDefaults() Version {
	if v.Git == "" {
		v.Git = Kubernetes
	}
	if v.BuildDate == "" {
		v.BuildDate = "1970-01-01T00:00:00Z"
	}
	return v
}

func (v Version) info() version.Info {
	return version.Info{
		Major: "1", Minor: "37", EmulationMajor: "1", EmulationMinor: "37", MinCompatibilityMajor: "1", MinCompatibilityMinor: "36",
		GitVersion: v.Git, GitCommit: v.Commit, GitTreeState: "clean", BuildDate: v.BuildDate,
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

func (h *Hub) version(w http.ResponseWriter, _ *http.Request) error {
	data, err := json.MarshalIndent(h.cfg.Version.info(), "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(data) //nolint:errcheck // the client has gone
	return nil
}

package zpage

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// warning is upstream's.
const warning = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.\n"

// page is what is common to the documents.
type page struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   metadata          `json:"metadata"`
	Flags      map[string]string `json:"flags,omitempty"`
	*status    `json:",inline"`
}

type metadata struct {
	Name string `json:"name"`
}

type status struct {
	Start     time.Time `json:"startTime"`
	Uptime    int64     `json:"uptimeSeconds"`
	Go        string    `json:"goVersion"`
	Binary    string    `json:"binaryVersion"`
	Emulation string    `json:"emulationVersion"`
	Paths     []string  `json:"paths"`
}

// Flags answers with the flags of a component and their values.
func Flags(component string, flags func() map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, version, ok := negotiate(r, "Flagz")
		if !ok {
			refuse(w)
			return
		}
		have := flags()
		if f == text {
			b := fmt.Appendf(nil, "\n%s flagz\n%s", component, warning)
			for _, name := range slices.Sorted(maps.Keys(have)) {
				b = fmt.Appendf(b, "%s %s\n", name, have[name])
			}
			send(w, f, "", "", append(b, '\n'))
			return
		}
		write(w, f, version, page{Kind: "Flagz", Metadata: metadata{component}, Flags: have})
	})
}

// Status answers with since when a component of that version has been running, and which paths it has.
func Status(component, version string, since time.Time, paths []string) http.Handler {
	slices.Sort(paths)
	number, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "+")
	emulates := strings.Join(strings.SplitN(number+"..", ".", 3)[:2], ".")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, v, ok := negotiate(r, "Statusz")
		if !ok {
			refuse(w)
			return
		}
		up := time.Since(since)
		if f == text {
			s := int(up.Seconds())
			send(w, f, "", "", fmt.Appendf(nil, "\n%s statusz\n%s\nStarted: %s\nUp: %d hr %02d min %02d sec\nGo version: %s\nBinary version: %s\nEmulation version: %s\nPaths: %s\n",
				component, warning, since.UTC().Format("Mon Jan 02 15:04:05 MST 2006"), s/3600, s/60%60, s%60, runtime.Version(), number, emulates, strings.Join(paths, " ")))
			return
		}
		write(w, f, v, page{Kind: "Statusz", Metadata: metadata{component}, status: &status{
			Start: since.UTC().Truncate(time.Second), Uptime: int64(up.Seconds()), Go: runtime.Version(), Binary: number, Emulation: emulates, Paths: paths,
		}})
	})
}

// Forms of a document, by their media types.
const (
	text = "text/plain"
	js   = "application/json"
	yml  = "application/yaml"
)

// negotiate finds the form that a client accepts first; version is that of config.k8s.io which it asks for.
func negotiate(r *http.Request, kind string) (form, version string, ok bool) {
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return text, "", true
	}
	for clause := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		typ, params, err := mime.ParseMediaType(clause)
		if err != nil {
			continue
		}
		switch typ {
		case text, "text/*", "*/*":
			return text, "", true
		case js, yml:
			if v := params["v"]; params["g"] == "config.k8s.io" && params["as"] == kind && (v == "v1alpha1" || v == "v1beta1") {
				return typ, v, true
			}
		}
	}
	return "", "", false
}

func write(w http.ResponseWriter, form, version string, p page) {
	p.APIVersion = "config.k8s.io/" + version
	data, err := json.MarshalIndent(p, "", "  ")
	if form == yml && err == nil {
		data, err = yaml.JSONToYAML(data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, form, version, p.Kind, data)
}

func send(w http.ResponseWriter, form, version, kind string, data []byte) {
	if form == text {
		form += "; charset=utf-8"
	} else {
		form += ";g=config.k8s.io;v=" + version + ";as=" + kind
	}
	w.Header().Set("Content-Type", form)
	w.Write(data) //nolint:errcheck // the client has gone
}

func refuse(w http.ResponseWriter) {
	data, _ := json.MarshalIndent(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotAcceptable, Code: http.StatusNotAcceptable,
		Message: "only the following media types are accepted: application/json, application/yaml, text/plain",
	}, "", "  ") // texts and numbers: cannot fail
	w.Header().Set("Content-Type", js)
	w.WriteHeader(http.StatusNotAcceptable)
	w.Write(data) //nolint:errcheck // the client has gone
}

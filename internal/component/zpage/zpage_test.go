package zpage

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func get(h http.Handler, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/flagz", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFlags(t *testing.T) {
	h := Flags("apiserver", func() map[string]string { return map[string]string{"v": "0", "bind-address": "0.0.0.0"} })
	for _, accept := range []string{"", "*/*", "text/plain", "application/json, text/plain"} {
		if w := get(h, accept); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "\napiserver flagz\nWarning: ") || !strings.Contains(w.Body.String(), "\nbind-address 0.0.0.0\nv 0\n") {
			t.Errorf("%q: %d %s", accept, w.Code, w.Body)
		}
	}
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		w := get(h, "application/json;v="+version+";g=config.k8s.io;as=Flagz")
		var p map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p["kind"] != "Flagz" || p["apiVersion"] != "config.k8s.io/"+version || p["flags"].(map[string]any)["v"] != "0" || len(p) != 4 {
			t.Errorf("%v %s", err, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json;g=config.k8s.io;v="+version+";as=Flagz" {
			t.Error(got)
		}
	}
	if w := get(h, "application/yaml;v=v1beta1;g=config.k8s.io;as=Flagz"); !strings.Contains(w.Body.String(), "\nflags:\n  bind-address: 0.0.0.0\n  v: \"0\"\n") {
		t.Errorf("%s", w.Body)
	}
	for _, accept := range []string{"application/json", "application/cbor;v=v1beta1;g=config.k8s.io;as=Flagz", "application/json;v=v1;g=config.k8s.io;as=Flagz", "application/json;v=v1beta1;g=config.k8s.io;as=Statusz"} {
		if w := get(h, accept); w.Code != 406 || !strings.Contains(w.Body.String(), "only the following media types are accepted: application/json, application/yaml, text/plain") {
			t.Errorf("%q: %d %s", accept, w.Code, w.Body)
		}
	}
}

func TestStatus(t *testing.T) {
	since := time.Now().Add(-3*time.Hour - 4*time.Minute)
	h := Status("kubelet", "v1.37.1+sampan1", since, []string{"/version", "/flagz"})
	body := get(h, "").Body.String()
	for _, want := range []string{"\nkubelet statusz\n", "\nUp: 3 hr 04 min ", "\nBinary version: 1.37.1\nEmulation version: 1.37\nPaths: /flagz /version\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	var p struct {
		Kind             string
		UptimeSeconds    int64
		EmulationVersion string
		Paths            []string
	}
	if err := json.Unmarshal(get(h, "application/json;v=v1beta1;g=config.k8s.io;as=Statusz").Body.Bytes(), &p); err != nil || p.Kind != "Statusz" || p.UptimeSeconds < 11040 || p.EmulationVersion != "1.37" || len(p.Paths) != 2 {
		t.Errorf("%+v %v", p, err)
	}
}

package load

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed widget.yaml
var widgetYAML string

// widgetsPerGroup is how many kinds a group has: operators that define many kinds put them into several groups.
const widgetsPerGroup = 20

// widget is one of the kinds that the bench defines.
type widget struct{ group, plural, kind string }

func widgetKind(i int) widget {
	return widget{fmt.Sprintf("g%03d.bench.example.com", i/widgetsPerGroup), fmt.Sprintf("widget%04ds", i), fmt.Sprintf("Widget%04d", i)}
}

func (w widget) path() string { return "/apis/" + w.group + "/v1/namespaces/default/" + w.plural }

// widgetJSON is made once: to read YAML for each definition would be work of the client while the server is timed.
var widgetJSON = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON([]byte(widgetYAML)) })

// definition is the custom resource definition of w, as JSON.
func (w widget) definition() ([]byte, error) {
	text, err := widgetJSON()
	if err != nil {
		return nil, err
	}
	return []byte(strings.NewReplacer("GROUP", w.group, "PLURAL", w.plural, "SINGULAR", strings.ToLower(w.kind), "KIND", w.kind, "LIST", w.kind+"List").Replace(string(text))), nil
}

// object is a custom resource of this kind, some 2 KB as stored.
func (w widget) object(name string) ([]byte, error) {
	var env []any
	for i := range 6 {
		env = append(env, map[string]any{"name": fmt.Sprintf("APPLICATION_SETTING_%02d", i), "value": fmt.Sprintf("value-of-setting-%02d-for-%s", i, name)})
	}
	return json.Marshal(map[string]any{
		"apiVersion": w.group + "/v1", "kind": w.kind,
		"metadata": map[string]any{"name": name,
			"labels":      map[string]any{"app.kubernetes.io/name": "frontend", "app.kubernetes.io/instance": name, "app.kubernetes.io/part-of": "shop"},
			"annotations": map[string]any{"checksum/config": strings.Repeat("0123456789abcdef", 4)}},
		"spec": map[string]any{
			"image": "registry.example.com/shop/frontend:v1.24.3", "replicas": 3, "serviceAccountName": "frontend",
			"args": []any{"--listen=:8080", "--config=/etc/app/config.yaml", "--log-level=info"}, "env": env,
			"ports": []any{map[string]any{"name": "http", "port": 8080}, map[string]any{"name": "metrics", "port": 9090}},
			"resources": map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "128Mi"},
				"limits": map[string]any{"cpu": "500m", "memory": "256Mi"}},
			"nodeSelector": map[string]any{"kubernetes.io/os": "linux"},
			"storage":      map[string]any{"size": "10Gi", "className": "fast", "accessModes": []any{"ReadWriteOnce"}},
			"backup":       map[string]any{"schedule": "0 3 * * *", "bucket": "https://backups.example.com/" + name},
			"tls":          map[string]any{"issuer": "internal", "secretName": name + "-tls", "hosts": []any{name + ".example.com"}},
		},
	})
}

// post creates what body says, in JSON.
func (r *run) post(hc *http.Client, u string, body []byte) error {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, u, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("POST %s: %s: %.500s", u, resp.Status, answer)
	}
	return err
}

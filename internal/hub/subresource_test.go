package hub

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestSubresourceBodies sends to subresources, and to the kinds that are never stored, what a client may get wrong, and compares code
// and message with what a kube-apiserver v1.37.1 answered to the same requests in the same order (testdata/subresources.jsonl).
// UIDs and resource versions are not compared.
func TestSubresourceBodies(t *testing.T) {
	h := start(t, func(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} })
	if a := do(h, "POST", "/api/v1/namespaces", `{"metadata":{"name":"probe"}}`); a.code != 201 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	text, err := os.ReadFile("testdata/subresources.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	uid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	revision := regexp.MustCompile(`(in object meta: |in record \()\d+`)
	rows := 0
	for line := range bytes.Lines(text) {
		var row struct {
			Name, Method, Path, Type, Message string
			Body                              json.RawMessage
			Code                              int
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		var headers []string
		if row.Type != "" {
			headers = []string{"Content-Type: " + row.Type}
		}
		a := do(h, row.Method, row.Path, string(row.Body), headers...)
		message := ""
		if a.code >= 300 {
			message = revision.ReplaceAllString(uid.ReplaceAllString(a.status(t).Message, "UID"), "${1}N")
		}
		if a.code != row.Code || message != row.Message {
			t.Errorf("%s\n%d %s\nwant\n%d %s", row.Name, a.code, message, row.Code, row.Message)
		}
		rows++
	}
	if rows < 250 {
		t.Errorf("%d rows", rows)
	}
}

// Who scales is warned of what the object itself would be warned of.
func TestScaleWarns(t *testing.T) {
	h := start(t, bare)
	const sets = "/apis/apps/v1/namespaces/default/statefulsets"
	expect(t, h, "201 POST "+sets, `{"metadata":{"name":"s"},"spec":{"serviceName":"s","revisionHistoryLimit":-1,"selector":{"matchLabels":{"a":"b"}},
		"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	a := expect(t, h, "200 PATCH "+sets+"/s/scale", `{"spec":{"replicas":2}}`, "Content-Type: application/merge-patch+json")
	if w := a.header.Get("Warning"); !strings.Contains(w, "spec.revisionHistoryLimit: a negative value retains all historical revisions") {
		t.Errorf("warned %q", w)
	}
}

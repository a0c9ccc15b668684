package wire

import (
	"net/http/httptest"
	"testing"
)

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		accept string
		format Format
		as     string
		bad    bool
	}{
		{"", JSON, "", false},
		{"*/*", JSON, "", false},
		{"application/*", JSON, "", false},
		{"application/yaml", YAML, "", false},
		{"application/vnd.kubernetes.protobuf", Proto, "", false},
		{"application/vnd.kubernetes.protobuf,application/json", Proto, "", false},
		{"application/json;q=0.2,application/yaml;q=0.9", YAML, "", false},
		{"*/*,application/yaml", YAML, "", false},
		{"application/vnd.kubernetes.protobuf;stream=watch", Proto, "", false},
		{"application/json;stream=other", JSON, "", true},
		{"text/html", JSON, "", true},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON, "", false},
		{"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", JSON, "Table", false},
		{"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", JSON, "", false},
		{"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Proto, "PartialObjectMetadata", false},
		{"application/json;as=Table;v=v9;g=meta.k8s.io", JSON, "", true},
		{"application/json;as=Nonsense;v=v1;g=meta.k8s.io,application/yaml", YAML, "", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if c.accept != "" {
			r.Header.Set("Accept", c.accept)
		}
		o, err := Negotiate(r, ObjectConversions)
		if (err != nil) != c.bad || err == nil && (o.Format != c.format || o.Convert.Kind != c.as) {
			t.Errorf("%q: %+v %v", c.accept, o, err)
		}
	}
}

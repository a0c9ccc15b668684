package openapi

import (
	"encoding/json"
	"testing"
)

// What is below the prefix comes with its definitions. A definition that both have stays one when it is the same, and becomes two when
// it is not.
func TestMerge(t *testing.T) {
	read := func(text string) map[string]any {
		var out map[string]any
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	const ownText = `{"swagger":"2.0","paths":{"/apis/a/v1/x":{"get":{"$ref":"#/definitions/Meta"}}},"definitions":{"Meta":{"type":"object"},"Time":{"type":"string"}}}`
	own := read(ownText)
	other := read(`{"paths":{"/apis/b/v1/":{"get":1},"/apis/b/v1/y":{"get":{"s":[{"$ref":"#/definitions/Y"}]}},"/apis/b/v10/z":{"get":{"$ref":"#/definitions/Z"}},"/version/":{}},
		"definitions":{"Y":{"p":{"meta":{"$ref":"#/definitions/Meta"},"time":{"$ref":"#/definitions/Time"},"self":{"$ref":"#/definitions/Y"}}},"Meta":{"type":"object","description":"other","t":{"$ref":"#/definitions/Time"}},"Time":{"type":"string"},"Z":{}}}`)
	got, err := json.Marshal(Merge(own, other, "/apis/b/v1"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"definitions":{"Meta":{"type":"object"},"Meta_v2":{"description":"other","t":{"$ref":"#/definitions/Time"},"type":"object"},"Time":{"type":"string"},` +
		`"Y":{"p":{"meta":{"$ref":"#/definitions/Meta_v2"},"self":{"$ref":"#/definitions/Y"},"time":{"$ref":"#/definitions/Time"}}}},` +
		`"paths":{"/apis/a/v1/x":{"get":{"$ref":"#/definitions/Meta"}},"/apis/b/v1/":{"get":1},"/apis/b/v1/y":{"get":{"s":[{"$ref":"#/definitions/Y"}]}}},"swagger":"2.0"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if again, _ := json.Marshal(own); string(again) != mustEncode(t, read(ownText)) {
		t.Error("own was changed")
	}
}

func mustEncode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

package cache

import (
	"encoding/json"
	"testing"
)

// A resourceVersion is put where encoding a map has it, comes out again without a trace, and is not put where there is one.
func TestInsert(t *testing.T) {
	for _, c := range []struct{ stored, want string }{
		{`{"apiVersion":"g/v1","metadata":{"name":"a","uid":"u"},"spec":{}}`, `{"apiVersion":"g/v1","metadata":{"name":"a","resourceVersion":"7","uid":"u"},"spec":{}}`},
		{`{"metadata":{"annotations":{"a":"\"}"},"name":"a"}}`, `{"metadata":{"annotations":{"a":"\"}"},"name":"a","resourceVersion":"7"}}`},
		{`{"spec":{"metadata":{"name":"no"}},"metadata":{"uid":"u"}}`, `{"spec":{"metadata":{"name":"no"}},"metadata":{"resourceVersion":"7","uid":"u"}}`},
		{`{"a":[1,{"b":"]"}],"b":-1.5e3,"c":null,"d":true,"metadata":{}}`, `{"a":[1,{"b":"]"}],"b":-1.5e3,"c":null,"d":true,"metadata":{"resourceVersion":"7"}}`},
		{` { "kind" : "K" , "metadata" : { "name" : "a" , "zz" : 1 } } `, ` { "kind" : "K" , "metadata" : { "name" : "a" , "resourceVersion":"7","zz" : 1 } } `},
		{`{"metadata":{"resourceVersion":"1"}}`, ""},
		{`{"metadata":[]}`, ""}, {`{"metadata":{`, ""}, {`{"metadata"`, ""}, {`{}`, ""}, {``, ""}, {`[]`, ""}, {`{"a`, ""}, {`{"a":}`, ""},
	} {
		got, at, ok := insert([]byte(c.stored), "7")
		if ok != (c.want != "") || string(got) != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.stored, got, c.want)
			continue
		}
		if ok && (!json.Valid(got) || string(at.without(got)) != c.stored) {
			t.Errorf("%s came back as %s", c.stored, at.without(got))
		}
	}
}

func FuzzInsert(f *testing.F) {
	for _, s := range []string{`{"apiVersion":"g/v1","metadata":{"name":"a","uid":"u"},"spec":{}}`, `{"metadata":{}}`, `{"a":"\\","metadata":{"z":[{}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		got, at, ok := insert(stored, "7")
		if !ok {
			return
		}
		if string(at.without(got)) != string(stored) {
			t.Errorf("%q came back as %q", stored, at.without(got))
		}
		if json.Valid(stored) && !json.Valid(got) {
			t.Errorf("%q became %q", stored, got)
		}
		apiVersionIn(stored)
		metadataIn(stored)
	})
}

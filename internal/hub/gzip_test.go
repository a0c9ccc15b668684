package hub

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"
)

// A compressed list is put together from parts; it must say what the plain one says, at first as well as when the parts are
// kept already, for the whole as for a selection, and after objects have changed.
func TestCompressedLists(t *testing.T) {
	h := start(t, nil)
	for i := range 300 {
		body := fmt.Sprintf(`{"metadata":{"name":"c%03d","labels":{"third":"%d"}},"data":{"k":%q}}`, i, i%3, strings.Repeat(fmt.Sprint(i), 500))
		if a := do(h, "POST", "/api/v1/namespaces/default/configmaps", body); a.code != 201 {
			t.Fatal(a.code, string(a.body))
		}
	}
	for _, accept := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		for _, query := range []string{"", "?labelSelector=third=1", "?limit=200", ""} {
			path := "/api/v1/namespaces/default/configmaps" + query
			for _, change := range []string{"", "", `{"data":{"changed":"x"}}`} {
				if change != "" {
					if a := do(h, "PATCH", "/api/v1/namespaces/default/configmaps/c001", change, "Content-Type: application/merge-patch+json"); a.code != 200 {
						t.Fatal(a.code, string(a.body))
					}
				}
				plain := do(h, "GET", path, "", "Accept: "+accept)
				packed := do(h, "GET", path, "", "Accept: "+accept, "Accept-Encoding: gzip")
				if plain.code != 200 || packed.code != 200 || packed.header.Get("Content-Encoding") != "gzip" || plain.header.Get("Content-Encoding") != "" {
					t.Fatalf("%s: %d %v, %d %v", path, plain.code, plain.header, packed.code, packed.header)
				}
				z, err := gzip.NewReader(bytes.NewReader(packed.body))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(z)
				if err != nil || !bytes.Equal(got, plain.body) {
					t.Errorf("%s %s: %d bytes, want %d, %v", accept, path, len(got), len(plain.body), err)
				}
				if len(packed.body) > len(plain.body)/3 {
					t.Errorf("%s %s: %d bytes of %d", accept, path, len(packed.body), len(plain.body))
				}
			}
		}
	}
}

package openapi

import (
	"testing"

	"sampan.dev/internal/api/all"
)

// TestEveryKind: whatever is served has a definition. One that lacks is of a group that the generator does not know yet (see
// docs/checklists/new-kind.md).
func TestEveryKind(t *testing.T) {
	var d definitions[node]
	if err := unpack(compressed, &d); err != nil {
		t.Fatal(err)
	}
	known := func(name string) bool {
		_, ok, err := Type(name)
		return ok && err == nil
	}
	docs, err := documents(outlinesOf(all.Kinds(), ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		for _, it := range doc.items {
			for _, o := range it.ops {
				for _, name := range []string{o.body, o.answer} {
					if name != "" && (d.V3[name] == nil || !known(name)) {
						t.Errorf("%s: no definition %s", o.id, name)
					}
				}
			}
		}
	}
}

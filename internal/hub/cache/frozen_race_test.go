//go:build race

package cache

import "testing"

func TestChangedObjectIsNoticed(t *testing.T) {
	e := entryOf(t, encode(t, pod("a", "n1")))
	o, err := e.Object()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Object(); err != nil {
		t.Fatal(err)
	}
	o.SetName("b")
	defer func() {
		if recover() == nil {
			t.Error("nobody noticed")
		}
	}()
	e.Object()
}

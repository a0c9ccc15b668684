package tty

import (
	"bytes"
	"os"
	"testing"
)

// What is no terminal gets plain text; a palette that is on colours words and nothing else.
func TestPalette(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range []Palette{{}, For(&bytes.Buffer{}), For(file)} {
		if p.On() || p.Paint(Bad, "x") != "x" || p.Again() != "" {
			t.Errorf("a plain place gets %q", p.Paint(Bad, "x"))
		}
	}
	on := Palette{true}
	if got := on.Paint(Good, "x"); got != "\x1b[32mx\x1b[0m" || on.Paint(Good, "") != "" {
		t.Errorf("a terminal gets %q", got)
	}
	if Width(&bytes.Buffer{}) != 80 {
		t.Error("what has no width has another than 80")
	}
}

package tty

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// On a terminal there is a last line with the time, which lines come above and which is gone in the end; elsewhere there are the lines.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newLive(&out, Palette{true}, "starting")
		time.Sleep(tick * 2)
		synctest.Wait()
		l.Print("first")
		time.Sleep(tick)
		synctest.Wait()
		l.End()
		l.End()
		l.Print("last")
		last := func(s string) string { return eraseLine + "\x1b[2m  starting … " + s + " s\x1b[0m" }
		want := last("0.1") + last("0.2") + eraseLine + "first\n" + last("0.3") + eraseLine + "last\n"
		if out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
	var out bytes.Buffer
	l := NewLive(&out, "starting")
	l.Print("first")
	l.End()
	if out.String() != "first\n" {
		t.Errorf("no terminal: %q", out.String())
	}
}

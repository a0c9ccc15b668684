package cgroup

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPressure(t *testing.T) {
	dir := t.TempDir()
	text := "some avg10=1.50 avg60=2.25 avg300=90.12 total=34269462051\nfull avg10=0.00 avg60=0.01 avg300=0.00 total=7\n"
	if err := os.WriteFile(filepath.Join(dir, "cpu.pressure"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "io.pressure"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := Pressure{Some: Wait{1.5, 2.25, 90.12, 34269462051 * time.Microsecond}, Full: Wait{0, 0.01, 0, 7 * time.Microsecond}}
	if got := pressure(dir, "cpu"); got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, none := range []string{"memory", "io"} {
		if got := pressure(dir, none); got != nil {
			t.Errorf("%s: %+v", none, got)
		}
	}
}

package admit

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// stub is a plugin that does both, and refuses what it is told to.
type stub struct {
	name  string
	admit error
	valid error
}

func (p stub) Name() string                                { return p.name }
func (p stub) Admit(context.Context, *Attributes) error    { return p.admit }
func (p stub) Validate(context.Context, *Attributes) error { return p.valid }

func TestTimes(t *testing.T) {
	c := newChain([]Plugin{stub{name: "first"}, stub{name: "second", valid: errors.New("no")}, absent("third")})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c.Times())
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 0 {
		t.Errorf("before any write: %d series, %v", n, err)
	}
	for range 3 {
		a := &Attributes{Operation: Create}
		if err := c.Admit(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(t.Context(), a); err == nil {
			t.Fatal("it was not refused")
		}
	}
	// Each of the two, and the whole: two steps, of which the second plugin refused in one.
	if n, err := testutil.GatherAndCount(reg, "apiserver_admission_controller_admission_duration_seconds"); err != nil || n != 4 {
		t.Errorf("%d series of plugins, %v", n, err)
	}
	if n, err := testutil.GatherAndCount(reg, "apiserver_admission_step_admission_duration_seconds"); err != nil || n != 2 {
		t.Errorf("%d series of steps, %v", n, err)
	}
	if n := c.times.row(validating, Create).plugins[1][1].buckets[0].Load(); n != 3 {
		t.Errorf("the second refused %d times", n)
	}
	again := newChain([]Plugin{stub{name: "one", valid: ErrUnsure}})
	_ = again.Validate(t.Context(), &Attributes{Operation: Update})
	if n := again.times.row(validating, Update).whole[1].buckets[0].Load(); n != 0 {
		t.Error("to begin anew counts as a refusal")
	}
}

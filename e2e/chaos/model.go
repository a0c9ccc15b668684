package main

import (
	"fmt"
	"net/http"

	"github.com/anishathalye/porcupine"
)

type kind int

const (
	create kind = iota
	update      // of the version that was seen last
	patch       // whatever the version
	del
	get
	kinds
)

func (k kind) String() string { return [...]string{"create", "update", "patch", "delete", "get"}[k] }

type input struct {
	key    int
	kind   kind
	value  int
	expect int64
}

func (in input) String() string {
	return fmt.Sprintf("%v key-%d value %d expecting %d", in.kind, in.key, in.value, in.expect)
}

type output struct {
	unknown bool
	code    int
	version int64
	value   int
}

// state is one key's. A version of 0 is one that nobody has been told.
type state struct {
	exists  bool
	version int64
	value   int
}

// model says what a key may do: create and delete as their names say, an update only of the version that it names.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			by := map[int][]porcupine.Operation{}
			for _, op := range history {
				k := op.Input.(input).key
				by[k] = append(by[k], op)
			}
			var out [][]porcupine.Operation
			for _, ops := range by {
				out = append(out, ops)
			}
			return out
		},
		Init: func() []any { return []any{state{}} },
		Step: func(st, in, out any) []any { return step(st.(state), in.(input), out.(output)) },
		DescribeOperation: func(in, out any) string {
			return fmt.Sprintf("%v → %+v", in, out)
		},
		DescribeState: func(st any) string { return fmt.Sprintf("%+v", st) },
	}
	return m.ToModel()
}

// step returns the states that a key can be in after an operation; none when the answer does not fit.
func step(st state, in input, out output) []any {
	if out.unknown {
		states := []any{st} // nothing happened
		switch {
		case in.kind == del && st.exists:
			states = append(states, state{})
		case in.kind == create && !st.exists, in.kind == patch && st.exists,
			in.kind == update && st.exists && (st.version == 0 || st.version == in.expect):
			states = append(states, state{exists: true, value: in.value})
		}
		return states
	}
	wrote := state{exists: true, version: out.version, value: in.value}
	newer := out.version > st.version && out.value == in.value
	fits := false
	next := st
	switch {
	case out.code == http.StatusNotFound:
		fits = !st.exists && in.kind != create
	case in.kind == create && out.code == http.StatusCreated:
		fits, next = !st.exists && newer, wrote
	case in.kind == create:
		fits = st.exists && out.code == http.StatusConflict
	case in.kind == update && out.code == http.StatusOK:
		fits, next = st.exists && newer && (st.version == 0 || st.version == in.expect), wrote
	case in.kind == update:
		fits = st.exists && out.code == http.StatusConflict && st.version != in.expect
	case in.kind == patch:
		fits, next = st.exists && newer && out.code == http.StatusOK, wrote
	case in.kind == del:
		fits, next = st.exists && out.code == http.StatusOK, state{}
	default:
		fits = st.exists && out.code == http.StatusOK && out.value == st.value && (st.version == 0 || st.version == out.version)
		next.version = out.version
	}
	if !fits {
		return nil
	}
	return []any{next}
}

package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every case measures once, and names only kinds and parameters that there are.
func TestCasesHoldTogether(t *testing.T) {
	steps := []string{"nodes", "spaces", "pods", "measure", "churn", "attempted", "delete", "service"}
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.Name] || len(c.Sizes) == 0 {
			t.Errorf("%s: twice, or without a size", c.Name)
		}
		seen[c.Name] = true
		measures := 0
		for _, st := range c.Steps {
			if !slices.Contains(steps, st.Do) {
				t.Errorf("%s: no step %q", c.Name, st.Do)
			}
			if st.Do == "measure" {
				measures++
			}
			for _, kind := range strings.Split(st.Kind, ",") {
				if _, pod := podKinds[kind]; (st.Do == "pods" || st.Do == "measure") && !pod || st.Do == "churn" && !pod && kind != "node" && kind != "service" {
					t.Errorf("%s: no pods of kind %q", c.Name, kind)
				}
			}
			for _, n := range []string{st.N, st.Sets, st.Feature, st.Attach} {
				if _, err := strconv.Atoi(n); err == nil || n == "" || n == "init" {
					continue
				}
				for _, s := range c.Sizes {
					if s.Params[n] == 0 {
						t.Errorf("%s, %s: no parameter %q", c.Name, s.Name, n)
					}
				}
			}
		}
		if measures != 1 {
			t.Errorf("%s measures %d times", c.Name, measures)
		}
	}
}

// Numbers that are parameters are scaled, and never to none; those that are written out are not.
func TestScale(t *testing.T) {
	r := &run{scale: 0.1, size: Size{Params: map[string]int{"nodes": 5000, "init": 4, "spaces": 100}}}
	for in, want := range map[string]int{"nodes": 500, "init": 1, "spaces": 100, "7": 7, "": 0, "measure": 0} {
		if got := r.number(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

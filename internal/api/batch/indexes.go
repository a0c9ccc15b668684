package batch

import (
	"fmt"
	"strconv"
	"strings"
)

// Indexes of an indexed job's pods are written as numbers and intervals in rising order: "1,3-5,7".

// countIndexes returns how many indexes a list names, all of them below completions, or what is wrong with it.
func countIndexes(list string, completions int32) (int32, error) {
	if list == "" {
		return 0, nil
	}
	var total int32
	last, first := int32(0), true
	for part := range strings.SplitSeq(list, ",") {
		from, to, err := interval(part, completions)
		if err != nil {
			return 0, err
		}
		if !first && last >= from {
			return 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", last, from)
		}
		total += to - from + 1
		last, first = to, false
	}
	return total, nil
}

func interval(part string, completions int32) (from, to int32, err error) {
	ends := strings.Split(part, "-")
	if len(ends) > 2 {
		return 0, 0, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", part)
	}
	if from, err = index(ends[0], completions); err != nil || len(ends) == 1 {
		return from, from, err
	}
	if to, err = index(ends[1], completions); err != nil {
		return 0, 0, err
	}
	if from >= to {
		return 0, 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", from, to)
	}
	return from, to, nil
}

func index(s string, completions int32) (int32, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", s)
	case n >= int(completions):
		return 0, fmt.Errorf("too large index: %q", s)
	}
	return int32(n), nil
}

// overlap returns the first index that two lists share. Parts that cannot be read are passed over: they are complained of elsewhere.
func overlap(a, b string, completions int32) (int32, bool) {
	left, right := intervals(a, completions), intervals(b, completions)
	for len(left) > 0 && len(right) > 0 {
		l, r := left[0], right[0]
		switch {
		case l[0] <= r[1] && r[0] <= l[1]:
			return max(l[0], r[0]), true
		case l[0] <= r[0]:
			left = left[1:]
		default:
			right = right[1:]
		}
	}
	return 0, false
}

func intervals(list string, completions int32) [][2]int32 {
	if list == "" {
		return nil
	}
	var out [][2]int32
	for part := range strings.SplitSeq(list, ",") {
		if from, to, err := interval(part, completions); err == nil {
			out = append(out, [2]int32{from, to})
		}
	}
	return out
}

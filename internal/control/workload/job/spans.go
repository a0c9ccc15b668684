package job

import (
	"strconv"
	"strings"
)

// span is a run of indexes, both ends included.
type span struct{ first, last int }

// spans are indexes in rising order, no two of which touch. A status writes them as "1,3-5,7".
type spans []span

// parseSpans reads what a status or a success policy says, of indexes below completions. Parts that are no numbers are passed
// over, as upstream passes over them.
func parseSpans(list string, completions int) spans {
	if list == "" {
		return nil
	}
	var out spans
	for part := range strings.SplitSeq(list, ",") {
		from, to, more := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		if first >= completions {
			break
		}
		last := first
		if more {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
			last = min(last, completions-1)
		}
		if n := len(out); n > 0 && out[n-1].last == first-1 {
			out[n-1].last = last
		} else {
			out = append(out, span{first, last})
		}
	}
	return out
}

// with returns s and more indexes, which are in rising order.
func (s spans) with(indexes []int) spans {
	more := make(spans, len(indexes))
	for i, n := range indexes {
		more[i] = span{n, n}
	}
	return s.merge(more)
}

// merge returns all indexes of s and o, in a slice of its own.
func (s spans) merge(o spans) spans {
	var out spans
	take := func(x span) {
		switch n := len(out); {
		case n == 0 || x.first > out[n-1].last+1:
			out = append(out, x)
		case out[n-1].last < x.last:
			out[n-1].last = x.last
		}
	}
	for len(s) > 0 && len(o) > 0 {
		if s[0].first < o[0].first {
			take(s[0])
			s = s[1:]
		} else {
			take(o[0])
			o = o[1:]
		}
	}
	for _, x := range s {
		take(x)
	}
	for _, x := range o {
		take(x)
	}
	return out
}

// total counts the indexes.
func (s spans) total() int {
	n := 0
	for _, x := range s {
		n += x.last - x.first + 1
	}
	return n
}

// has reports whether an index is among them.
func (s spans) has(index int) bool {
	low, high := 0, len(s)
	for low < high {
		if mid := (low + high) / 2; s[mid].last < index {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(s) && s[low].first <= index
}

// shared counts the indexes that are in both.
func (s spans) shared(o spans) int {
	n := 0
	for len(s) > 0 && len(o) > 0 {
		n += max(0, min(s[0].last, o[0].last)-max(s[0].first, o[0].first)+1)
		if s[0].last <= o[0].last {
			s = s[1:]
		} else {
			o = o[1:]
		}
	}
	return n
}

// missing returns the first count indexes below completions that are not among them.
func (s spans) missing(count, completions int) []int {
	var out []int
	next := 0
	upTo := func(end int) {
		for ; next < end && next < completions && len(out) < count; next++ {
			out = append(out, next)
		}
	}
	for _, x := range s {
		upTo(x.first)
		next = max(next, x.last+1)
	}
	upTo(completions)
	return out
}

// String writes them as a status has them: two neighbours are listed, three or more are an interval.
func (s spans) String() string {
	var b strings.Builder
	for _, x := range s {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(x.first))
		switch {
		case x.last == x.first:
			continue
		case x.last == x.first+1:
			b.WriteByte(',')
		default:
			b.WriteByte('-')
		}
		b.WriteString(strconv.Itoa(x.last))
	}
	return b.String()
}

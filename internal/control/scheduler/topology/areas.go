package topology

import "sampan.dev/internal/control/scheduler/plugin"

// areas numbers the areas of a view.
type areas[T any] struct {
	numbers map[string]plugin.Area
	list    []T
	room    []int32 // for the domains of one area
	key     []byte  // for the key of one area
	resets  uint64
}

// mostAreas is how many areas are numbered before the numbers are given anew.
const mostAreas = 1 << 16

func newAreas[T any]() areas[T] { return areas[T]{numbers: map[string]plugin.Area{}} }

// number returns the number of an area that key tells from others. When it is not known, the caller appends the area to list.
func (s *areas[T]) number(key []byte) (n plugin.Area, known bool) {
	s.key = key
	if n, known = s.numbers[string(key)]; !known {
		n = plugin.Area(len(s.list))
		s.numbers[string(key)] = n
	}
	return n, known
}

// limit lets the numbers be given anew when there are too many. It must not be called while somebody holds a number.
func (s *areas[T]) limit() {
	if len(s.list) > mostAreas {
		s.numbers, s.list = map[string]plugin.Area{}, nil
		s.resets++
	}
}

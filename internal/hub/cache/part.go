package cache

import "sampan.dev/internal/api"

// partOf returns the function that reads the kind's partition field from an entry, or nil for kinds that have none. Where the
// entry has a protobuf message, the field is read from that without decoding the object; TestPartOfMessage holds both ways
// against each other.
func partOf(kind *api.Kind) func(*Entry) string {
	p := kind.Partition
	if p == nil {
		return nil
	}
	return func(e *Entry) string {
		if e == nil {
			return ""
		}
		if e.env != nil {
			value := e.msg
			for _, number := range p.Path {
				value = first(value, number)
			}
			return string(value)
		}
		o, err := e.Object()
		if err != nil {
			return "" // whoever reads the object gets the error
		}
		return p.Of(o)
	}
}

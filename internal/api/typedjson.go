package api

// TypedJSON is the codec of kinds whose objects are structs of the scheme and are stored as JSON, as those of upstream's extension
// and aggregation servers are. In all else it is Typed.
type TypedJSON struct{ Typed }

var _ Codec = TypedJSON{}

// Encode implements Codec.
func (TypedJSON) Encode(obj Object) ([]byte, error) { return EncodeJSON(obj) }

// JSON implements Codec.
func (TypedJSON) JSON() bool { return true }

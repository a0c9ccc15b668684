package openapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
)

//go:embed definitions.json.gz
var compressed []byte

// definitions is the embedded document: every definition in its v3 form and, for a few, another v2 form.
type definitions[S any] struct {
	V3 map[string]S `json:"v3"`
	V2 map[string]S `json:"v2"`
}

// library finds definitions of Go types by name. It remembers those that were found, and unpacks the embedded document only for
// one that was not: the document of a custom resource has few, and always the same.
type library struct {
	remembered map[string]node
	opened     *definitions[json.RawMessage]
	err        error // the first that there was
}

// remembers is how many definitions are remembered from one document to the next. A document that needs more needs most of them.
const remembers = 64

// v3 returns a definition in its v3 form, which is not to be changed; nil when there is none.
func (l *library) v3(name string) node {
	if n := l.remembered[name]; n != nil {
		return n
	}
	n := l.read(name, func() map[string]json.RawMessage { return l.opened.V3 })
	if n != nil {
		l.remembered[name] = n
	}
	return n
}

// v2 returns a definition in its v2 form; nil when there is none or when it follows from that of v3.
func (l *library) v2(name string) node {
	return l.read(name, func() map[string]json.RawMessage { return l.opened.V2 })
}

func (l *library) read(name string, from func() map[string]json.RawMessage) node {
	if l.opened == nil {
		l.opened = &definitions[json.RawMessage]{}
		l.err = cmp.Or(l.err, unpack(compressed, l.opened))
	}
	raw, ok := from()[name]
	if !ok {
		return nil
	}
	var n node
	if err := json.Unmarshal(raw, &n); err != nil {
		l.err = cmp.Or(l.err, fmt.Errorf("read openapi definition %s: %w", name, err))
	}
	return n
}

// close forgets what was unpacked, and what was remembered when that is much.
func (l *library) close() {
	l.opened = nil
	if len(l.remembered) > remembers {
		l.remembered = map[string]node{}
	}
}

func unpack(compressed []byte, into any) error {
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return fmt.Errorf("unpack openapi definitions: %w", err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return fmt.Errorf("unpack openapi definitions: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read openapi definitions: %w", err)
	}
	return nil
}

package openapi

import (
	"bytes"
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

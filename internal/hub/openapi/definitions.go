package openapi

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

//go:embed definitions.json.gz
var compressed []byte

// definitions is the embedded document: every definition in its v3 form and, for a few, another v2 form.
type definitions[S any] struct {
	V3 map[string]S `json:"v3"`
	V2 map[string]S `json:"v2"`
}

func unpack(into any) error {
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

// Schemas decodes the v3 definitions by name ("io.k8s.api.core.v1.Pod"), anew on each call: keep what you make of them.
func Schemas() (map[string]*spec.Schema, error) {
	var d definitions[*spec.Schema]
	if err := unpack(&d); err != nil {
		return nil, err
	}
	return d.V3, nil
}

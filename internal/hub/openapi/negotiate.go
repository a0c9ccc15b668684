package openapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"
)

// protoSubtype is the name of the protobuf form without its "+protobuf".
func protoSubtype(version string) string {
	return "com.github.proto-openapi.spec." + version + ".v1.0"
}

// negotiate reads an Accept header. The protobuf form also goes by its old name, in which "@" stood for a dot and which is not a
// legal media type.
func negotiate(accept, version string) (asProto, ok bool) {
	if accept == "" {
		return false, true
	}
	type clause struct {
		proto bool
		q     float64
	}
	var good []clause
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(part, ";")
		q := 1.0
		if _, p, err := mime.ParseMediaType("a/b;" + params); err == nil && p["q"] != "" {
			if v, err := strconv.ParseFloat(p["q"], 64); err == nil {
				q = v
			}
		}
		switch strings.TrimSpace(name) {
		case "application/json", "*/*", "application/*":
			good = append(good, clause{false, q})
		case "application/" + protoSubtype(version) + "+protobuf", "application/com.github.proto-openapi.spec." + version + "@v1.0+protobuf":
			good = append(good, clause{true, q})
		}
	}
	if len(good) == 0 {
		return false, false
	}
	best := slices.MaxFunc(good, func(a, b clause) int {
		switch {
		case a.q < b.q:
			return -1
		case a.q > b.q:
			return 1
		}
		return 0
	})
	return best.proto, true
}

func unzip(z []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// facts are what is known of a server: values by key. Keys have the form "part thing …"; values are text or JSON with sorted keys.
type facts map[string]string

// read asks for everything.
func read(ctx context.Context, s *server) (facts, error) {
	f := facts{}
	for _, part := range []func(context.Context, *server, facts) error{discovery, columns, openAPI, metrics, health, bootstrap} {
		if err := part(ctx, s, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// put sets a fact to v as JSON.
func (f facts) put(key string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of values that were read from JSON
	}
	f[key] = string(data)
}

func (f facts) write(file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(out, gzip.BestCompression)
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if _, err := fmt.Fprintf(z, "%s\t%s\n", key, f[key]); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Close()
}

func parse(r io.Reader) (facts, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	f := facts{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			return nil, fmt.Errorf("no tab in %q", lines.Text())
		}
		f[key] = value
	}
	return f, lines.Err()
}

// difference is a fact that is not the same on both sides; an empty side does not have it.
type difference struct{ key, want, have string }

func (d difference) String() string {
	switch {
	case d.have == "":
		return d.key + ": missing"
	case d.want == "":
		return d.key + ": not upstream's"
	}
	return fmt.Sprintf("%s:\n  want %s\n  have %s", d.key, d.want, d.have)
}

// compare lists the differences by key.
func compare(want, have facts) []difference {
	keys := map[string]bool{}
	for k := range want {
		keys[k] = true
	}
	for k := range have {
		keys[k] = true
	}
	var out []difference
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if want[k] == have[k] || want[k] == "" && extra(k) {
			continue
		}
		out = append(out, difference{k, want[k], have[k]})
	}
	return out
}

// extra tells whether a server may have a fact that the golden file lacks: objects that were written since it started, by
// controllers too.
func extra(key string) bool { return strings.HasPrefix(key, "object ") }

// dynamicConfig makes cfg one for raw paths.
func dynamicConfig(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	return cfg
}

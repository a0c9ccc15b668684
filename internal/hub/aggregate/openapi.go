package aggregate

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/openapi"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// OpenAPI serves the hub's own OpenAPI documents together with those of the servers that s delegates to. They are asked when somebody
// asks; those that are not available are left out.
func OpenAPI(own http.Handler, s *catalog.Snapshot) http.Handler {
	d := documents{own: own, others: map[schema.GroupVersion]*remote{}}
	for gv, other := range s.Delegates() {
		if r, ok := other.Backend.(*remote); ok {
			d.others[gv] = r
		}
	}
	if len(d.others) == 0 {
		return own
	}
	return d
}

type documents struct {
	own    http.Handler
	others map[schema.GroupVersion]*remote
}

func (d documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, v3 := strings.CutPrefix(r.URL.Path, "/openapi/v3")
	var err error
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		d.own.ServeHTTP(w, r)
	case r.URL.Path == "/openapi/v2":
		err = d.v2(w, r)
	case v3 && name == "":
		err = d.index(w, r)
	case v3 && d.of(name) != nil:
		err = d.of(name).document3(w, r)
	default:
		d.own.ServeHTTP(w, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// of is who has the v3 document of a name ("/apis/GROUP/VERSION"); nil for the hub.
func (d documents) of(name string) *remote {
	group, version, _ := strings.Cut(strings.TrimPrefix(name, "/apis/"), "/")
	return d.others[schema.GroupVersion{Group: group, Version: version}]
}

// document3 has the server answer with a document of its own.
func (r *remote) document3(w http.ResponseWriter, req *http.Request) error {
	host, err := r.endpoint()
	if at := r.spec.Load(); err == nil && at.err == nil && r.available.Load() {
		ctx, cancel := context.WithTimeout(req.Context(), tryIn)
		defer cancel()
		err = r.forward(w, req.WithContext(ctx), host, at.transport, aggregator)
	} else {
		return unavailable(w)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
	return nil
}

// each asks every server that is available for a document, all at once, and calls use with those that answer, one after the other and
// in the order of their group versions.
func (d documents) each(ctx context.Context, path string, use func(gv schema.GroupVersion, body []byte)) {
	ctx, cancel := context.WithTimeout(ctx, tryIn)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	bodies := map[schema.GroupVersion][]byte{}
	for gv, r := range d.others {
		if !r.available.Load() {
			continue
		}
		all.Go(func() {
			resp, body, err := r.document(ctx, r.spec.Load(), path, http.Header{"Accept": {"application/json"}})
			if err != nil || resp.StatusCode != http.StatusOK {
				r.of.cfg.Log.Debug("openapi", "apiservice", r.name, "path", path, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			bodies[gv] = body
		})
	}
	all.Wait()
	order := slices.SortedFunc(maps.Keys(bodies), func(a, b schema.GroupVersion) int { return strings.Compare(a.String(), b.String()) })
	for _, gv := range order {
		use(gv, bodies[gv])
	}
}

// index lists the v3 documents of all.
func (d documents) index(w http.ResponseWriter, r *http.Request) error {
	type index struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	var all index
	if own := d.ask(r, "application/json"); json.Unmarshal(own.Bytes(), &all) != nil {
		return fmt.Errorf("the index of OpenAPI documents cannot be read: %s", own.Bytes())
	}
	d.each(r.Context(), "/openapi/v3", func(gv schema.GroupVersion, body []byte) {
		var theirs index
		if json.Unmarshal(body, &theirs) != nil {
			return
		}
		for _, name := range []string{"apis/" + gv.Group, "apis/" + gv.String()} {
			if entry, ok := theirs.Paths[name]; ok && (all.Paths[name] == nil || strings.Contains(name, gv.String())) {
				all.Paths[name] = entry
			}
		}
	})
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Etag", fmt.Sprintf("%q", etag(data)))
	_, err = w.Write(data)
	return err
}

// v2 is one document of all.
func (d documents) v2(w http.ResponseWriter, r *http.Request) error {
	var doc map[string]any
	own := d.ask(r, "application/json")
	if err := json.Unmarshal(own.Bytes(), &doc); err != nil {
		return err
	}
	sum := sha512.New()
	sum.Write(own.Bytes())
	d.each(r.Context(), "/openapi/v2", func(gv schema.GroupVersion, body []byte) {
		var theirs map[string]any
		if json.Unmarshal(body, &theirs) == nil {
			sum.Write(body)
			doc = openapi.Merge(doc, theirs, "/apis/"+gv.String())
		}
	})
	return openapi.ServeV2(w, r, doc, fmt.Sprintf("%X", sum.Sum(nil)))
}

func etag(data []byte) string { return fmt.Sprintf("%X", sha512.Sum512(data)) }

// ask has the hub's own documents answer the request, in one encoding and whole.
func (d documents) ask(r *http.Request, accept string) *bytes.Buffer {
	own := r.Clone(r.Context())
	own.Method, own.Header = http.MethodGet, http.Header{"Accept": {accept}}
	kept := &kept{header: http.Header{}}
	d.own.ServeHTTP(kept, own)
	return &kept.body
}

// kept is a ResponseWriter that keeps what is written.
type kept struct {
	header http.Header
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(int)             {}
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

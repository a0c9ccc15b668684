package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
)

// Config of a Handler.
type Config struct {
	Kinds   *api.Kinds
	Version string // of the server, printed in the documents; a new one makes clients fetch them anew
	Shelf   *Shelf // of the handlers before this one, whose documents may be served on; nil: one of its own
}

// Handler serves /openapi/v2, /openapi/v3 and the documents below it, of what is served at one time. A document is made when
// somebody first asks for it, and kept compressed.
type Handler struct {
	cfg      Config
	started  time.Time // Last-Modified of everything
	outlines func() []outline
}

// New returns a handler. It makes nothing yet.
func New(cfg Config) *Handler {
	if cfg.Shelf == nil {
		cfg.Shelf = &Shelf{}
	}
	return &Handler{
		cfg: cfg, started: time.Now().Truncate(time.Second),
		outlines: sync.OnceValue(func() []outline { return outlinesOf(cfg.Kinds, cfg.Version) }),
	}
}

// ServeHTTP answers GET and HEAD of /openapi/….
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	rest, v3 := strings.CutPrefix(r.URL.Path, "/openapi/v3")
	switch {
	case r.URL.Path == "/openapi/v2":
		h.serve(w, r, h.whole(), "v2")
	case v3 && rest == "":
		h.index(w, r)
	case v3 && strings.HasPrefix(rest, "/"):
		h.document(w, r, strings.TrimPrefix(rest, "/"))
	default:
		http.NotFound(w, r)
	}
}

// index lists the v3 documents with their hashes.
func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		ServerRelativeURL string `json:"serverRelativeURL"`
	}
	paths := map[string]entry{}
	for _, o := range h.outlines() {
		paths[o.name] = entry{relative(o.name, o.etag())}
	}
	data, err := json.Marshal(map[string]any{"paths": paths})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Etag", strconv.Quote(h.whole().etag()))
	http.ServeContent(w, r, "", h.started, bytes.NewReader(data))
}

func relative(name, etag string) string {
	return (&url.URL{Path: "/openapi/v3/" + name, RawQuery: url.Values{"hash": {etag}}.Encode()}).String()
}

// whole is the outline of the v2 document, which is made of all others.
func (h *Handler) whole() outline {
	var all []string
	for _, o := range h.outlines() {
		all = append(all, o.digest)
	}
	return outline{name: "", digest: strings.Join(all, "")}
}

func (h *Handler) document(w http.ResponseWriter, r *http.Request, name string) {
	for _, o := range h.outlines() {
		if o.name != name {
			continue
		}
		etag := o.etag()
		if hash := r.URL.Query().Get("hash"); hash != "" {
			if hash != etag {
				http.Redirect(w, r, relative(name, etag), http.StatusMovedPermanently)
				return
			}
			w.Header().Set("Cache-Control", "public, immutable")
			w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
		}
		h.serve(w, r, o, "v3")
		return
	}
	w.WriteHeader(http.StatusNotFound) // without a word, as upstream
}

// serve writes the document in the encoding that the client likes best.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, o outline, version string) {
	w.Header().Add("Vary", "Accept")
	asProto, ok := negotiate(r.Header.Get("Accept"), version)
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	z, err := h.cfg.Shelf.get(key{o.name, asProto}, o.etag(), h.names, func(l *library) ([]byte, error) { return h.encode(o, asProto, l) })
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if asProto {
		w.Header().Set("Content-Type", "application/"+protoSubtype(version)+"+protobuf")
	}
	w.Header().Set("Etag", strconv.Quote(o.etag()))
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Add("Vary", "Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
	} else if z, err = unzip(z); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", h.started, bytes.NewReader(z))
}

// names are those of the documents that there are.
func (h *Handler) names() map[string]bool {
	out := map[string]bool{"": true}
	for _, o := range h.outlines() {
		out[o.name] = true
	}
	return out
}

// encode makes a document.
func (h *Handler) encode(o outline, asProto bool, l *library) ([]byte, error) {
	data, err := h.render(o, l)
	if err == nil && asProto {
		data, err = encodeProto(o.name, data)
	}
	if err != nil {
		return nil, fmt.Errorf("openapi document %q: %w", o.name, err)
	}
	return data, nil
}

func (h *Handler) render(o outline, l *library) ([]byte, error) {
	if o.name != "" {
		d, err := o.document()
		if err != nil {
			return nil, err
		}
		models, err := modelled(o.kinds, 3)
		if err != nil {
			return nil, err
		}
		find := func(name string) node {
			if m := models.find(name); m != nil {
				return m
			}
			return l.v3(name)
		}
		data, err := renderV3(d, find, release(h.cfg.Version))
		return data, errors.Join(err, l.err)
	}
	docs, err := documents(h.outlines())
	if err != nil {
		return nil, err
	}
	kinds := h.cfg.Kinds.All()
	models, err := modelled(kinds, 2)
	if err != nil {
		return nil, err
	}
	data, err := renderV2(docs, models, l, release(h.cfg.Version))
	return data, errors.Join(err, l.err)
}

// encodeProto turns a JSON document into gnostic's protobuf form.
func encodeProto(name string, data []byte) ([]byte, error) {
	var m proto.Message
	var err error
	if name == "" {
		m, err = openapi_v2.ParseDocument(data)
	} else {
		m, err = openapi_v3.ParseDocument(data)
	}
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// release is the version that documents carry: "1.37" for "v1.37.1+sampan1".
func release(version string) string {
	v := strings.TrimPrefix(version, "v")
	if major, rest, ok := strings.Cut(v, "."); ok {
		minor, _, _ := strings.Cut(rest, ".")
		return major + "." + minor
	}
	return v
}

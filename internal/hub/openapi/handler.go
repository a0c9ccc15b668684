package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/json"
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
}

// Handler serves /openapi/v2, /openapi/v3 and the documents below it. What it serves is built when first asked for and kept
// compressed.
type Handler struct {
	cfg     Config
	started time.Time // Last-Modified of everything
	docs    func() ([]document, error)
	digest  func() string

	mu struct {
		sync.Mutex
		built map[key][]byte // gzip
	}
}

// key names one encoding of one document; doc is "" for v2.
type key struct {
	doc   string
	proto bool
}

// New returns a handler.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, started: time.Now().Truncate(time.Second)}
	h.docs = sync.OnceValues(func() ([]document, error) { return documents(cfg.Kinds) })
	h.digest = sync.OnceValue(func() string { return digest(cfg) })
	h.mu.built = map[key][]byte{}
	return h
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
		h.serve(w, r, "", "v2")
	case v3 && rest == "":
		h.index(w, r)
	case v3 && strings.HasPrefix(rest, "/"):
		h.document(w, r, strings.TrimPrefix(rest, "/"))
	default:
		http.NotFound(w, r)
	}
}

// etag of a document. It depends on what the document is made of, so that the index need not build the documents to name their
// hashes. Both encodings have the same one.
func (h *Handler) etag(name string) string {
	return fmt.Sprintf("%X", sha512.Sum512([]byte(h.digest()+name)))
}

// digest of everything that documents are made of.
func digest(cfg Config) string {
	s := sha512.New()
	fmt.Fprintln(s, cfg.Version)
	for _, k := range cfg.Kinds.All() {
		fmt.Fprintln(s, k.GVK(), k.Resource, k.Namespaced, k.Verbs)
		for _, sub := range k.Subresources {
			fmt.Fprintln(s, sub.Name, sub.GVK, sub.Verbs)
		}
	}
	s.Write(compressed)
	return string(s.Sum(nil))
}

// index lists the v3 documents with their hashes.
func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	docs, err := h.docs()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	type entry struct {
		ServerRelativeURL string `json:"serverRelativeURL"`
	}
	paths := map[string]entry{}
	for _, d := range docs {
		paths[d.name] = entry{relative(d.name, h.etag(d.name))}
	}
	data, err := json.Marshal(map[string]any{"paths": paths})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Etag", strconv.Quote(h.etag("index")))
	http.ServeContent(w, r, "", h.started, bytes.NewReader(data))
}

func relative(name, etag string) string {
	return (&url.URL{Path: "/openapi/v3/" + name, RawQuery: url.Values{"hash": {etag}}.Encode()}).String()
}

func (h *Handler) document(w http.ResponseWriter, r *http.Request, name string) {
	docs, err := h.docs()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, d := range docs {
		if d.name != name {
			continue
		}
		etag := h.etag(name)
		if hash := r.URL.Query().Get("hash"); hash != "" {
			if hash != etag {
				http.Redirect(w, r, relative(name, etag), http.StatusMovedPermanently)
				return
			}
			w.Header().Set("Cache-Control", "public, immutable")
			w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
		}
		h.serve(w, r, name, "v3")
		return
	}
	w.WriteHeader(http.StatusNotFound) // without a word, as upstream
}

// serve writes the document in the encoding that the client likes best.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, name, version string) {
	w.Header().Add("Vary", "Accept")
	asProto, ok := negotiate(r.Header.Get("Accept"), version)
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	z, err := h.build(key{name, asProto})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if asProto {
		w.Header().Set("Content-Type", "application/"+protoSubtype(version)+"+protobuf")
	}
	w.Header().Set("Etag", strconv.Quote(h.etag(name)))
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Add("Vary", "Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
	} else if z, err = unzip(z); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", h.started, bytes.NewReader(z))
}

// build returns a document compressed, making it the first time. One is made at a time, because making one takes memory.
func (h *Handler) build(k key) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if z := h.mu.built[k]; z != nil {
		return z, nil
	}
	data, err := h.render(k.doc)
	if err == nil && k.proto {
		data, err = encodeProto(k.doc, data)
	}
	if err != nil {
		return nil, fmt.Errorf("openapi document %q: %w", k.doc, err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	h.mu.built[k] = b.Bytes()
	return b.Bytes(), nil
}

func (h *Handler) render(name string) ([]byte, error) {
	docs, err := h.docs()
	if err != nil {
		return nil, err
	}
	var defs definitions[node]
	if err := unpack(compressed, &defs); err != nil {
		return nil, err
	}
	untyped(h.cfg.Kinds, defs.V3)
	if name == "" {
		return renderV2(docs, defs.V3, defs.V2, release(h.cfg.Version))
	}
	for _, d := range docs {
		if d.name == name {
			return renderV3(d, defs.V3, release(h.cfg.Version))
		}
	}
	return nil, fmt.Errorf("no such document")
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

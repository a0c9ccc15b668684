package hub

import (
	"net/http"

	"sampan.dev/internal/hub/wire"
)

// wellKnown serves what others need to verify service account tokens.
func (h *Hub) wellKnown(w http.ResponseWriter, r *http.Request) error {
	if h.guard.keys == nil {
		return wire.NoSuchPath()
	}
	var data []byte
	var err error
	kind := "application/json"
	if r.URL.Path == "/openid/v1/jwks" {
		data, err = h.guard.keys.JWKS()
		kind = "application/jwk-set+json"
	} else {
		data, err = h.guard.keys.OpenIDConfiguration(h.cfg.IssuerURL, "https://"+advertised(&h.cfg)+"/openid/v1/jwks")
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write(data) //nolint:errcheck // the client has gone
	return nil
}

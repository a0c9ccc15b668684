package authn_test

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"

	"sampan.dev/internal/hub/authn"
)

// A token among the subprotocols of a WebSocket is believed as one in the header, and taken out.
func TestTokensInSubprotocols(t *testing.T) {
	w := newWorld(t)
	good := w.sign(authn.Claims{Account: w.account("robot")})
	w.check(good, "")
	in := func(token string) string {
		return "base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(token))
	}
	for _, row := range []struct {
		name       string
		lines      []string
		err        string // part of it; "" where the caller is known
		rest       string
		connection string
	}{
		{"one more", []string{in(good) + ", base64.binary.k8s.io"}, "", "base64.binary.k8s.io", "Upgrade"},
		{"in lines", []string{"a", in(good), "b"}, "", "a,b", "keep-alive, Upgrade"},
		{"alone", []string{in(good)}, "missing additional subprotocol", "", "Upgrade"},
		{"two", []string{in(good) + "," + in(good) + ",a"}, "multiple base64.bearer.authorization tokens specified", "", "Upgrade"},
		{"no base64", []string{"base64url.bearer.authorization.k8s.io.!,a"}, "invalid base64.bearer.authorization token encoding", "", "Upgrade"},
		{"padded", []string{in("a") + "=,a"}, "invalid base64.bearer.authorization token encoding", "", "Upgrade"},
		{"no text", []string{in("\xff") + ",a"}, "invalid base64.bearer.authorization token", "", "Upgrade"},
		{"a bad one", []string{in("x") + ",a"}, "invalid bearer token", "", "Upgrade"},
		{"no token", []string{"a"}, "none", "", "Upgrade"},
		{"an empty one", []string{in("") + ",a"}, "none", "", "Upgrade"},
		{"no upgrade", []string{in(good) + ",a"}, "none", "", "keep-alive"},
	} {
		r := httptest.NewRequest("GET", "/api/v1/pods?watch=1", nil)
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Connection", row.connection)
		r.Header["Sec-Websocket-Protocol"] = row.lines
		u, ok, err := w.chain.Authenticate(r)
		switch {
		case row.err == "":
			if !ok || err != nil || u.Name != "system:serviceaccount:default:robot" || r.Header.Get("Sec-Websocket-Protocol") != row.rest {
				t.Errorf("%s: %v %v %v %v", row.name, u, ok, err, r.Header)
			}
		case row.err == "none":
			if err != nil || ok && u.Name != "system:anonymous" {
				t.Errorf("%s: %v %v %v", row.name, u, ok, err)
			}
		case ok || err == nil || !strings.Contains(err.Error(), row.err):
			t.Errorf("%s: %v %v %v", row.name, u, ok, err)
		}
	}
}

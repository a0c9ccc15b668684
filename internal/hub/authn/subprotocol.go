package authn

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"sampan.dev/internal/api"

	"k8s.io/streaming/pkg/httpstream/wsstream"
)

const (
	protocolHeader = "Sec-Websocket-Protocol"
	// tokenProtocol marks the WebSocket subprotocol that browsers, which cannot set headers, send a token in.
	tokenProtocol = "base64url.bearer.authorization.k8s.io."
)

// The words of upstream's websocket.ProtocolAuthenticator.
var (
	errTwoTokens   = errors.New("multiple base64.bearer.authorization tokens specified")
	errEncoding    = errors.New("invalid base64.bearer.authorization token encoding")
	errTokenText   = errors.New("invalid base64.bearer.authorization token")
	errNoRemainder = errors.New("missing additional subprotocol")
)

// subprotocol finds a token among the subprotocols of a WebSocket. One that is good is taken out; another subprotocol must be
// left, for the server has to choose one.
func (c *Chain) subprotocol(r *http.Request) (api.User, bool, error) {
	if len(r.Header[protocolHeader]) == 0 || !wsstream.IsWebSocketRequest(r) {
		return api.User{}, false, nil
	}
	token, rest, err := tokenOf(r.Header[protocolHeader])
	if err != nil || token == "" {
		return api.User{}, false, err
	}
	user, ok, err := c.token(r, token)
	if ok {
		r.Header.Set(protocolHeader, strings.Join(rest, ","))
	}
	return user, ok, err
}

// tokenOf tells the token among subprotocols from the others.
func tokenOf(lines []string) (token string, rest []string, err error) {
	seen := false
	for _, line := range lines {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			encoded, ok := strings.CutPrefix(p, tokenProtocol)
			if !ok {
				rest = append(rest, p)
				continue
			}
			if seen {
				return "", nil, errTwoTokens
			}
			seen = true
			text, err := base64.RawURLEncoding.DecodeString(encoded)
			if err != nil {
				return "", nil, errEncoding
			}
			if !utf8.Valid(text) {
				return "", nil, errTokenText
			}
			token = string(text)
		}
	}
	if token != "" && len(rest) == 0 {
		return "", nil, errNoRemainder
	}
	return token, rest, nil
}

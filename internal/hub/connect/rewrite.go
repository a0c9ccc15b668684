package connect

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"golang.org/x/net/html"
)

// rewriting makes links of a proxied backend to itself point through the proxy: the Location header, and the links of an
// HTML page, as upstream's proxy does.
type rewriting struct {
	next   http.RoundTripper
	prefix string // the path of the proxy: "/api/v1/namespaces/x/pods/y/proxy"
	host   string // of the backend
}

// RoundTrip implements http.RoundTripper.
func (t *rewriting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err != nil || res.StatusCode == http.StatusSwitchingProtocols {
		return res, err
	}
	if loc := res.Header.Get("Location"); loc != "" {
		if u, err := url.Parse(loc); err == nil {
			res.Header.Set("Location", t.through(u, loc))
		}
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(kind) != "text/html" || res.Header.Get("Content-Encoding") != "" {
		return res, nil
	}
	page, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	page = t.rewritePage(page)
	res.Body = io.NopCloser(bytes.NewReader(page))
	res.ContentLength = int64(len(page))
	res.Header.Set("Content-Length", strconv.Itoa(len(page)))
	return res, nil
}

// through is where the client finds u, which the backend named as raw. Other hosts' and relative links stay.
func (t *rewriting) through(u *url.URL, raw string) string {
	if u.Host != "" && u.Host != t.host || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, t.prefix) {
		return raw
	}
	u.Scheme, u.Host = "", ""
	u.Path = t.prefix + u.Path
	return u.String()
}

// linkAttributes are the attributes of HTML elements that hold URLs.
var linkAttributes = map[string]string{
	"a": "href", "applet": "codebase", "area": "href", "audio": "src", "base": "href", "blockquote": "cite", "body": "background",
	"button": "formaction", "command": "icon", "del": "cite", "embed": "src", "form": "action", "frame": "src", "head": "profile",
	"html": "manifest", "iframe": "src", "img": "src", "input": "src", "ins": "cite", "link": "href", "object": "data", "q": "cite",
	"script": "src", "source": "src", "video": "src",
}

// rewritePage changes the links of a page and leaves every other byte as it is.
func (t *rewriting) rewritePage(page []byte) []byte {
	var out bytes.Buffer
	tokens := html.NewTokenizer(bytes.NewReader(page))
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			return out.Bytes()
		}
		raw := bytes.Clone(tokens.Raw())
		token := tokens.Token()
		name, ok := linkAttributes[token.Data]
		if !ok || kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			out.Write(raw)
			continue
		}
		changed := false
		for i, a := range token.Attr {
			if a.Key != name {
				continue
			}
			if u, err := url.Parse(a.Val); err == nil {
				if to := t.through(u, a.Val); to != a.Val {
					token.Attr[i].Val, changed = to, true
				}
			}
		}
		if changed {
			out.WriteString(token.String())
		} else {
			out.Write(raw)
		}
	}
}

// writeStatus answers with an error after the hub's own writer has let go of the response.
func writeStatus(w http.ResponseWriter, err *apierrors.StatusError) {
	err.ErrStatus.APIVersion, err.ErrStatus.Kind = "v1", "Status"
	body, _ := json.Marshal(err.ErrStatus)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(err.ErrStatus.Code))
	_, _ = w.Write(body)
}

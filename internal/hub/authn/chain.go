package authn

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"sampan.dev/internal/api"
)

// Config says which credentials the hub accepts. It does not change after New.
type Config struct {
	ClientCA func() *x509.CertPool // nil: no client certificates

	// Front proxy (aggregation): certificates of FrontProxyCA with one of these common names may name the user in headers.
	FrontProxyCA    func() *x509.CertPool
	FrontProxyNames []string
	FrontHeaders    FrontHeaders

	Tokens *Tokens // nil: no tokens

	// Anonymous says whether a request without credentials is system:anonymous's; what that may is authorization's to say.
	Anonymous AnonymousAccess

	// Refused are names under which nobody comes in, whoever vouches for them: identities that are shown to others.
	Refused []string
}

// FrontHeaders are the headers in which a front proxy names the user. Of several the first that is there counts; of those for groups and
// extras all do. The zero value is upstream's usual names.
type FrontHeaders struct{ User, UID, Group, Extra []string }

// usual are the names that kubeadm and this server give.
var usual = FrontHeaders{User: []string{"X-Remote-User"}, UID: []string{"X-Remote-Uid"}, Group: []string{"X-Remote-Group"}, Extra: []string{"X-Remote-Extra-"}}

// AnonymousAccess is what an AuthenticationConfiguration says of anonymous requests. Its zero value lets all of them in.
type AnonymousAccess struct {
	Off   bool
	Paths []string // nil: any; else these exactly, and no others
}

func (a *AnonymousAccess) admits(path string) bool {
	return !a.Off && (a.Paths == nil || slices.Contains(a.Paths, path))
}

// Chain is the authenticator of the hub: front proxy, client certificate, bearer token, anonymous.
type Chain struct {
	front   *certificates
	clients *certificates
	cfg     Config
}

// New makes it. It refuses a front proxy that any client certificate could pass for.
func New(cfg Config) (*Chain, error) {
	if len(cfg.FrontHeaders.User) == 0 {
		cfg.FrontHeaders = usual
	}
	c := &Chain{cfg: cfg}
	if cfg.ClientCA != nil {
		c.clients = newCertificates(cfg.ClientCA)
	}
	if cfg.FrontProxyCA != nil {
		if cfg.ClientCA != nil && len(cfg.FrontProxyNames) == 0 && cfg.ClientCA().Equal(cfg.FrontProxyCA()) {
			return nil, errors.New("the front proxy's authority signs client certificates too: name the certificates it may use (--requestheader-allowed-names)")
		}
		c.front = newCertificates(cfg.FrontProxyCA)
	}
	return c, nil
}

// Authenticate asks each in turn. An error of one does not stop the others, but when nobody vouches for the caller it ends
// the matter: bad credentials are never anonymous. What proved the identity is taken off the request, so that it cannot be
// passed on to a backend.
func (c *Chain) Authenticate(r *http.Request) (api.User, bool, error) {
	var errs []error
	for _, try := range []func(*http.Request) (api.User, bool, error){c.frontProxy, c.clientCert, c.bearer, c.subprotocol} {
		user, ok, err := try(r)
		if err != nil {
			errs = append(errs, err)
		}
		if ok && slices.Contains(c.cfg.Refused, user.Name) {
			return api.User{}, false, fmt.Errorf("%s is what the API server is to others; it does not ask itself", user.Name)
		}
		if ok {
			r.Header.Del("Authorization")
			return authenticated(user), true, nil
		}
	}
	if len(errs) > 0 {
		return api.User{}, false, errors.Join(errs...)
	}
	if c.cfg.Anonymous.admits(r.URL.Path) {
		return Anonymous(), true, nil
	}
	return api.User{}, false, nil
}

// Anonymous is the caller without credentials.
func Anonymous() api.User {
	return api.User{Name: api.UserAnonymous, Groups: []string{api.GroupUnauthenticated}}
}

// authenticated adds the group of everybody who has proved something.
func authenticated(u api.User) api.User {
	if u.Name == api.UserAnonymous || slices.Contains(u.Groups, api.GroupAuthenticated) || slices.Contains(u.Groups, api.GroupUnauthenticated) {
		return u
	}
	u.Groups = append(slices.Clone(u.Groups), api.GroupAuthenticated)
	return u
}

func (c *Chain) clientCert(r *http.Request) (api.User, bool, error) {
	if c.clients == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return api.User{}, false, nil
	}
	return c.clients.user(r.TLS.PeerCertificates)
}

// frontProxy believes the headers of a proxy with the right certificate.
func (c *Chain) frontProxy(r *http.Request) (api.User, bool, error) {
	if c.front == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return api.User{}, false, nil
	}
	names := &c.cfg.FrontHeaders
	name := firstOf(r.Header, names.User)
	if name == "" {
		return api.User{}, false, nil
	}
	if err := c.front.verify(r.TLS.PeerCertificates); err != nil {
		return api.User{}, false, err
	}
	cn := r.TLS.PeerCertificates[0].Subject.CommonName
	if len(c.cfg.FrontProxyNames) > 0 && !slices.Contains(c.cfg.FrontProxyNames, cn) {
		return api.User{}, false, errors.New("x509: subject with cn=" + cn + " is not in the allowed list")
	}
	u := api.User{Name: name, UID: firstOf(r.Header, names.UID)}
	for _, h := range names.Group {
		for _, g := range r.Header.Values(h) {
			if g != "" {
				u.Groups = append(u.Groups, g)
			}
		}
	}
	for _, prefix := range names.Extra {
		prefix = textproto.CanonicalMIMEHeaderKey(prefix)
		for name, values := range r.Header {
			if !strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), prefix) {
				continue
			}
			if u.Extra == nil {
				u.Extra = map[string][]string{}
			}
			key := extraKey(name[len(prefix):])
			u.Extra[key] = append(u.Extra[key], values...)
			r.Header.Del(name)
		}
	}
	for _, list := range [][]string{names.User, names.UID, names.Group} {
		for _, h := range list {
			r.Header.Del(h)
		}
	}
	return u, true, nil
}

func firstOf(h http.Header, names []string) string {
	for _, name := range names {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// extraKey undoes the escaping of an extra's key in a header name: lower case, then percent-decoded where that works.
func extraKey(s string) string {
	s = strings.ToLower(s)
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 16 && lo < 16 {
				b.WriteByte(hi<<4 | lo)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// errBearer is what upstream adds when a token was given and nobody knew it.
var errBearer = errors.New("invalid bearer token")

func (c *Chain) bearer(r *http.Request) (api.User, bool, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return api.User{}, false, nil
	}
	return c.token(r, token)
}

func (c *Chain) token(r *http.Request, token string) (api.User, bool, error) {
	if c.cfg.Tokens == nil || token == "" {
		return api.User{}, false, nil
	}
	resp, ok, err := c.cfg.Tokens.Authenticate(r.Context(), token, nil)
	if !ok {
		return api.User{}, false, errors.Join(errBearer, err)
	}
	return resp.User, true, nil
}

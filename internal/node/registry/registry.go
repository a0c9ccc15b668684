package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"sampan.dev/internal/pattern"

	"go.yaml.in/yaml/v3"
)

// Registries is the file.
type Registries struct {
	// Mirrors by the host that image names have, "docker.io" or "registry.example.org:5000"; "*" is every host without one of its own.
	Mirrors map[string]Mirror `yaml:"mirrors"`
	// Configs by the host that is asked.
	Configs map[string]Config `yaml:"configs"`
}

// Mirror says where images of a host are asked for before the host itself.
type Mirror struct {
	Endpoint []string          `yaml:"endpoint"` // URLs, or hosts; in the order in which they are tried
	Rewrite  map[string]string `yaml:"rewrite"`  // regular expressions of names; containerd knows none, see Hosts
}

// Config is how one host is spoken to.
type Config struct {
	Auth Auth `yaml:"auth"`
	TLS  TLS  `yaml:"tls"`
}

// Auth are credentials: a user with a password, both as docker's "auth" has them, or a token.
type Auth struct {
	Username      string `yaml:"username"`
	Password      string `yaml:"password"`
	Auth          string `yaml:"auth"` // base64 of USER:PASSWORD
	IdentityToken string `yaml:"identity_token"`
}

// TLS are files and whether certificates are looked at.
type TLS struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	Skip     bool   `yaml:"insecure_skip_verify"`
}

// inGo is how the library names the types that it fills, which is nothing to a person.
var inGo = pattern.New(` in type registry\.\w+`)

// Parse reads the file. What it does not know is an error with its line.
func Parse(data []byte) (Registries, error) {
	var r Registries
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil && strings.TrimSpace(err.Error()) != "EOF" {
		text := strings.TrimPrefix(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "), "unmarshal errors: ")
		return r, errors.New(inGo.ReplaceAllString(text, ""))
	}
	return r, r.check()
}

func (r Registries) check() error {
	for host, m := range r.Mirrors {
		if host == "" || strings.ContainsAny(host, "/ \t") {
			return fmt.Errorf("mirrors: %q: want a host, as image names have it, or \"*\"", host)
		}
		for _, e := range m.Endpoint {
			if _, err := endpoint(e); err != nil {
				return fmt.Errorf("mirrors: %s: endpoint %q: %w", host, e, err)
			}
		}
		if len(m.Rewrite) > 1 {
			return fmt.Errorf("mirrors: %s: rewrite: one rule can be honoured, there are %d", host, len(m.Rewrite))
		}
		for pattern, to := range m.Rewrite {
			if _, err := prefixOf(pattern, to); err != nil {
				return fmt.Errorf("mirrors: %s: rewrite: %w", host, err)
			}
		}
	}
	for host, c := range r.Configs {
		if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
			return fmt.Errorf("configs: %s: tls: cert_file and key_file: want both or none", host)
		}
		for _, f := range []string{c.TLS.CAFile, c.TLS.CertFile, c.TLS.KeyFile} {
			if f != "" && !filepath.IsAbs(f) {
				return fmt.Errorf("configs: %s: tls: %s: want an absolute path", host, f)
			}
		}
		if c.Auth.IdentityToken != "" {
			return fmt.Errorf("configs: %s: auth: identity_token: cannot be honoured; give username and password", host)
		}
		if _, _, err := c.Auth.pair(); err != nil {
			return fmt.Errorf("configs: %s: auth: %w", host, err)
		}
	}
	return nil
}

// pair are user and password, "" when there are none.
func (a Auth) pair() (user, password string, err error) {
	if a.Auth == "" {
		return a.Username, a.Password, nil
	}
	data, err := base64.StdEncoding.DecodeString(a.Auth)
	user, password, ok := strings.Cut(string(data), ":")
	if err != nil || !ok {
		return "", "", errors.New("auth: want base64 of USER:PASSWORD")
	}
	return user, password, nil
}

// endpoint is the URL of an endpoint; one without a scheme is spoken to by HTTPS.
func endpoint(e string) (*url.URL, error) {
	if !strings.Contains(e, "://") {
		e = "https://" + e
	}
	u, err := url.Parse(e)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("want http://HOST or https://HOST, perhaps with a path")
	}
	return u, nil
}

// prefixOf is the path that a rewrite puts before every name: "^(.*)$" or "(.*)" to "PREFIX/$1". containerd asks a host below a path and
// knows no other rewriting.
func prefixOf(pattern, to string) (string, error) {
	prefix, ok := strings.CutSuffix(to, "/$1")
	if !slices.Contains([]string{"^(.*)$", "(.*)", "^(.*)", "(.*)$", "^(.+)$"}, pattern) || !ok || strings.ContainsAny(prefix, "$\\ ") {
		return "", fmt.Errorf("%q: %q: only \"^(.*)$\": \"PREFIX/$1\" can be honoured, which is what a proxy of several registries needs", pattern, to)
	}
	return strings.Trim(prefix, "/"), nil
}

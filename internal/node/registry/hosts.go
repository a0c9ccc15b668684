package registry

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// defaultHost is how containerd names the folder of hosts without one of their own.
const defaultHost = "_default"

// Hosts are the files hosts.toml by the folder that each is in, which is named for the host of the images. A host that has credentials
// or TLS files and no mirror gets one too.
func (r Registries) Hosts() map[string]string {
	out := map[string]string{}
	for host, m := range r.Mirrors {
		out[folder(host)] = r.hosts(host, m)
	}
	for host := range r.Configs {
		if _, done := out[folder(host)]; !done && host != "*" {
			out[folder(host)] = r.hosts(host, Mirror{})
		}
	}
	return out
}

func folder(host string) string {
	if host == "*" {
		return defaultHost
	}
	return host
}

// origin is the URL of a host that serves images under its own name.
func origin(host string) string {
	if host == "docker.io" {
		return "https://registry-1.docker.io"
	}
	return "https://" + host
}

// hosts is one file: the mirrors in their order, and last the host itself, with its own configuration.
func (r Registries) hosts(host string, m Mirror) string {
	var b strings.Builder
	fmt.Fprintln(&b, "# Written by sampan, from registries.yaml. Changes are lost.")
	if host != "*" {
		fmt.Fprintf(&b, "server = %s\n", quote(origin(host)))
	}
	for _, e := range m.Endpoint {
		u, _ := endpoint(e) // checked
		prefix := ""
		for pattern, to := range m.Rewrite {
			prefix, _ = prefixOf(pattern, to)
		}
		r.host(&b, below(u, prefix), u.Host, prefix != "" || strings.Trim(u.Path, "/") != "")
	}
	if host != "*" {
		if _, known := r.Configs[host]; known {
			u, _ := url.Parse(origin(host))
			r.host(&b, u.String(), host, false)
		}
	}
	return b.String()
}

// below is the URL that images are asked for at: containerd takes a path that it is told to be the API's.
func below(u *url.URL, prefix string) string {
	path := strings.Trim(u.Path, "/")
	path = strings.TrimSuffix(strings.TrimSuffix(path, "v2"), "/")
	if prefix != "" {
		path = strings.Trim(path+"/"+prefix, "/")
	}
	if path == "" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/v2/" + path
}

// host is the section of one host that is asked.
func (r Registries) host(b *strings.Builder, at, name string, hasPath bool) {
	c := r.Configs[name]
	fmt.Fprintf(b, "\n[host.%s]\n  capabilities = [\"pull\", \"resolve\"]\n", quote(at))
	if hasPath {
		fmt.Fprintln(b, "  override_path = true")
	}
	if c.TLS.Skip {
		fmt.Fprintln(b, "  skip_verify = true")
	}
	if c.TLS.CAFile != "" {
		fmt.Fprintf(b, "  ca = %s\n", quote(c.TLS.CAFile))
	}
	if c.TLS.CertFile != "" {
		fmt.Fprintf(b, "  client = [[%s, %s]]\n", quote(c.TLS.CertFile), quote(c.TLS.KeyFile))
	}
	if user, password, _ := c.Auth.pair(); user != "" || password != "" {
		token := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		fmt.Fprintf(b, "  [host.%s.header]\n    Authorization = %s\n", quote(at), quote("Basic "+token))
	}
}

// quote is a basic string of TOML, whose escapes are among Go's for what paths, URLs and base64 have.
func quote(s string) string { return strconv.Quote(s) }

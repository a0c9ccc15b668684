package provider

import (
	"net"
	"net/url"
	"path"
	"strings"
)

// parse reads a registry's name with a path, without a scheme: "*.example.com:5000/team".
func parse(s string) (*url.URL, error) { return url.Parse("https://" + s) }

// Matches reports whether a pattern covers an image: its host, part by part with wild cards, its port, and the beginning of its path.
func Matches(pattern, image string) bool {
	p, err := parse(pattern)
	if err != nil {
		return false
	}
	i, err := parse(image)
	if err != nil {
		return false
	}
	parts, port := split(p)
	its, itsPort := split(i)
	if port != itsPort || len(parts) != len(its) || !strings.HasPrefix(i.Path, p.Path) {
		return false
	}
	for n := range parts {
		if ok, err := path.Match(parts[n], its[n]); err != nil || !ok {
			return false
		}
	}
	return true
}

func split(u *url.URL) (parts []string, port string) {
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		host, port = u.Host, ""
	}
	return strings.Split(host, "."), port
}

// registry is the part of an image's name that says where it is.
func registry(image string) string {
	host, _, _ := strings.Cut(image, "/")
	return host
}

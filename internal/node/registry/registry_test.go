package registry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const whole = `
mirrors:
  docker.io:
    endpoint:
    - https://mirror.example.org:5000
    - http://plain.example.org/v2
    rewrite:
      "^(.*)$": "hub/$1"
  "*":
    endpoint: [cache.example.org]
configs:
  mirror.example.org:5000:
    auth: {username: me, password: se"cret}
    tls: {ca_file: /etc/ssl/m.pem, cert_file: /etc/ssl/c.pem, key_file: /etc/ssl/c.key}
  plain.example.org:
    tls: {insecure_skip_verify: true}
  private.example.org:
    auth: {auth: bWU6c2VjcmV0}
`

func TestHosts(t *testing.T) {
	r, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	got := r.Hosts()
	want := map[string]string{
		"docker.io": `server = "https://registry-1.docker.io"

[host."https://mirror.example.org:5000/v2/hub"]
  capabilities = ["pull", "resolve"]
  override_path = true
  ca = "/etc/ssl/m.pem"
  client = [["/etc/ssl/c.pem", "/etc/ssl/c.key"]]
  [host."https://mirror.example.org:5000/v2/hub".header]
    Authorization = "Basic bWU6c2UiY3JldA=="

[host."http://plain.example.org/v2/hub"]
  capabilities = ["pull", "resolve"]
  override_path = true
  skip_verify = true
`,
		"_default": `
[host."https://cache.example.org"]
  capabilities = ["pull", "resolve"]
`,
		"private.example.org": `server = "https://private.example.org"

[host."https://private.example.org"]
  capabilities = ["pull", "resolve"]
  [host."https://private.example.org".header]
    Authorization = "Basic bWU6c2VjcmV0"
`,
	}
	for host, text := range want {
		_, body, _ := strings.Cut(got[host], "Changes are lost.\n")
		if body != text {
			t.Errorf("%s:\n%s\nwant\n%s", host, body, text)
		}
	}
	if len(got) != 5 { // the two mirrors' own images are asked for with their configurations too
		t.Errorf("hosts: %v", got)
	}
}

func TestWhatCannotBeHonouredIsRefused(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"mirros: {}\n", "field mirros not found"},
		{"mirrors:\n  a:\n    endpoints: [x]\n", "line 3: field endpoints not found"},
		{"mirrors: {\"a/b\": {endpoint: [x]}}", `"a/b": want a host`},
		{"mirrors: {a: {endpoint: [\"ftp://x\"]}}", `endpoint "ftp://x": want http://HOST`},
		{"mirrors: {a: {endpoint: [x], rewrite: {\"^library/(.*)$\": \"lib/$1\"}}}", "can be honoured"},
		{"mirrors: {a: {endpoint: [x], rewrite: {\"a\": \"b\", \"c\": \"d\"}}}", "one rule"},
		{"configs: {a: {tls: {ca_file: relative.pem}}}", "want an absolute path"},
		{"configs: {a: {tls: {cert_file: /x}}}", "want both or none"},
		{"configs: {a: {auth: {identity_token: x}}}", "identity_token: cannot be honoured"},
		{"configs: {a: {auth: {auth: x}}}", "base64 of USER:PASSWORD"},
		{"[", "line 1"},
	} {
		if _, err := Parse([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.file, err, c.want)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "mirrors:\n", "configs: {}\n"} {
		if r, err := Parse([]byte(empty)); err != nil || len(r.Hosts()) != 0 {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// The one folder follows all sources: what counts more takes the place of what counts less, what is no longer said goes, and without
// anything said nothing is left.
func TestWrite(t *testing.T) {
	top := t.TempDir()
	in := func(name string) string { return filepath.Join(top, name) }
	s := Sources{Own: []string{in("own"), in("cluster")}, Files: []string{in("a.yaml"), in("b.yaml")}, Usual: []string{in("containerd"), in("docker")}}
	write := func(file, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(in(file)), 0o700), os.WriteFile(in(file), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.RemoveAll(in(name)); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want ...string) { // "HOST from SOURCE", where a file of ours is from "us"
		t.Helper()
		for range 2 { // again changes nothing
			if err := Write(in("hosts"), s); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		found, _ := os.ReadDir(in("hosts"))
		for _, e := range found {
			data, err := os.ReadFile(filepath.Join(in("hosts"), e.Name(), "hosts.toml"))
			if err != nil {
				t.Fatal(err)
			}
			from := strings.TrimSpace(string(data))
			if strings.HasPrefix(from, "# Written by sampan") {
				from = "us"
			}
			got = append(got, e.Name()+" from "+from)
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%v, want %v", got, want)
		}
	}
	has()
	write("b.yaml", "mirrors: {a: {endpoint: [x]}, b: {endpoint: [x]}}")
	has("a from us", "b from us")
	write("a.yaml", "mirrors: {b: {endpoint: [x]}}")
	has("b from us")
	write("docker/b/hosts.toml", "docker")
	write("docker/c/hosts.toml", "docker")
	write("containerd/c/hosts.toml", "containerd")
	has("b from us", "c from containerd")
	write("cluster/b/hosts.toml", "cluster")
	write("cluster/d/hosts.toml", "cluster")
	has("b from cluster", "c from containerd", "d from cluster")
	write("own/b/hosts.toml", "own")
	has("b from own", "c from containerd", "d from cluster")
	remove("own")
	remove("cluster")
	remove("containerd")
	has("b from us", "c from docker")
	remove("a.yaml")
	write("b.yaml", "mirrors: [")
	if err := Write(in("hosts"), s); err == nil || !strings.Contains(err.Error(), in("b.yaml")) {
		t.Errorf("a broken file: %v", err)
	}
	remove("b.yaml")
	has("b from docker", "c from docker")
	remove("docker")
	has()
	if _, err := os.Stat(in("hosts")); err == nil {
		t.Error("the folder is left")
	}
}

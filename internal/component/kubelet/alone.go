package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/node/serve"

	"github.com/spf13/pflag"
)

// The modes of --authorization-mode.
const (
	alwaysAllow = "AlwaysAllow"
	webhook     = "Webhook"
)

// strict puts the defaults of a KubeletConfiguration in the place of the command line's, as upstream: a file that says nothing of
// it lets in nobody who has not been reviewed. Flags that were given stay.
func (c *Config) strict(fs *pflag.FlagSet) {
	given := func(name string) bool { return fs != nil && fs.Changed(name) }
	if !given("anonymous-auth") {
		c.Anonymous = false
	}
	if !given("authentication-token-webhook") {
		c.Webhook = true
	}
	if !given("authorization-mode") {
		c.Authorization = webhook
	}
	if !given("read-only-port") {
		c.ReadOnlyPort = 0
	}
}

// unreviewed says whom a kubelet without an API server lets in. Settings that need one are an error, in upstream's words.
func (c *Config) unreviewed(log *slog.Logger) (serve.Alone, error) {
	switch {
	case c.Webhook:
		return serve.Alone{}, flag.Usage{Err: errors.New("no client provided, cannot use webhook authentication; " +
			"without --kubeconfig set authentication.webhook.enabled (--authentication-token-webhook) to false")}
	case c.Authorization == webhook:
		return serve.Alone{}, flag.Usage{Err: errors.New("no client provided, cannot use webhook authorization; " +
			"without --kubeconfig set authorization.mode (--authorization-mode) to AlwaysAllow")}
	}
	if c.Serve && c.Anonymous {
		log.Warn("whoever reaches the kubelet's port may read logs and run commands in containers; see --anonymous-auth and --address",
			"address", c.Address, "port", c.Port)
	}
	return serve.Alone{Anonymous: c.Anonymous, AlwaysAllow: true}, nil
}

// listen is the address of one of the server's ports, "" for none.
func listen(on bool, address net.IP, port int32) string {
	if !on || port == 0 {
		return ""
	}
	return net.JoinHostPort(address.String(), strconv.Itoa(int(port)))
}

// header is the value of --manifest-url-header: name:value pairs, of which a name may have several. The file has lists by name.
type header struct{ to *http.Header }

func (h header) Type() string { return "headers" }

func (h header) String() string {
	if h.to == nil {
		return ""
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(*h.to)) {
		for _, value := range (*h.to)[name] {
			out = append(out, name+":"+value)
		}
	}
	return strings.Join(out, ",")
}

// Set adds to what is there: the flag may be given more than once.
func (h header) Set(s string) error {
	add := http.Header{}
	for pair := range strings.SplitSeq(s, ",") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, ":")
		if !ok {
			return errors.New("malformed pair, expect string:string")
		}
		add.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h.put(add)
}

func (h header) SetJSON(data []byte) error {
	lists := map[string][]string{}
	if err := json.Unmarshal(data, &lists); err != nil {
		return err
	}
	add := http.Header{}
	for name, values := range lists {
		for _, value := range values {
			add.Add(name, value)
		}
	}
	return h.put(add)
}

func (h header) put(add http.Header) error {
	for name := range add {
		if name == "" || strings.ContainsAny(name, " \t\r\n") {
			return fmt.Errorf("invalid header name %q", name)
		}
	}
	if *h.to == nil {
		*h.to = http.Header{}
	}
	for name, values := range add {
		(*h.to)[name] = append((*h.to)[name], values...)
	}
	return nil
}

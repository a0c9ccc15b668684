package webhook

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Identity says as whom the API server asks a webhook, by the host that it is at. It is made of a kubeconfig whose users are named
// after hosts.
type Identity struct{ users clientcmdapi.Config }

// NewIdentity makes it. Users whose credentials come from other programs are refused.
func NewIdentity(c clientcmdapi.Config) (*Identity, error) {
	for name, u := range c.AuthInfos {
		if u.Exec != nil || u.AuthProvider != nil {
			return nil, fmt.Errorf("user %q: credentials that a program makes are not supported", name)
		}
	}
	return &Identity{users: c}, nil
}

// credentials are what is shown to one webhook; nil for nothing.
type credentials struct {
	token, tokenFile, user, password string
	pair                             *tls.Certificate
}

// Askers say as whom each plugin asks webhooks; nil: as nobody.
type Askers struct{ Mutating, Validating *Identity }

// ReadAskers reads the kubeconfigs of the plugins, by the plugins' names.
func ReadAskers(files map[string]string) (out Askers, err error) {
	if out.Mutating, err = readIdentity(files["MutatingAdmissionWebhook"]); err == nil {
		out.Validating, err = readIdentity(files["ValidatingAdmissionWebhook"])
	}
	return out, err
}

func readIdentity(file string) (*Identity, error) {
	if file == "" {
		return nil, nil
	}
	c, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	// Files that a kubeconfig names are beside it.
	if err := clientcmd.ResolveLocalPaths(c); err != nil {
		return nil, err
	}
	return NewIdentity(*c)
}

// forHost finds the user for HOST:PORT: of that name, of "*." and the end of the host, the same without port 443, "*", and last
// that of the current context.
func (i *Identity) forHost(target string) (*credentials, error) {
	if i == nil {
		return nil, nil
	}
	names := wildcards(target)
	if host, port, err := net.SplitHostPort(target); err == nil && port == "443" {
		names = append(names, wildcards(host)...)
	}
	names = append(names, "*")
	if c := i.users.Contexts[i.users.CurrentContext]; c != nil && c.AuthInfo != "" {
		names = append(names, c.AuthInfo)
	}
	for _, name := range names {
		if u := i.users.AuthInfos[name]; u != nil {
			return credentialsOf(u)
		}
	}
	return nil, nil
}

func wildcards(target string) []string {
	names := []string{target}
	for parts := strings.Split(target, "."); len(parts) > 1; {
		parts = parts[1:]
		names = append(names, "*."+strings.Join(parts, "."))
	}
	return names
}

func credentialsOf(u *clientcmdapi.AuthInfo) (*credentials, error) {
	c := &credentials{token: u.Token, tokenFile: u.TokenFile, user: u.Username, password: u.Password}
	cert, key := u.ClientCertificateData, u.ClientKeyData
	var err error
	if len(cert) == 0 && u.ClientCertificate != "" {
		if cert, err = os.ReadFile(u.ClientCertificate); err != nil {
			return nil, err
		}
	}
	if len(key) == 0 && u.ClientKey != "" {
		if key, err = os.ReadFile(u.ClientKey); err != nil {
			return nil, err
		}
	}
	if len(cert) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		c.pair = &pair
	}
	return c, nil
}

// show has the certificate shown to whoever asks for one.
func (c *credentials) show(conf *tls.Config) {
	if c != nil && c.pair != nil {
		conf.Certificates = []tls.Certificate{*c.pair}
	}
}

// sign puts what is no certificate into a request. A token's file is read each time: it is written anew before the token expires.
func (c *credentials) sign(r *http.Request) error {
	if c == nil {
		return nil
	}
	token := c.token
	if c.tokenFile != "" {
		data, err := os.ReadFile(c.tokenFile)
		if err != nil && token == "" {
			return err
		}
		if err == nil {
			token = strings.TrimSpace(string(data))
		}
	}
	switch {
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	case c.user != "":
		r.SetBasicAuth(c.user, c.password)
	}
	return nil
}

//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/pki"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestComponents runs the scripts on six processes of our one binary that know each other by upstream's flags, files,
// kubeconfigs and certificates alone.
func TestComponents(t *testing.T) {
	t.Parallel()
	p := newParts(t, "")
	p.start(t, "cloud-controller-manager")
	t.Run("ports", func(t *testing.T) { p.faces(t) })
	params := testscript.Params{
		Setup: p.setup,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually, "background": background},
		// Volumes for claims are what up adds to upstream's controllers.
		Condition: func(string) (bool, error) { return false, nil },
	}
	t.Run("together", func(t *testing.T) {
		params.Dir = "testdata"
		testscript.Run(t, params)
	})
	t.Run("alone", func(t *testing.T) {
		params.Dir = "testdata/serial"
		testscript.Run(t, params)
	})
	t.Run("restart", func(t *testing.T) {
		// Each is ended and started again while the others run.
		for _, name := range []string{"kube-apiserver", "kube-scheduler", "kube-controller-manager", "cloud-controller-manager", "kubelet", "kube-proxy"} {
			p.swap(t, name, false)
		}
		if err := p.works(t, "again"); err != nil {
			t.Error(err)
		}
	})
}

// faces asks what the scheduler and the controller manager show, as nobody and as an administrator.
func (p *parts) faces(t *testing.T) {
	admin, err := p.pki.CA.Issue(pki.Request{CommonName: "boss", Organization: []string{"system:masters"}, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.pki.CA.Cert)
	// Both show a certificate that they made for themselves, as upstream's do.
	nobody := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	boss := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*admin}}}}
	for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
		for _, c := range []struct {
			as     *http.Client
			path   string
			status int
			want   string
		}{
			{nobody, "/healthz", 200, "ok"}, {nobody, "/livez", 200, "ok"}, {nobody, "/readyz", 200, "ok"},
			{nobody, "/metrics", 401, ""}, {nobody, "/configz", 401, ""},
			{boss, "/metrics", 200, "kubernetes_build_info"}, {boss, "/configz", 200, "leaderElect"}, {boss, "/healthz?verbose", 200, "[+]ping ok"},
		} {
			until(t, 20*time.Second, name+c.path, func() error {
				resp, err := c.as.Get("https://127.0.0.1:" + p.ports[name] + c.path)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != c.status || !strings.Contains(string(body), c.want) {
					return fmt.Errorf("%d %s, want %d with %q", resp.StatusCode, body, c.status, c.want)
				}
				return nil
			})
		}
	}
}

package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/control"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/pki"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const name = "kube-controller-manager"

// Manager makes what control runs of the flags, without a way to the API server and the kinds that it serves. Errors are of the
// command line.
func (c *Config) Manager(log *slog.Logger) (control.Config, error) {
	out := control.Config{
		Log: log, Controllers: c.Controllers, TerminatedPodThreshold: int(c.TerminatedPodThreshold), Autoscale: c.Autoscale, Attach: c.Attach,
		NodeLifecycle: nodes.LifecycleConfig{MonitorGrace: c.MonitorGrace, StartupGrace: c.StartupGrace, EvictionRate: c.EvictionRate,
			SecondaryRate: c.SecondaryRate, LargeCluster: int(c.LargeCluster), Unhealthy: c.Unhealthy},
		Serving: identity.ServingPolicy{Domain: "cluster.local", Never: append(c.ServiceCIDRs, c.ClusterCIDRs...)},
		Signer:  identity.SignerConfig{Life: c.SignFor, Of: map[string]*pki.Authority{}},
	}
	if out.Controllers == nil {
		out.Controllers = []string{} // none, as upstream reads it; to control, nil is all
	}
	if c.TerminatedPodThreshold <= 0 {
		out.TerminatedPodThreshold = -1 // upstream's "none are deleted"
	}
	if c.AllocateNodeCIDRs {
		if len(c.ClusterCIDRs) == 0 {
			return out, errors.New("--allocate-node-cidrs: --cluster-cidr is needed")
		}
		out.NodeIPAM = nodes.IPAMConfig{ClusterCIDRs: c.ClusterCIDRs, ServiceCIDRs: c.ServiceCIDRs}
		for _, p := range c.ClusterCIDRs {
			out.NodeIPAM.MaskSizes = append(out.NodeIPAM.MaskSizes, c.mask(p.Addr().Is4()))
		}
	}
	var err error
	if c.RootCAFile != "" {
		if out.RootCA, err = os.ReadFile(c.RootCAFile); err != nil {
			return out, fmt.Errorf("--root-ca-file: %w", err)
		}
		if _, err := pki.ParseCertificates(out.RootCA); err != nil {
			return out, fmt.Errorf("--root-ca-file: error parsing %s: %w", c.RootCAFile, err)
		}
	}
	out.UnusedTokens = c.UnusedTokens
	if c.UnusedTokens <= 0 {
		return out, fmt.Errorf("--legacy-service-account-token-clean-up-period: invalid CleanUpPeriod: %v", c.UnusedTokens)
	}
	if c.TokenKeyFile != "" {
		data, err := os.ReadFile(c.TokenKeyFile)
		if err == nil {
			out.TokenKey, err = pki.ParsePrivateKey(data)
		}
		if err != nil {
			return out, fmt.Errorf("--service-account-private-key-file: error reading key for service account token controller: %w", err)
		}
	}
	if out.Signer.Authority, err = c.Signing.read("--cluster-signing-cert-file"); err != nil {
		return out, err
	}
	for _, s := range []struct {
		signer, flag string
		files        pairOfFiles
	}{
		{certificatesv1.KubeAPIServerClientSignerName, "--cluster-signing-kube-apiserver-client-cert-file", c.signAPIServer},
		{certificatesv1.KubeAPIServerClientKubeletSignerName, "--cluster-signing-kubelet-client-cert-file", c.signKubelet},
		{certificatesv1.KubeletServingSignerName, "--cluster-signing-kubelet-serving-cert-file", c.signServing},
		{identity.LegacyUnknownSigner, "--cluster-signing-legacy-unknown-cert-file", c.signLegacy},
	} {
		a, err := s.files.read(s.flag)
		if err != nil {
			return out, err
		}
		if a != nil {
			out.Signer.Of[s.signer] = a
		}
	}
	return out, nil
}

// mask is the size of a node's range in a family; 0 leaves it to the controller.
func (c *Config) mask(v4 bool) int {
	switch {
	case c.Mask != 0 && len(c.ClusterCIDRs) == 1:
		return int(c.Mask)
	case v4:
		return int(c.Mask4)
	}
	return int(c.Mask6)
}

func (f pairOfFiles) read(flag string) (*pki.Authority, error) {
	if f.Cert == "" && f.Key == "" {
		return nil, nil
	}
	a, err := pki.ReadAuthority(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return a, nil
}

// Run runs the controllers until ctx ends.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	cfg, err := c.Manager(log)
	if err != nil {
		return flag.Usage{Err: err}
	}
	p := Program{Name: name, Contact: c.Contact, Lead: c.Lead, Migration: c.Migration, Face: c.Face, Gates: &c.Gates, OwnAccounts: c.OwnAccounts,
		Configz: func() (string, any) { return "kubecontrollermanager.config.k8s.io", c.configz() },
		Flags:   func() map[string]string { return c.Table().Values() }}
	return p.Run(ctx, cfg)
}

// configz shows what was chosen, with the names of KubeControllerManagerConfiguration.
func (c *Config) configz() any {
	return map[string]any{
		"Generic":         map[string]any{"Controllers": c.Controllers, "LeaderElection": map[string]any{"leaderElect": c.Lead.Elect, "resourceName": c.Lead.Name, "resourceNamespace": c.Lead.Namespace}},
		"KubeCloudShared": map[string]any{"AllocateNodeCIDRs": c.AllocateNodeCIDRs, "UseServiceAccountCredentials": c.OwnAccounts},
	}
}

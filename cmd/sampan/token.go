package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/spf13/cobra"
)

// joinToken is what a new node is given: which authority to believe, and a bootstrap token. Its text form is
// "sha256:HEX::ID.SECRET". The hash lets the node refuse a false server before it sends anything secret.
type joinToken struct {
	hash  string
	token pki.BootstrapToken
}

func (t joinToken) String() string { return t.hash + "::" + t.token.String() }

func parseJoinToken(s string) (joinToken, error) {
	hash, token, ok := strings.Cut(s, "::")
	if !ok || !strings.HasPrefix(hash, "sha256:") {
		return joinToken{}, fmt.Errorf("a token looks like sha256:HASH::ID.SECRET; 'sampan token' on the server makes one")
	}
	t, err := pki.ParseBootstrapToken(token)
	return joinToken{hash, t}, err
}

// createToken stores a bootstrap token that nodes may join with for ttl.
func createToken(ctx context.Context, door client.Writer, ttl time.Duration) (pki.BootstrapToken, error) {
	t := pki.NewBootstrapToken()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + t.ID},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id":                       t.ID,
			"token-secret":                   t.Secret,
			"expiration":                     time.Now().Add(ttl).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true",
			"usage-bootstrap-signing":        "true",
			"auth-extra-groups":              "system:bootstrappers:kubeadm:default-node-token",
		},
	}
	_, err := client.Create(ctx, door, client.Secrets, secret)
	return t, err
}

// serverAddress is where other machines reach the API server, which it publishes as the endpoint of the Service kubernetes. It is
// left open where that says nothing.
func serverAddress(ctx context.Context, door client.Reader, local string) string {
	slice, err := client.Get[*discoveryv1.EndpointSlice](ctx, door, client.EndpointSlices, metav1.NamespaceDefault, "kubernetes")
	if err == nil && len(slice.Endpoints) > 0 && len(slice.Endpoints[0].Addresses) > 0 && len(slice.Ports) > 0 && slice.Ports[0].Port != nil {
		return net.JoinHostPort(slice.Endpoints[0].Addresses[0], strconv.Itoa(int(*slice.Ports[0].Port)))
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(local, "https://"))
	return net.JoinHostPort("ADDRESS", port)
}

func tokenCommand() *cobra.Command {
	cfg := config.Default()
	ttl := 24 * time.Hour
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token that another machine joins with, and print the command for it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := check(&cfg); err != nil {
				return err
			}
			rest, err := clientcmd.BuildConfigFromFlags("", cfg.Paths().Kubeconfig)
			if err != nil {
				return fmt.Errorf("is there a cluster in %s? %w", cfg.DataDir, err)
			}
			door, err := remote.New(rest)
			if err != nil {
				return err
			}
			authority, err := pki.ParseCertificates(rest.CAData)
			if err != nil || len(authority) == 0 {
				return fmt.Errorf("the kubeconfig has no certificate authority: %w", err)
			}
			token, err := createToken(cmd.Context(), door, ttl)
			if err != nil {
				return fmt.Errorf("store the token: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sampan agent --server https://%s --token %s --cluster-cidr %s --service-cidr %s\n",
				serverAddress(cmd.Context(), door, rest.Host), joinToken{pki.PublicKeyHash(authority[0]), token}, cfg.ClusterCIDR, cfg.ServiceCIDR)
			return nil
		},
	}
	placeFlags(cmd.Flags(), &cfg)
	cmd.Flags().DurationVar(&ttl, "ttl", ttl, "how long the token is good")
	return cmd
}

package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s.io/client-go/tools/clientcmd"
)

// Identity is who a kubeconfig speaks for.
type Identity struct {
	File   string // its conventional file name: "admin.conf"
	User   string // common name
	Groups []string
}

// The identities that kubeadm writes kubeconfigs for.
var (
	Admin             = Identity{"admin.conf", "kubernetes-admin", []string{ClusterAdmins}}
	SuperAdmin        = Identity{"super-admin.conf", "kubernetes-super-admin", []string{"system:masters"}}
	ControllerManager = Identity{"controller-manager.conf", "system:kube-controller-manager", nil}
	Scheduler         = Identity{"scheduler.conf", "system:kube-scheduler", nil}
	Proxy             = Identity{"kube-proxy.conf", "system:kube-proxy", nil}
)

// KubeletIdentity is the identity of a node's kubelet.
func KubeletIdentity(node string) Identity {
	return Identity{"kubelet.conf", "system:node:" + node, []string{"system:nodes"}}
}

// Kubeconfig describes one file to be.
type Kubeconfig struct {
	Server  string // "https://192.0.2.1:6443"
	CA      []byte // PEM
	Cluster string // name of the cluster entry; default "sampan"
	Context string // name of the context; default USER@CLUSTER
	User    string

	Cert, Key []byte // PEM; or
	Token     string
}

// Encode returns the file's content.
func (k Kubeconfig) Encode() ([]byte, error) { return clientcmd.Write(*k.Config()) }

// Config returns it as client-go's structure, for merging into a file that a person keeps.
func (k Kubeconfig) Config() *clientcmdapi.Config {
	if k.Cluster == "" {
		k.Cluster = "sampan"
	}
	if k.Context == "" {
		k.Context = k.User + "@" + k.Cluster
	}
	c := clientcmdapi.NewConfig()
	c.Clusters[k.Cluster] = &clientcmdapi.Cluster{Server: k.Server, CertificateAuthorityData: k.CA}
	c.AuthInfos[k.User] = &clientcmdapi.AuthInfo{ClientCertificateData: k.Cert, ClientKeyData: k.Key, Token: k.Token}
	c.Contexts[k.Context] = &clientcmdapi.Context{Cluster: k.Cluster, AuthInfo: k.User}
	c.CurrentContext = k.Context
	return c
}

// IssueKubeconfig makes a client certificate for id and returns the kubeconfig that carries it.
func (s *Store) IssueKubeconfig(id Identity, server, cluster string) (Kubeconfig, error) {
	cert, err := s.CA.Issue(Request{CommonName: id.User, Organization: id.Groups, Client: true})
	if err != nil {
		return Kubeconfig{}, err
	}
	certPEM, keyPEM, err := NewPair(cert).PEM()
	if err != nil {
		return Kubeconfig{}, err
	}
	return Kubeconfig{Server: server, CA: s.CA.PEM(), Cluster: cluster, User: id.User, Cert: certPEM, Key: keyPEM}, nil
}

// EnsureKubeconfig writes id's kubeconfig to path (0600) unless a good one is there: same server, same authority, same
// subject, and more than a third of its life left.
func (s *Store) EnsureKubeconfig(path string, id Identity, server, cluster string) error {
	if s.goodKubeconfig(path, id, server) {
		return nil
	}
	k, err := s.IssueKubeconfig(id, server, cluster)
	if err != nil {
		return err
	}
	data, err := k.Encode()
	if err != nil {
		return fmt.Errorf("encode kubeconfig %s: %w", path, err)
	}
	if err := WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}

func (s *Store) goodKubeconfig(path string, id Identity, server string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	c, err := clientcmd.Load(data)
	if err != nil {
		return false
	}
	ctx := c.Contexts[c.CurrentContext]
	if ctx == nil || c.Clusters[ctx.Cluster] == nil || c.AuthInfos[ctx.AuthInfo] == nil {
		return false
	}
	cl, auth := c.Clusters[ctx.Cluster], c.AuthInfos[ctx.AuthInfo]
	if cl.Server != server || !bytes.Equal(cl.CertificateAuthorityData, s.CA.PEM()) {
		return false
	}
	return s.goodClient(auth.ClientCertificateData, auth.ClientKeyData, id)
}

// EnsureClient writes a client certificate of id and its key to path (0600), in one PEM file as kubelets keep theirs, unless a good
// one is there: same authority, same subject, and more than a third of its life left.
func (s *Store) EnsureClient(path string, id Identity) error {
	if data, err := os.ReadFile(path); err == nil && s.goodClient(data, data, id) {
		return nil
	}
	cert, err := s.CA.Issue(Request{CommonName: id.User, Organization: id.Groups, Client: true})
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := NewPair(cert).PEM()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = WriteFile(path, append(certPEM, keyPEM...), 0o600)
	}
	if err != nil {
		return fmt.Errorf("client certificate of %s: %w", id.User, err)
	}
	return nil
}

func (s *Store) goodClient(cert, key []byte, id Identity) bool {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.Subject.CommonName != id.User || !slices.Equal(leaf.Subject.Organization, id.Groups) || leaf.CheckSignatureFrom(s.CA.Cert) != nil {
		return false
	}
	return time.Until(leaf.NotAfter) > leaf.NotAfter.Sub(leaf.NotBefore)/3
}

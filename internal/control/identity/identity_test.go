package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/hub/hubtest"
	"sampan.dev/internal/pki"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type csr = certificatesv1.CertificateSigningRequest

// start runs controllers with their own accounts' doors until the test ends.
func start(t *testing.T, h *hubtest.Hub, make map[string]func(loop.Env) loop.Runner) {
	t.Helper()
	for account, fn := range make {
		account, _, _ = strings.Cut(account, "/")
		env := loop.Env{Name: account, Door: h.As(api.ServiceAccount("kube-system", account, "")), Informers: h.Informers, Log: slog.New(slog.DiscardHandler)}
		c, done := fn(env), channel()
		go func() { _ = c.Run(t.Context()); close(done) }()
		t.Cleanup(func() { <-done })
	}
}

func channel() chan struct{} { return make(chan struct{}) }

func TestServiceAccountAndRootCA(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	start(t, h, map[string]func(loop.Env) loop.Runner{
		"service-account-controller": identity.NewServiceAccount,
		"root-ca-cert-publisher":     func(e loop.Env) loop.Runner { return identity.NewRootCA(e, []byte("BUNDLE")) },
	})
	if _, err := client.Create(ctx, h.Root, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}); err != nil {
		t.Fatal(err)
	}
	sa := func() bool {
		_, err := client.Get[*corev1.ServiceAccount](ctx, h.Root, client.ServiceAccounts, "new", "default")
		return err == nil
	}
	ca := func() bool {
		cm, err := client.Get[*corev1.ConfigMap](ctx, h.Root, client.ConfigMaps, "new", "kube-root-ca.crt")
		return err == nil && len(cm.Data) == 1 && cm.Data["ca.crt"] == "BUNDLE" && cm.Annotations["kubernetes.io/description"] != ""
	}
	hubtest.Eventually(t, sa)
	hubtest.Eventually(t, ca)
	if err := client.Delete(ctx, h.Root, client.ServiceAccounts, "new", "default", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := client.MergePatch(ctx, h.Root, client.Ref{Resource: client.ConfigMaps, Namespace: "new", Name: "kube-root-ca.crt"},
		map[string]any{"data": map[string]string{"ca.crt": "forged", "more": "x"}}); err != nil {
		t.Log("no patches here:", err)
		cm, _ := client.Get[*corev1.ConfigMap](ctx, h.Root, client.ConfigMaps, "new", "kube-root-ca.crt")
		cm = cm.DeepCopy()
		cm.Data["ca.crt"] = "forged"
		if _, err := client.Update(ctx, h.Root, client.ConfigMaps, cm); err != nil {
			t.Fatal(err)
		}
	}
	hubtest.Eventually(t, sa)
	hubtest.Eventually(t, ca)
}

func request(t *testing.T, name, signer, cn string, orgs []string, dns []string, ips []string, usages ...certificatesv1.KeyUsage) *csr {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn, Organization: orgs}, DNSNames: dns}
	for _, ip := range ips {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return &csr{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Usages: usages, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
	}}
}

func TestKubeletCertificates(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	ca, err := pki.NewAuthority("kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	kubelets, err := pki.NewAuthority("kubelet-ca")
	if err != nil {
		t.Fatal(err)
	}
	start(t, h, map[string]func(loop.Env) loop.Runner{
		"certificate-controller/a": func(e loop.Env) loop.Runner { return identity.NewApprover(e, identity.ServingPolicy{}) },
		"certificate-controller/s": func(e loop.Env) loop.Runner {
			return identity.NewSigner(e, identity.SignerConfig{Authority: ca, Kubelets: kubelets})
		},
	})
	const sig, enc, cl, srv = certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth, certificatesv1.UsageServerAuth
	const kubelet, serving = certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	nodes := []string{"system:nodes"}
	joiner := api.User{Name: "system:bootstrap:abcdef", Groups: []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"}}
	anyone := api.User{Name: "ann", Groups: []string{"system:bootstrappers", "system:authenticated"}}

	send := func(as api.User, c *csr) {
		t.Helper()
		if _, err := client.Create(ctx, h.As(as), client.CSRs, c); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	get := func(name string) *csr {
		c, err := client.Get[*csr](ctx, h.Root, client.CSRs, "", name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	issued := func(name string) *x509.Certificate {
		t.Helper()
		hubtest.Eventually(t, func() bool { return len(get(name).Status.Certificate) > 0 })
		certs, err := pki.ParseCertificates(get(name).Status.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		signer := ca
		if get(name).Spec.SignerName == serving {
			signer = kubelets // whom pods do not believe
		}
		if err := certs[0].CheckSignatureFrom(signer.Cert); err != nil {
			t.Error(err)
		}
		return certs[0]
	}

	if err := h.Root.Delete(ctx, client.Ref{Resource: client.ClusterRoleBindings, Name: "kubeadm:get-nodes"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// anyone may ask (as a bootstrapper) but is not in the group whose requests are approved.
	if _, err := client.Create(ctx, h.Root, client.ClusterRoleBindings, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "ann"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-bootstrapper"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "ann"}},
	}); err != nil {
		t.Fatal(err)
	}
	h.Settle(t)

	forged := request(t, "joining", kubelet, "system:node:n1", nodes, nil, nil, sig, cl)
	forged.Spec.Username, forged.Spec.Groups = "system:admin", []string{"system:masters"}
	send(joiner, forged)
	if c := get("joining"); c.Spec.Username != joiner.Name || c.Spec.Groups[0] != "system:bootstrappers" {
		t.Errorf("the request says it comes from %s %v", c.Spec.Username, c.Spec.Groups)
	}
	cert := issued("joining")
	if cert.Subject.CommonName != "system:node:n1" || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || cert.IsCA {
		t.Errorf("%v", cert)
	}
	if c := get("joining"); c.Status.Conditions[0].Message != "Auto approving kubelet client certificate after SubjectAccessReview." || c.Status.Conditions[0].Reason != "AutoApproved" {
		t.Errorf("%v", c.Status.Conditions)
	}
	n1 := api.Node("n1")
	renewal := request(t, "renewal", kubelet, "system:node:n1", nodes, nil, nil, sig, enc, cl)
	short := int32(600)
	renewal.Spec.ExpirationSeconds = &short
	send(n1, renewal)
	if life := time.Until(issued("renewal").NotAfter); life > 11*time.Minute {
		t.Errorf("it lives %v", life)
	}

	// None of these may be approved.
	send(anyone, request(t, "stranger", kubelet, "system:node:n1", nodes, nil, nil, sig, cl))
	send(joiner, request(t, "masters", kubelet, "system:node:n1", []string{"system:nodes", "system:masters"}, nil, nil, sig, cl))
	send(joiner, request(t, "names", kubelet, "system:node:n1", nodes, []string{"kubernetes"}, nil, sig, cl))
	send(joiner, request(t, "usages", kubelet, "system:node:n1", nodes, nil, nil, sig, cl, srv))
	from := func(c *csr, at string) *csr {
		c.Spec.Extra = map[string]certificatesv1.ExtraValue{api.ExtraSourceAddress: {at}}
		return c
	}
	sendFrom := func(as api.User, at string, c *csr) {
		t.Helper()
		if _, err := client.Create(ctx, h.From(as, at), client.CSRs, c); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	sendFrom(n1, "192.0.2.11:55555", request(t, "early", serving, "system:node:n1", nodes, []string{"n1"}, []string{"192.0.2.11"}, sig, srv))
	if _, err := client.Create(ctx, h.As(n1), client.CSRs, request(t, "other-node", kubelet, "system:node:n2", nodes, nil, nil, sig, cl)); err == nil ||
		!strings.HasSuffix(err.Error(), "can only create a node CSR with CN=system:node:n1") {
		t.Errorf("a node asked for another's certificate: %v", err)
	}
	put := func(name, ip string) {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		made, err := client.Create(ctx, h.Root, client.Nodes, n)
		if err != nil {
			t.Fatal(err)
		}
		made = made.DeepCopy()
		made.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}, {Type: corev1.NodeHostName, Address: name}}
		if _, err := client.UpdateStatus(ctx, h.Root, client.Nodes, made); err != nil {
			t.Fatal(err)
		}
	}
	put("n1", "192.0.2.11")
	put("n2", "192.0.2.12")
	if c := issued("early"); c.VerifyHostname("192.0.2.11") != nil || c.VerifyHostname("n1") != nil {
		t.Error("the serving certificate lacks its names")
	}
	sendFrom(n1, "192.0.2.11:5", request(t, "foreign-ip", serving, "system:node:n1", nodes, nil, []string{"192.0.2.12"}, sig, srv))
	// What its Node says and what the request itself says of where it comes from is the node's own word.
	sendFrom(n1, "192.0.2.99:5", request(t, "moved", serving, "system:node:n1", nodes, nil, []string{"192.0.2.11"}, sig, srv))
	sendFrom(n1, "192.0.2.99:5", from(request(t, "forged-source", serving, "system:node:n1", nodes, nil, []string{"192.0.2.11"}, sig, srv), "192.0.2.11"))
	send(n1, from(request(t, "forged-inside", serving, "system:node:n1", nodes, nil, []string{"192.0.2.11"}, sig, srv), "192.0.2.11"))
	sendFrom(n1, "[::ffff:192.0.2.11]:5", request(t, "mapped", serving, "system:node:n1", nodes, nil, []string{"192.0.2.11"}, sig, srv))
	issued("mapped") // a listener for both families writes the source so
	send(n1, request(t, "foreign-name", serving, "system:node:n1", nodes, []string{"kubernetes.default.svc"}, nil, sig, srv))
	time.Sleep(50 * time.Millisecond)
	for _, name := range []string{"stranger", "masters", "names", "usages", "foreign-ip", "foreign-name", "moved", "forged-source", "forged-inside"} {
		if c := get(name); len(c.Status.Conditions) > 0 || len(c.Status.Certificate) > 0 {
			t.Errorf("%s: %v", name, c.Status.Conditions)
		}
	}

	// Approved by a person, refused by the signer.
	c := get("usages").DeepCopy()
	c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Person"}}
	if _, err := h.Root.Update(ctx, client.Ref{Resource: client.CSRs, Name: "usages", Subresource: "approval"}, c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	hubtest.Eventually(t, func() bool { return len(get("usages").Status.Conditions) == 2 })
	if x := get("usages").Status.Conditions[1]; x.Type != certificatesv1.CertificateFailed || x.Message != "usages did not match [client auth digital signature key encipherment]" {
		t.Errorf("%v", x)
	}
}

func TestAggregation(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	before, err := client.Get[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", "view")
	if err != nil {
		t.Fatal(err)
	}
	start(t, h, map[string]func(loop.Env) loop.Runner{"clusterrole-aggregation-controller": identity.NewAggregator})
	rule := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{"boats.example.org"}, Resources: []string{"junks"}}
	if _, err := client.Create(ctx, h.Root, client.ClusterRoles, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "view-junks", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, Rules: []rbacv1.PolicyRule{rule},
	}); err != nil {
		t.Fatal(err)
	}
	holds := func(name string) bool {
		r, err := client.Get[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range r.Rules {
			if x.Resources != nil && x.Resources[0] == "junks" {
				return true
			}
		}
		return false
	}
	for _, name := range []string{"view", "edit", "admin"} {
		hubtest.Eventually(t, func() bool { return holds(name) })
	}
	// The rules are applied, so that others may hold the rest of the role.
	view, _ := client.Get[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", "view")
	if !slices.ContainsFunc(view.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == "clusterrole-aggregation-controller" && m.Operation == metav1.ManagedFieldsOperationApply
	}) {
		t.Errorf("managed by %v", view.ManagedFields)
	}
	if err := client.Delete(ctx, h.Root, client.ClusterRoles, "", "view-junks", ""); err != nil {
		t.Fatal(err)
	}
	hubtest.Eventually(t, func() bool { return !holds("view") && !holds("admin") })
	after, _ := client.Get[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", "view")
	if len(after.Rules) != len(before.Rules) {
		t.Errorf("view has %d rules, had %d", len(after.Rules), len(before.Rules))
	}
}

func TestDefaultAggregatesAreComplete(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	start(t, h, map[string]func(loop.Env) loop.Runner{"clusterrole-aggregation-controller": identity.NewAggregator})
	time.Sleep(30 * time.Millisecond)
	l, err := client.ListAll[*rbacv1.ClusterRole](ctx, h.Root, client.ClusterRoles, "", metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range l {
		if r.Generation > 1 || len(r.ManagedFields) > 1 {
			t.Errorf("%s was written again", r.Name)
		}
		if r.AggregationRule != nil && len(r.Rules) == 0 {
			t.Errorf("%s is empty", r.Name)
		}
	}
}

func TestBootstrapTokens(t *testing.T) {
	h := hubtest.New(t)
	h.Boot(t)
	ctx := t.Context()
	start(t, h, map[string]func(loop.Env) loop.Runner{"bootstrap-signer": identity.NewBootstrapSigner, "token-cleaner": identity.NewTokenCleaner})
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-abcdef"}, Type: "bootstrap.kubernetes.io/token",
		Data: map[string][]byte{
			"token-id": []byte("abcdef"), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-signing": []byte("true"),
			"expiration": []byte(time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339)),
		},
	}
	if _, err := client.Create(ctx, h.Root, client.Secrets, secret); err != nil {
		t.Fatal(err)
	}
	data := func() map[string]string {
		cm, err := client.Get[*corev1.ConfigMap](ctx, h.Root, client.ConfigMaps, "kube-public", "cluster-info")
		if err != nil {
			t.Fatal(err)
		}
		return cm.Data
	}
	hubtest.Eventually(t, func() bool {
		return strings.HasPrefix(data()["jws-kubeconfig-abcdef"], "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..")
	})
	hubtest.Eventually(t, func() bool {
		_, err := client.Get[*corev1.Secret](ctx, h.Root, client.Secrets, "kube-system", "bootstrap-token-abcdef")
		return err != nil
	})
	hubtest.Eventually(t, func() bool { return data()["jws-kubeconfig-abcdef"] == "" && data()["kubeconfig"] != "" })
}

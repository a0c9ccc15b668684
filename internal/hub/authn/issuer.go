package authn

import (
	"crypto"
	"fmt"
	"time"

	"sampan.dev/internal/pki"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// The dance around an hour: a pod's projected token asks for 3607 seconds, a number nobody chooses by chance. Such a token
// in fact lives a year and only warns after its hour, for clients that read it once and never again.
const (
	WarnOnlySeconds = 60*60 + 7
	ExtendedSeconds = 365 * 24 * 60 * 60
)

// Claims is what a service account token says.
type Claims struct {
	Account *corev1.ServiceAccount
	// At most one of Pod, Secret and Node binds the token; Node beside Pod is information only.
	Pod    *corev1.Pod
	Secret *corev1.Secret
	Node   *corev1.Node

	Audiences []string
	Life      time.Duration
	WarnAfter time.Duration // zero: never
}

// publicClaims are the registered claims (RFC 7519) as upstream writes them: the audience is always an array. The library's own
// type makes a string of a single one, which readers that index it take apart into letters.
type publicClaims struct {
	Issuer    string           `json:"iss,omitempty"`
	Subject   string           `json:"sub,omitempty"`
	Audience  []string         `json:"aud,omitempty"`
	Expiry    *jwt.NumericDate `json:"exp,omitempty"`
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
	IssuedAt  *jwt.NumericDate `json:"iat,omitempty"`
	ID        string           `json:"jti,omitempty"`
}

type privateClaims struct {
	Kubernetes kubeClaims `json:"kubernetes.io"`
}

type kubeClaims struct {
	Namespace string           `json:"namespace,omitempty"`
	Account   objectRef        `json:"serviceaccount"`
	Pod       *objectRef       `json:"pod,omitempty"`
	Secret    *objectRef       `json:"secret,omitempty"`
	Node      *objectRef       `json:"node,omitempty"`
	WarnAfter *jwt.NumericDate `json:"warnafter,omitempty"`
}

type objectRef struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

// Issuer signs service account tokens.
type Issuer struct {
	URL    string
	signer jose.Signer
}

// NewIssuer makes one that signs with key (RSA or ECDSA) in the name of url.
func NewIssuer(url string, private crypto.Signer) (*Issuer, error) {
	signer, err := pki.TokenSigner(private)
	if err != nil {
		return nil, err
	}
	return &Issuer{URL: url, signer: signer}, nil
}

// Sign makes a token and returns it with its ID (the jti claim).
func (i *Issuer) Sign(c Claims) (token, id string, err error) {
	now := time.Now()
	id = string(uuid.NewUUID())
	public := publicClaims{
		Issuer:    i.URL,
		Subject:   "system:serviceaccount:" + c.Account.Namespace + ":" + c.Account.Name,
		Audience:  c.Audiences,
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		Expiry:    jwt.NewNumericDate(now.Add(c.Life)),
		ID:        id,
	}
	k := kubeClaims{Namespace: c.Account.Namespace, Account: objectRef{c.Account.Name, string(c.Account.UID)}}
	if c.Pod != nil {
		k.Pod = &objectRef{c.Pod.Name, string(c.Pod.UID)}
	}
	if c.Secret != nil {
		k.Secret = &objectRef{c.Secret.Name, string(c.Secret.UID)}
	}
	if c.Node != nil {
		k.Node = &objectRef{c.Node.Name, string(c.Node.UID)}
	}
	if c.WarnAfter != 0 {
		k.WarnAfter = jwt.NewNumericDate(now.Add(c.WarnAfter))
	}
	token, err = jwt.Signed(i.signer).Claims(privateClaims{k}).Claims(public).Serialize()
	if err != nil {
		return "", "", fmt.Errorf("failed to generate token: %w", err)
	}
	return token, id, nil
}

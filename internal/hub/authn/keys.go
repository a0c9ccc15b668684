package authn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Keys are the public keys that verify service account tokens, by key ID.
type Keys struct {
	all  []key
	byID map[string][]key
}

type key struct {
	id     string
	public crypto.PublicKey
	alg    jose.SignatureAlgorithm
}

// NewKeys indexes public keys: RSA (RS256) and ECDSA (ES256, ES384, ES512 by curve).
func NewKeys(public []crypto.PublicKey) (*Keys, error) {
	ks := &Keys{byID: map[string][]key{}}
	for _, p := range public {
		id, err := KeyID(p)
		if err != nil {
			return nil, err
		}
		alg, err := algorithm(p)
		if err != nil {
			return nil, err
		}
		if ks.byID[id] != nil {
			continue // named twice
		}
		k := key{id, p, alg}
		ks.all = append(ks.all, k)
		ks.byID[id] = append(ks.byID[id], k)
	}
	return ks, nil
}

// KeyID is upstream's: the unpadded base64url SHA-256 of the key's SubjectPublicKeyInfo.
func KeyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("failed to serialize public key to DER format: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

func algorithm(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
		return "", fmt.Errorf("unknown curve %s, must be 256, 384, or 521", k.Params().Name)
	}
	return "", fmt.Errorf("unknown public key type %T, must be *rsa.PublicKey or *ecdsa.PublicKey", public)
}

// find returns the keys to try for a key ID; all of them when a token names none.
func (ks *Keys) find(id string) []key {
	if id == "" {
		return ks.all
	}
	return ks.byID[id]
}

// JWKS is the document at /openid/v1/jwks.
func (ks *Keys) JWKS() ([]byte, error) {
	var set jose.JSONWebKeySet
	for _, k := range ks.all {
		set.Keys = append(set.Keys, jose.JSONWebKey{Algorithm: string(k.alg), Key: k.public, KeyID: k.id, Use: "sig"})
	}
	return json.Marshal(set)
}

// OpenIDConfiguration is the document at /.well-known/openid-configuration. jwksURI is where JWKS can be read, usually
// https://ADVERTISED:6443/openid/v1/jwks.
func (ks *Keys) OpenIDConfiguration(issuer, jwksURI string) ([]byte, error) {
	var algs []string
	for _, k := range ks.all {
		if !slices.Contains(algs, string(k.alg)) {
			algs = append(algs, string(k.alg))
		}
	}
	slices.Sort(algs)
	return json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKSURI       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		SigningAlgs   []string `json:"id_token_signing_alg_values_supported"`
	}{issuer, jwksURI, []string{"id_token"}, []string{"public"}, algs})
}

package authn

import (
	"crypto"
	"encoding/json"
	"slices"

	"sampan.dev/internal/pki"

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
		id, err := pki.KeyID(p)
		if err != nil {
			return nil, err
		}
		alg, err := pki.TokenAlgorithm(p)
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

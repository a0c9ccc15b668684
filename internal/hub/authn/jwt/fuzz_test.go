package jwt

import "testing"

func FuzzConfiguration(f *testing.F) {
	for _, s := range []string{"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: [{issuer: {url: https://a, audiences: [b]}, claimMappings: {username: {claim: sub, prefix: ''}}}]\n", "anonymous: {enabled: true}", "{", "kind: AuthenticationConfiguration\napiVersion: apiserver.config.k8s.io/v1\njwt: [{issuer: {url: https://a, audiences: [b]}, claimMappings: {username: {expression: 'claims.sub'}}, claimValidationRules: [{expression: 'claims.x == 1'}]}]\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parse(data) })
}

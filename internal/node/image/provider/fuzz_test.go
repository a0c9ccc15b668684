package provider

import "testing"

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: [{name: a, matchImages: ['*.b.c'], defaultCacheDuration: 1m, apiVersion: credentialprovider.kubelet.k8s.io/v1}]\n"))
	f.Add([]byte("{"))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_, _ = decode(in)
	})
}

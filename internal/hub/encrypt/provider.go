package encrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// Prefixes of what the providers store; the name of the key or of the plugin follows, and a colon.
const (
	prefixCBC       = "k8s:enc:aescbc:v1:"
	prefixGCM       = "k8s:enc:aesgcm:v1:"
	prefixSecretbox = "k8s:enc:secretbox:v1:"
	prefixKMS       = "k8s:enc:kms:v2:"
)

// provider makes one entry of a list of providers. plugin is nil for those that have their keys in the file.
func provider(p apiserver.ProviderConfiguration) (t prefixed, plugin *plugin, err error) {
	switch {
	case p.AESGCM != nil:
		t, err = ring(prefixGCM, "AES", p.AESGCM.Keys, aesKey(newGCM))
	case p.AESCBC != nil:
		t, err = ring(prefixCBC, "AES", p.AESCBC.Keys, aesKey(newCBC))
	case p.Secretbox != nil:
		t, err = ring(prefixSecretbox, "Secretbox", p.Secretbox.Keys, boxKey)
	case p.KMS != nil:
		if plugin, err = newPlugin(p.KMS); err == nil {
			t = prefixed{prefixKMS + p.KMS.Name + ":", plugin}
		}
	case p.Identity != nil:
		t = prefixed{"", identity{}}
	default:
		err = errors.New("provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity")
	}
	return t, plugin, err
}

// ring is a provider with keys of the file: the first writes, each reads what bears its name.
func ring(prefix, what string, keys []apiserver.Key, make func([]byte) (transformer, error)) (prefixed, error) {
	c := &chain{none: fmt.Errorf("no matching key was found for the provided %s transformer", what)}
	for _, k := range keys {
		secret, err := base64.StdEncoding.DecodeString(k.Secret)
		if err != nil {
			return prefixed{}, fmt.Errorf("could not obtain secret for named key %s: %w", k.Name, err)
		}
		t, err := make(secret)
		if err != nil {
			return prefixed{}, fmt.Errorf("error while creating cipher for named key %s: %w", k.Name, err)
		}
		c.of = append(c.of, prefixed{k.Name + ":", t})
	}
	return prefixed{prefix, c}, nil
}

func aesKey(mode func(cipher.Block) (transformer, error)) func([]byte) (transformer, error) {
	return func(key []byte) (transformer, error) {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return mode(block)
	}
}

func boxKey(key []byte) (transformer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("expected key size 32 for secretbox provider, got %v", len(key))
	}
	return box{(*[32]byte)(key)}, nil
}

package encrypt

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/nacl/secretbox"
)

var errShort = errors.New("the stored data was shorter than the required size")

// gcm is AES-GCM with a random nonce, which stands in front: nonce (12 bytes), ciphertext, tag. The key in the store is authenticated.
type gcm struct{ aead cipher.AEAD }

func newGCM(block cipher.Block) (transformer, error) {
	aead, err := cipher.NewGCM(block)
	return gcm{aead}, err
}

func (t gcm) seal(_ context.Context, value, about []byte) ([]byte, error) {
	out := make([]byte, t.aead.NonceSize(), t.aead.NonceSize()+len(value)+t.aead.Overhead())
	rand.Read(out)
	return t.aead.Seal(out, out, value, about), nil
}

func (t gcm) open(_ context.Context, stored, about []byte) ([]byte, bool, error) {
	n := t.aead.NonceSize()
	if len(stored) < n {
		return nil, false, errShort
	}
	value, err := t.aead.Open(nil, stored[:n], stored[n:], about)
	return value, false, err
}

// cbc is AES-CBC: a random initial vector (16 bytes), then the blocks, padded as PKCS #7 says. Nothing is authenticated.
type cbc struct{ block cipher.Block }

func newCBC(block cipher.Block) (transformer, error) { return cbc{block}, nil }

func (t cbc) seal(_ context.Context, value, _ []byte) ([]byte, error) {
	const size = aes.BlockSize
	pad := size - len(value)%size
	out := make([]byte, size, size+len(value)+pad)
	rand.Read(out)
	out = append(out, value...)
	out = append(out, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(t.block, out[:size]).CryptBlocks(out[size:], out[size:])
	return out, nil
}

func (t cbc) open(_ context.Context, stored, _ []byte) ([]byte, bool, error) {
	const size = aes.BlockSize
	if len(stored) < size {
		return nil, false, errShort
	}
	if len(stored)%size != 0 {
		return nil, false, errors.New("the stored data is not a multiple of the block size")
	}
	out := bytes.Clone(stored[size:])
	if len(out) == 0 {
		return nil, false, errPadding
	}
	cipher.NewCBCDecrypter(t.block, stored[:size]).CryptBlocks(out, out)
	pad := int(out[len(out)-1])
	if pad == 0 || pad > len(out) {
		return nil, false, errPadding
	}
	for _, b := range out[len(out)-pad:] {
		if int(b) != pad {
			return nil, false, errors.New("invalid padding on input")
		}
	}
	return out[:len(out)-pad], false, nil
}

var errPadding = errors.New("invalid PKCS7 data (empty or not padded)")

// box is NaCl's secretbox: a random nonce (24 bytes), then the box.
type box struct{ key *[32]byte }

const boxNonce = 24

func (t box) seal(_ context.Context, value, _ []byte) ([]byte, error) {
	var nonce [boxNonce]byte
	rand.Read(nonce[:])
	out := make([]byte, boxNonce, boxNonce+secretbox.Overhead+len(value))
	copy(out, nonce[:])
	return secretbox.Seal(out, value, &nonce, t.key), nil
}

func (t box) open(_ context.Context, stored, _ []byte) ([]byte, bool, error) {
	if len(stored) < boxNonce+secretbox.Overhead {
		return nil, false, errShort
	}
	nonce := [boxNonce]byte(stored)
	value, ok := secretbox.Open(make([]byte, 0, len(stored)), stored[boxNonce:], &nonce, t.key)
	if !ok {
		return nil, false, errors.New("output array was not large enough for encryption") // upstream's words for a wrong key
	}
	return value, false, nil
}

// seeded is AES-GCM under a key of its own for each value, made of a seed by HKDF-SHA256 (expand only) and 32 random bytes, which stand
// in front of what gcm writes. A seed may so be used for any number of values.
type seeded struct{ seed []byte }

const seedSize = 32

func newSeeded(seed []byte) (transformer, error) {
	if len(seed) < seedSize {
		return nil, fmt.Errorf("invalid seed length %d used for key generation", len(seed))
	}
	return seeded{seed}, nil
}

func (t seeded) key(info []byte) (gcm, error) {
	key, err := hkdf.Expand(sha256.New, t.seed, string(info), seedSize)
	if err != nil {
		return gcm{}, fmt.Errorf("failed to KDF expand seed with info: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return gcm{}, err
	}
	aead, err := cipher.NewGCM(block)
	return gcm{aead}, err
}

func (t seeded) seal(ctx context.Context, value, about []byte) ([]byte, error) {
	info := make([]byte, seedSize, seedSize+12+len(value)+16)
	rand.Read(info)
	k, err := t.key(info)
	if err != nil {
		return nil, err
	}
	out, err := k.seal(ctx, value, about)
	return append(info, out...), err
}

func (t seeded) open(ctx context.Context, stored, about []byte) ([]byte, bool, error) {
	if len(stored) < seedSize {
		return nil, false, errShort
	}
	k, err := t.key(stored[:seedSize])
	if err != nil {
		return nil, false, err
	}
	return k.open(ctx, stored[seedSize:], about)
}

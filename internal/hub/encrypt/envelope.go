package encrypt

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// envelope is what stands behind the prefix of a value that a KMS plugin protects: upstream's message EncryptedObject
// (k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2/api.proto).
type envelope struct {
	data []byte // ciphertext under the key that source stands for
	wrapped
}

// wrapped is a data key, or the seed of many, as the plugin has encrypted it.
type wrapped struct {
	keyID       string // of the plugin's own key
	source      []byte
	annotations map[string][]byte
	kind        uint64
}

// Kinds of sources: a key of AES-GCM, which older versions wrote, or a seed (see seeded).
const (
	sourceKey  = 0
	sourceSeed = 1
)

// Most bytes of the parts of an envelope.
const (
	mostKeyID       = 1 << 10
	mostSource      = 1 << 10
	mostAnnotations = 32 << 10
)

func (e *envelope) marshal() []byte {
	b := appendBytes(nil, 1, e.data)
	b = appendBytes(b, 2, []byte(e.keyID))
	b = appendBytes(b, 3, e.source)
	for _, k := range slices.Sorted(maps.Keys(e.annotations)) {
		b = appendBytes(b, 4, appendBytes(appendBytes(nil, 1, []byte(k)), 2, e.annotations[k]))
	}
	if e.kind != 0 {
		b = protowire.AppendTag(b, 5, protowire.VarintType)
		b = protowire.AppendVarint(b, e.kind)
	}
	return b
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func parseEnvelope(b []byte) (*envelope, error) {
	e := &envelope{}
	err := fields(b, func(num protowire.Number, v []byte, n uint64) error {
		switch num {
		case 1:
			e.data = v
		case 2:
			e.keyID = string(v)
		case 3:
			e.source = v
		case 4:
			var key string
			var value []byte
			if err := fields(v, func(num protowire.Number, v []byte, _ uint64) error {
				switch num {
				case 1:
					key = string(v)
				case 2:
					value = v
				}
				return nil
			}); err != nil {
				return err
			}
			if e.annotations == nil {
				e.annotations = map[string][]byte{}
			}
			e.annotations[key] = value
		case 5:
			e.kind = n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(e.data) == 0 {
		return nil, errors.New("encrypted data is empty")
	}
	return e, e.wrapped.validate()
}

// fields calls f with each field of a message: its bytes, or its number.
func fields(b []byte, f func(num protowire.Number, v []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := f(num, v, number); err != nil {
			return err
		}
	}
	return nil
}

// validate applies upstream's limits, in its words.
func (w *wrapped) validate() error {
	switch {
	case w.kind != sourceKey && w.kind != sourceSeed:
		return fmt.Errorf("unknown encryptedDEKSourceType: %d", w.kind)
	case len(w.source) == 0:
		return errors.New("failed to validate encrypted DEK source: encrypted DEK source is empty")
	case len(w.source) > mostSource:
		return fmt.Errorf("failed to validate encrypted DEK source: encrypted DEK source is %d bytes, which exceeds the max size of %d", len(w.source), mostSource)
	}
	if err := validKeyID(w.keyID); err != nil {
		return fmt.Errorf("failed to validate key id: %w", err)
	}
	var errs []error
	size := 0
	for _, k := range slices.Sorted(maps.Keys(w.annotations)) {
		if bad := validation.IsFullyQualifiedDomainName(field.NewPath("annotations"), k); len(bad) > 0 {
			errs = append(errs, bad.ToAggregate())
		}
		size += len(k) + len(w.annotations[k])
	}
	if size > mostAnnotations {
		errs = append(errs, fmt.Errorf("total size of annotations is %d, which exceeds the max size of %d", size, mostAnnotations))
	}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return fmt.Errorf("failed to validate annotations: %w", err)
	}
	return nil
}

func validKeyID(id string) error {
	switch {
	case id == "":
		return errors.New("keyID is empty")
	case len(id) > mostKeyID:
		return fmt.Errorf("keyID is %d bytes, which exceeds the max size of %d", len(id), mostKeyID)
	}
	return nil
}

// id tells sources apart.
func (w *wrapped) id() string {
	e := envelope{wrapped: *w}
	return string(e.marshal())
}

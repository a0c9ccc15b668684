package volume

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/maphash"
	"path"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// longestSelector is how long a label selector of trust bundles may be, as text.
const longestSelector = 100 << 10

// ShowsTrust reports whether a pod's volumes show trust bundles.
func ShowsTrust(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ClusterTrustBundle != nil })
	})
}

// addTrust adds the certificates of a trust bundle, or of all those of a signer that a selector picks, to p.
func (m mounting) addTrust(ctx context.Context, p payload, s *corev1.ClusterTrustBundleProjection, defMode int32) error {
	if m.src.TrustBundles == nil {
		return errors.New("ClusterTrustBundle projection is not supported in static kubelet mode")
	}
	all, err := m.src.TrustBundles(ctx)
	if err != nil {
		return err
	}
	data, err := trustAnchors(all, s)
	if err != nil {
		return err
	}
	p[path.Clean(s.Path)] = m.private(data, defMode)
	return nil
}

// private is a file that only the user of the pod's containers reads, where they have one.
func (m mounting) private(data []byte, defMode int32) file {
	f := file{data: data, mode: defMode, uid: commonUser(m.pod)}
	if f.uid != nil || fsGroup(m.pod) != nil {
		f.mode = 0o600
	}
	return f
}

// trustAnchors are the certificates of the bundles that a projection names, each once, as PEM.
func trustAnchors(all []*certificatesv1.ClusterTrustBundle, s *corev1.ClusterTrustBundleProjection) ([]byte, error) {
	optional := s.Optional != nil && *s.Optional
	var use []*certificatesv1.ClusterTrustBundle
	switch {
	case s.Name != nil:
		i := slices.IndexFunc(all, func(b *certificatesv1.ClusterTrustBundle) bool { return b.Name == *s.Name })
		if i < 0 && optional {
			return []byte{}, nil
		}
		if i < 0 {
			return nil, fmt.Errorf("while getting ClusterTrustBundle: %w",
				apierrors.NewNotFound(schema.GroupResource{Group: "certificates.k8s.io", Resource: "clustertrustbundle"}, *s.Name))
		}
		use = all[i : i+1]
	case s.SignerName != nil:
		selector, err := metav1.LabelSelectorAsSelector(s.LabelSelector) // without one nothing is picked, with an empty one all are
		if err != nil {
			return nil, fmt.Errorf("while parsing label selector: %w", err)
		}
		if n := len(selector.String()); n > longestSelector {
			return nil, fmt.Errorf("label selector length (%d) is larger than %d", n, longestSelector)
		}
		for _, b := range all {
			if b.Spec.SignerName == *s.SignerName && selector.Matches(labels.Set(b.Labels)) {
				use = append(use, b)
			}
		}
		if len(use) == 0 && optional {
			return []byte{}, nil
		}
		if len(use) == 0 {
			return nil, errors.New("combination of signerName and labelSelector matched zero ClusterTrustBundles")
		}
	default:
		return nil, errors.New("ClusterTrustBundle projection requires either name or signerName to be set")
	}
	return anchors(use), nil
}

// shuffled makes the order of certificates another one in each process, so that nobody comes to depend on it.
var shuffled = maphash.MakeSeed()

func anchors(list []*certificatesv1.ClusterTrustBundle) []byte {
	var blocks [][]byte
	for _, b := range list {
		for block, rest := pem.Decode([]byte(b.Spec.TrustBundle)); block != nil; block, rest = pem.Decode(rest) {
			blocks = append(blocks, block.Bytes)
		}
	}
	slices.SortFunc(blocks, func(a, b []byte) int {
		ha, hb := maphash.Bytes(shuffled, a), maphash.Bytes(shuffled, b)
		switch {
		case ha < hb:
			return -1
		case ha > hb:
			return 1
		}
		return bytes.Compare(a, b)
	})
	blocks = slices.CompactFunc(blocks, bytes.Equal)
	out := []byte{}
	for _, der := range blocks {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// addCertificate adds a certificate of the pod's own and its key to p.
func (m mounting) addCertificate(ctx context.Context, p payload, index int, s *corev1.PodCertificateProjection, defMode int32) error {
	if m.src.Certificate == nil {
		return errors.New("pod certificate projection is not supported in static kubelet mode")
	}
	key, chain, err := m.src.Certificate(ctx, m.pod, m.volume.Name, index)
	if err != nil {
		return err
	}
	for at, data := range map[string][]byte{s.CredentialBundlePath: slices.Concat(key, chain), s.KeyPath: key, s.CertificateChainPath: chain} {
		if at != "" {
			p[path.Clean(at)] = m.private(data, defMode)
		}
	}
	return nil
}

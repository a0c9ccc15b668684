package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func (w *warner) volumes(spec *corev1.PodSpec) {
	for i := range spec.Volumes {
		v, path := &spec.Volumes[i], w.spec("volumes").Index(i)
		for _, old := range []struct {
			used      bool
			name, msg string
		}{
			{v.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
			{v.GitRepo != nil, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
			{v.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
			{v.Flocker != nil, "flocker", "deprecated in v1.22, non-functional in v1.25+"},
			{v.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
			{v.Quobyte != nil, "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
			{v.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
			{v.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
			{v.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
		} {
			if old.used {
				w.add(path.Child(old.name), "%s", old.msg)
			}
		}
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			path := path.Child("ephemeral", "volumeClaimTemplate", "spec", "resources")
			r := &v.Ephemeral.VolumeClaimTemplate.Spec.Resources
			w.fraction(path.Child("requests"), r.Requests, corev1.ResourceStorage)
			w.fraction(path.Child("limits"), r.Limits, corev1.ResourceStorage)
		}
	}
	for i := range spec.Volumes {
		w.overlaps(&spec.Volumes[i])
	}
}

// virtualPath is a file that a volume writes, and what it is written from.
type virtualPath struct{ path, source string }

func (p virtualPath) String() string {
	if p.source == "" {
		return fmt.Sprintf("%q", p.path)
	}
	return fmt.Sprintf("%q (%s)", p.path, p.source)
}

// overlaps warns of two files of one volume that would be written to one place, or one beneath the other.
func (w *warner) overlaps(v *corev1.Volume) {
	switch {
	case v.ConfigMap != nil:
		w.overlap(v.Name, fmt.Sprintf("ConfigMap %q", v.ConfigMap.Name), keyPaths(v.ConfigMap.Items, ""))
	case v.Secret != nil:
		w.overlap(v.Name, fmt.Sprintf("Secret %q", v.Secret.SecretName), keyPaths(v.Secret.Items, ""))
	case v.DownwardAPI != nil:
		w.overlap(v.Name, "DownwardAPI", downwardPaths(v.DownwardAPI.Items, ""))
	case v.Projected != nil:
		var paths []virtualPath
		for i := range v.Projected.Sources {
			s := &v.Projected.Sources[i]
			if *s == (corev1.VolumeProjection{}) {
				w.out = append(w.out, fmt.Sprintf("volume %q (Projected) has no sources provided", v.Name))
				continue
			}
			paths = append(paths, projectionPaths(s)...)
		}
		w.overlap(v.Name, "Projected", paths)
	}
}

func projectionPaths(s *corev1.VolumeProjection) []virtualPath {
	switch {
	case s.ConfigMap != nil:
		return keyPaths(s.ConfigMap.Items, fmt.Sprintf("ConfigMap %q", s.ConfigMap.Name))
	case s.Secret != nil:
		return keyPaths(s.Secret.Items, fmt.Sprintf("Secret %q", s.Secret.Name))
	case s.DownwardAPI != nil:
		return downwardPaths(s.DownwardAPI.Items, "DownwardAPI")
	case s.ServiceAccountToken != nil:
		return []virtualPath{{s.ServiceAccountToken.Path, "ServiceAccountToken"}}
	case s.ClusterTrustBundle != nil:
		name := s.ClusterTrustBundle.Name
		if name == nil {
			name = s.ClusterTrustBundle.SignerName
		}
		if name == nil {
			return nil
		}
		return []virtualPath{{s.ClusterTrustBundle.Path, fmt.Sprintf("ClusterTrustBundle %q", *name)}}
	case s.PodCertificate != nil:
		return []virtualPath{
			{s.PodCertificate.CertificateChainPath, "PodCertificate chain"},
			{s.PodCertificate.KeyPath, "PodCertificate key"},
			{s.PodCertificate.CredentialBundlePath, "PodCertificate credential bundle"},
		}
	}
	return nil
}

func keyPaths(items []corev1.KeyToPath, source string) []virtualPath {
	out := make([]virtualPath, len(items))
	for i := range items {
		out[i] = virtualPath{items[i].Path, source}
	}
	return out
}

func downwardPaths(items []corev1.DownwardAPIVolumeFile, source string) []virtualPath {
	out := make([]virtualPath, len(items))
	for i := range items {
		out[i] = virtualPath{items[i].Path, source}
	}
	return out
}

func (w *warner) overlap(volume, description string, paths []virtualPath) {
	for i := range paths {
		paths[i].path = strings.TrimRight(paths[i].path, "/")
	}
	for i, p := range paths {
		for _, q := range paths[:i] {
			if p.path == "" || q.path == "" {
				continue
			}
			if strings.HasPrefix(p.path+"/", q.path+"/") || strings.HasPrefix(q.path+"/", p.path+"/") {
				w.out = append(w.out, fmt.Sprintf("volume %q (%s): overlapping paths: %s with %s", volume, description, p, q))
			}
		}
	}
}

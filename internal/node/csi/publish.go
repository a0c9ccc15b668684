package csi

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"sampan.dev/internal/api/volumes"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// publish has the volume shown to the pod. again says that it is shown already, and that the pod keeps what it has if that fails now.
func (c *caller) publish(ctx context.Context, staged string, again bool) (*publication, error) {
	t := c.t
	secrets, err := c.publishSecrets(ctx)
	if err != nil {
		return nil, err
	}
	attributes, err := c.attributes(ctx, secrets)
	if err != nil {
		return nil, err
	}
	p := &publication{key: t.key, result: Result{Fresh: !again}}
	var path string
	if t.block {
		if path, err = c.deviceFolders(); err != nil {
			return nil, failed("MapVolume.MapPodDevice", "%w", err)
		}
		p.result.Device = path
	} else {
		dir := filepath.Join(c.m.at.volumes(t.user.pod), t.user.spec)
		if err := c.data().save(dir); err != nil {
			return nil, failed("", "mounter.SetUpAt failed to save volume info data: %w", err)
		}
		path = filepath.Join(dir, "mount")
		p.result.Path, p.result.Group = path, t.Group != nil && !c.group && groups(t)
	}
	req := &csipb.NodePublishVolumeRequest{VolumeId: t.key.handle, PublishContext: c.handed, StagingTargetPath: staged, TargetPath: path,
		VolumeCapability: c.capability(t.Group), Readonly: t.ReadOnly, Secrets: secrets, VolumeContext: attributes}
	calling, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if _, err = c.d.api.NodePublishVolume(calling, req); err != nil {
		if final(err) && !again {
			c.dropFolder(path)
		}
		if t.block {
			return nil, &Error{Step: "MapVolume.MapPodDevice", Err: err}
		}
		return nil, &Error{Err: err}
	}
	if t.block {
		if p.result.Device, err = filepath.EvalSymlinks(path); err != nil {
			return nil, failed("MapVolume.MapPodDevice", "%w", err)
		}
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.mu.published[t.user] = p
	return p, nil
}

// data is what the data file beside a pod's mount says.
func (c *caller) data() data {
	return data{Spec: c.t.specName(), Handle: c.t.key.handle, Driver: c.t.key.driver, Node: c.m.cfg.Node,
		Attachment: volumes.AttachmentName(c.t.key.driver, c.t.key.handle, c.m.cfg.Node), Lifecycle: string(c.t.lifecycle)}
}

// dropFolder removes what was made for a mount that did not come to be.
func (c *caller) dropFolder(path string) {
	drop := removeMount
	if c.t.block {
		drop = os.Remove
	}
	if err := drop(path); err != nil && !os.IsNotExist(err) {
		c.m.cfg.Log.Debug("folder of a mount that failed stays", "path", path, "error", err)
	}
}

// publishSecrets are what the driver is handed to publish the volume.
func (c *caller) publishSecrets(ctx context.Context) (map[string]string, error) {
	var ref *corev1.SecretReference
	switch t := c.t; {
	case t.PV != nil:
		ref = t.PV.Spec.CSI.NodePublishSecretRef
	case t.Inline.NodePublishSecretRef != nil:
		ref = &corev1.SecretReference{Namespace: t.Pod.Namespace, Name: t.Inline.NodePublishSecretRef.Name}
	}
	out, err := c.m.secret(ctx, ref)
	if err != nil {
		return nil, failed("", "fetching NodePublishSecretRef %s/%s failed: %w", ref.Namespace, ref.Name, err)
	}
	return out, nil
}

// attributes are the volume's own and, as far as the driver wants to know, who the pod is and tokens of its service account. Tokens go
// among the secrets where the driver says so.
func (c *caller) attributes(ctx context.Context, secrets map[string]string) (map[string]string, error) {
	out := maps.Clone(c.t.context)
	d := c.t.object
	if d == nil {
		return out, nil
	}
	if out == nil {
		out = map[string]string{}
	}
	if d.Spec.PodInfoOnMount != nil && *d.Spec.PodInfoOnMount {
		maps.Copy(out, podInfo(c.t.Pod, c.t.lifecycle))
	}
	if len(d.Spec.TokenRequests) == 0 || c.t.block {
		return out, nil
	}
	tokens := map[string]authv1.TokenRequestStatus{}
	for _, r := range d.Spec.TokenRequests {
		token, err := c.t.Token(ctx, r.Audience, r.ExpirationSeconds, c.t.republishes())
		if err != nil {
			return nil, failed("", "mounter.SetUpAt failed to get service accoount token attributes: %w", err)
		}
		tokens[r.Audience] = token
	}
	text, err := json.Marshal(tokens)
	if err != nil {
		return nil, err
	}
	into := out
	if d.Spec.ServiceAccountTokenInSecrets != nil && *d.Spec.ServiceAccountTokenInSecrets {
		into = secrets
	}
	into["csi.storage.k8s.io/serviceAccount.tokens"] = string(text)
	return out, nil
}

func podInfo(pod *corev1.Pod, lifecycle storagev1.VolumeLifecycleMode) map[string]string {
	return map[string]string{
		"csi.storage.k8s.io/pod.name":            pod.Name,
		"csi.storage.k8s.io/pod.namespace":       pod.Namespace,
		"csi.storage.k8s.io/pod.uid":             string(pod.UID),
		"csi.storage.k8s.io/serviceAccount.name": pod.Spec.ServiceAccountName,
		"csi.storage.k8s.io/ephemeral":           strconv.FormatBool(lifecycle == storagev1.VolumeLifecycleEphemeral),
	}
}

// groups reports whether the kubelet gives the volume's files to the pod's group: as the driver's object says, by default only those of
// a file system that one node writes.
func groups(t *target) bool {
	policy := storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy
	if t.object != nil && t.object.Spec.FSGroupPolicy != nil && *t.object.Spec.FSGroupPolicy != "" {
		policy = *t.object.Spec.FSGroupPolicy
	}
	switch {
	case t.ReadOnly, policy == storagev1.NoneFSGroupPolicy:
		return false
	case policy == storagev1.FileFSGroupPolicy:
		return true
	case t.fsType == "":
		return false
	case t.PV == nil:
		return true
	}
	return slices.ContainsFunc(t.PV.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool {
		return m == corev1.ReadWriteOnce || m == corev1.ReadWriteOncePod
	})
}

package csi

import (
	"context"
	"os"
	"path/filepath"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
)

// stage has a volume staged for the node, once in a run of the kubelet, and returns where.
func (c *caller) stage(ctx context.Context) (string, error) {
	t, s := c.t, c.t.PV.Spec.CSI
	path := c.m.at.global(t.key.driver, t.key.handle)
	meta := filepath.Dir(path)
	if t.block {
		path, meta = c.m.at.blockStaging(t.user.spec), c.m.at.blockData(t.user.spec)
	}
	if c.v.staged {
		return path, nil
	}
	step := "MountDevice"
	if t.block {
		step = "MapVolume.SetUpDevice"
	}
	secrets, err := c.m.secret(ctx, s.NodeStageSecretRef)
	if err != nil {
		return "", failed(step, "fetching NodeStageSecretRef %s/%s failed: %w", s.NodeStageSecretRef.Namespace, s.NodeStageSecretRef.Name, err)
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return "", failed(step, "attacher.MountDevice failed to create dir %q:  %w", path, err)
	}
	d := data{Handle: t.key.handle, Driver: t.key.driver}
	if t.block { // the staging folder's name does not say of which volume
		d.Spec = t.specName()
	}
	if err := d.save(meta); err != nil {
		return "", failed(step, "failed to save volume info data: %w", err)
	}
	calling, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err = c.d.api.NodeStageVolume(calling, &csipb.NodeStageVolumeRequest{VolumeId: t.key.handle, PublishContext: c.handed, StagingTargetPath: path,
		VolumeCapability: c.capability(t.Group), Secrets: secrets, VolumeContext: t.context})
	if err != nil {
		if final(err) && c.alone() {
			c.unstaged()
		}
		return "", &Error{Step: step, Err: err}
	}
	c.v.staged = true
	return path, nil
}

// alone reports whether no pod but this one has the volume.
func (c *caller) alone() bool {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return len(c.v.users) <= 1
}

// unstaged removes what was made for a volume to be staged. What is still mounted stays.
func (c *caller) unstaged() {
	if err := c.m.removeStaging(c.t.key, c.t.user.spec, c.t.block); err != nil {
		c.m.cfg.Log.Debug("staging folder stays", "volume", c.t.key.handle, "error", err)
	}
}

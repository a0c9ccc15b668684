package csi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"k8s.io/apimachinery/pkg/types"
)

// held is what a pod has, or may have, of a volume.
type held struct {
	key
	user
	block, inline bool
	published     bool // something of it is on the disk
}

// Unmount takes away all volumes of a pod. What this run or an earlier one has begun to mount is unmounted, whether that came to its end or not.
func (m *Manager) Unmount(uid types.UID) error {
	list, err := m.holds(uid)
	if err != nil || len(list) == 0 {
		return err
	}
	for _, h := range list {
		err = errors.Join(err, m.unmount(m.life, h))
	}
	if err != nil {
		return err
	}
	for _, dir := range []string{m.at.volumes(uid), m.at.devices(uid), filepath.Dir(m.at.devices(uid))} {
		_ = os.Remove(dir) // the caller looks for what is left
	}
	return nil
}

// holds finds what a pod has: on the disk, and of what this run has begun.
func (m *Manager) holds(uid types.UID) ([]held, error) {
	var out []held
	seen := map[user]bool{}
	names, err := folders(m.at.volumes(uid))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir := filepath.Join(m.at.volumes(uid), name)
		d, ok, err := load(dir)
		if err != nil {
			return nil, err
		}
		if !ok { // the folder was made or is left, and nothing is in it
			if err := removeMount(filepath.Join(dir, "mount")); err != nil {
				return nil, err
			}
			continue
		}
		u := user{uid, name}
		seen[u] = true
		out = append(out, held{key: key{d.Driver, d.Handle}, user: u, published: true, inline: d.Lifecycle == "Ephemeral"})
	}
	if names, err = folders(m.at.devices(uid)); err != nil {
		return nil, err
	}
	for _, name := range names {
		d, ok, err := load(m.at.blockData(name))
		if err != nil {
			return nil, err
		}
		u := user{uid, name}
		seen[u] = true
		out = append(out, held{key: key{d.Driver, d.Handle}, user: u, published: ok, block: true})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.mu.volumes {
		for u := range v.users {
			if u.pod == uid && !seen[u] {
				out = append(out, held{key: k, user: u})
			}
		}
	}
	return out, nil
}

// unmount takes a volume from a pod and, when no other pod of the node has it, from the node.
func (m *Manager) unmount(ctx context.Context, h held) error {
	v := m.known(h)
	if err := v.enter(ctx); err != nil {
		return err
	}
	defer v.leave()
	if h.published {
		if err := m.unpublish(ctx, h); err != nil {
			return err
		}
	}
	if h.block {
		if err := m.removeDevice(h.user); err != nil {
			return err
		}
	}
	if m.others(v, h.user) == 0 {
		if err := m.unstage(ctx, h.key, h.user.spec); err != nil {
			return err
		}
		v.staged, v.size = false, 0 // who waits at the gate has it staged anew
	}
	m.forget(h, v)
	return nil
}

// known is the volume that a pod has; one that is not known is made known, so that it has a gate.
func (m *Manager) known(h held) *volume {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.mu.volumes[h.key]
	if v == nil {
		v = &volume{gate: make(chan struct{}, 1), users: map[user]bool{h.user: true}, restored: true}
		m.mu.volumes[h.key] = v
	}
	return v
}

// others counts the users of a volume but one.
func (m *Manager) others(v *volume, but user) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for u := range v.users {
		if u != but {
			n++
		}
	}
	return n
}

// forget drops a user, and a volume without any. Who waits at the gate has made itself a user already.
func (m *Manager) forget(h held, v *volume) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.published, h.user)
	if delete(v.users, h.user); len(v.users) > 0 {
		return
	}
	delete(m.mu.volumes, h.key)
	if v.attach || v.restored {
		m.cfg.Look()
	}
}

func (m *Manager) unpublish(ctx context.Context, h held) error {
	d, err := m.driver(h.key.driver)
	if err != nil {
		return failed("", "Unmounter.TearDownAt failed to get CSI client: %w", err)
	}
	path := filepath.Join(m.at.volumes(h.user.pod), h.user.spec, "mount")
	if h.block {
		path = filepath.Join(m.at.blockPublish(h.user.spec), string(h.user.pod))
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if _, err := d.api.NodeUnpublishVolume(ctx, &csipb.NodeUnpublishVolumeRequest{VolumeId: h.key.handle, TargetPath: path}); err != nil {
		return failed("", "Unmounter.TearDownAt failed: %w", err)
	}
	if h.block {
		return nil
	}
	if err := removeMount(path); err != nil {
		return failed("", "Unmounter.TearDownAt failed to clean mount dir [%s]: %w", path, err)
	}
	return nil
}

// unstage takes a volume from the node, if anything of it is staged. It is not said how: a file system and a block device have other folders.
func (m *Manager) unstage(ctx context.Context, k key, spec string) error {
	global, block := m.at.global(k.driver, k.handle), m.at.blockStaging(spec)
	for _, s := range []struct {
		path, data string
		block      bool
	}{{global, filepath.Dir(global), false}, {block, m.at.blockData(spec), true}} {
		if _, ok, err := load(s.data); err != nil || !ok {
			if err != nil {
				return err
			}
			continue
		}
		if err := m.callUnstage(ctx, k, s.path); err != nil {
			return err
		}
		if err := m.removeStaging(k, spec, s.block); err != nil {
			return failed("UnmountDevice", "attacher.UnmountDevice failed to clean mount dir [%s]: %w", s.path, err)
		}
	}
	return nil
}

func (m *Manager) callUnstage(ctx context.Context, k key, path string) error {
	d, err := m.driver(k.driver)
	if err != nil {
		return failed("UnmountDevice", "attacher.UnmountDevice failed to create newCsiDriverClient: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	stages, err := d.can(ctx, csipb.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME)
	if err != nil || !stages {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil // it never came to be staged
	}
	if _, err := d.api.NodeUnstageVolume(ctx, &csipb.NodeUnstageVolumeRequest{VolumeId: k.handle, StagingTargetPath: path}); err != nil {
		return failed("UnmountDevice", "attacher.UnmountDevice failed: %w", err)
	}
	return nil
}

// restore learns from the disk which pods have which volumes.
func (m *Manager) restore() error {
	if _, err := os.Stat(m.at.plugin()); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever staged, and nothing else is shared
	}
	pods, err := folders(filepath.Join(string(m.at), "pods"))
	if err != nil {
		return err
	}
	for _, uid := range pods {
		list, err := m.holds(types.UID(uid))
		if err != nil {
			m.cfg.Log.Warn("volumes of a pod not known", "uid", uid, "error", err)
			continue
		}
		for _, h := range list {
			if !h.published {
				continue
			}
			v := m.known(h)
			v.users[h.user] = true
			v.restored = !h.inline
		}
	}
	return nil
}

// tidy unstages what an earlier run left staged and no pod has, now that the driver is there. A pod that is about to have
// such a volume has it staged anew.
func (m *Manager) tidy(ctx context.Context, driver string) {
	type left struct {
		key
		spec string
	}
	var list []left
	names, _ := folders(filepath.Join(m.at.plugin(), driver))
	for _, name := range names {
		if d, ok, err := load(filepath.Join(m.at.plugin(), driver, name)); err == nil && ok {
			list = append(list, left{key{d.Driver, d.Handle}, ""})
		}
	}
	names, _ = folders(m.at.blocks())
	for _, name := range names {
		if d, ok, err := load(m.at.blockData(name)); err == nil && ok && d.Driver == driver {
			list = append(list, left{key{d.Driver, d.Handle}, name})
		}
	}
	for _, l := range list {
		m.mu.Lock()
		used := m.mu.volumes[l.key] != nil
		m.mu.Unlock()
		if used {
			continue
		}
		h := held{key: l.key, user: user{"", l.spec}}
		if err := m.unmount(ctx, h); err != nil {
			m.cfg.Log.Warn("volume stays staged", "driver", driver, "volume", l.key.handle, "error", err)
		}
	}
}

package csi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Request is a volume that a pod is to have: one of its own (Inline), or a persistent one (PV).
type Request struct {
	Pod      *corev1.Pod
	Volume   string // its name in the pod
	Inline   *corev1.CSIVolumeSource
	PV       *corev1.PersistentVolume
	ReadOnly bool   // as the pod asks
	Group    *int64 // that the pod's volumes are to belong to
	// Token asks for a token of the pod's service account; keep says that it will be asked for again and again. nil seconds: the hub's choice.
	Token func(ctx context.Context, audience string, seconds *int64, keep bool) (authv1.TokenRequestStatus, error)
	// Claim reads anew the claim that the volume is given to, and the volume.
	Claim func(ctx context.Context) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error)
}

// Result is a volume that is there.
type Result struct {
	Path   string // of a file system
	Device string // of a block device
	Fresh  bool   // this call has published it
	Group  bool   // its files are to be given to the pod's group by the caller: the driver does not
}

// Error is a step that failed; the step is named as upstream's events do, "" for SetUp. Waiting says that it was not the volume that failed: the control
// plane has not attached it.
type Error struct {
	Step    string
	Waiting bool
	Err     error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// failed is an error of a step in upstream's words.
func failed(step, format string, args ...any) error {
	return &Error{Step: step, Err: fmt.Errorf(pluginName+": "+format, args...)}
}

// target is a request with what follows from it.
type target struct {
	*Request
	key
	user
	block     bool
	lifecycle storagev1.VolumeLifecycleMode
	access    corev1.PersistentVolumeAccessMode
	fsType    string
	options   []string
	context   map[string]string // of the volume
	object    *storagev1.CSIDriver
}

// describe says what a request is about.
func describe(r *Request) target {
	t := target{Request: r, access: corev1.ReadWriteOnce}
	if r.Inline != nil {
		t.lifecycle = storagev1.VolumeLifecycleEphemeral
		t.key = key{r.Inline.Driver, inlineHandle(r.Pod.UID, r.Volume)}
		t.user = user{r.Pod.UID, escaped(r.Volume)}
		t.context = r.Inline.VolumeAttributes
		if r.Inline.FSType != nil {
			t.fsType = *r.Inline.FSType
		}
		return t
	}
	s := r.PV.Spec.CSI
	t.lifecycle = storagev1.VolumeLifecyclePersistent
	t.key = key{s.Driver, s.VolumeHandle}
	t.user = user{r.Pod.UID, escaped(r.PV.Name)}
	t.context, t.fsType, t.options = s.VolumeAttributes, s.FSType, r.PV.Spec.MountOptions
	if len(r.PV.Spec.AccessModes) > 0 {
		t.access = r.PV.Spec.AccessModes[0]
	}
	t.block = r.PV.Spec.VolumeMode != nil && *r.PV.Spec.VolumeMode == corev1.PersistentVolumeBlock
	return t
}

// specName is the volume's name in upstream's files.
func (t *target) specName() string {
	if t.PV != nil {
		return t.PV.Name
	}
	return t.Volume
}

// attaches reports whether the control plane has to attach the volume: so it is unless the driver's object says otherwise.
func (t *target) attaches() bool {
	return t.PV != nil && volumes.Attaches(t.object)
}

// supported says why the driver's object does not allow the volume's kind of life.
func (t *target) supported() error {
	switch {
	case t.object == nil && t.lifecycle == storagev1.VolumeLifecyclePersistent:
		return nil
	case t.object == nil:
		return failed("", "mounter.SetupAt failed to check volume lifecycle mode: volume mode %q not supported by driver %s (no CSIDriver object)", t.lifecycle, t.key.driver)
	case slices.Contains(t.object.Spec.VolumeLifecycleModes, t.lifecycle):
		return nil
	}
	return failed("", "mounter.SetupAt failed to check volume lifecycle mode: volume mode %q not supported by driver %s (only supports %q)",
		t.lifecycle, t.key.driver, t.object.Spec.VolumeLifecycleModes)
}

// republishes reports whether the driver wants to be called about a volume again and again.
func (t *target) republishes() bool {
	return t.object != nil && t.object.Spec.RequiresRepublish != nil && *t.object.Spec.RequiresRepublish
}

// Mount makes a volume present for a pod. Called for one that is there, it does nothing until it is to be looked at again: then it has it
// published anew, where the driver wants that, and grown, where the volume has become larger.
func (m *Manager) Mount(ctx context.Context, r Request) (Result, error) {
	t := describe(&r)
	if res, there := m.there(t.user, time.Now()); there {
		return res, nil
	}
	if m.cfg.Hub == nil {
		return Result{}, failed("", "failed to get a kubernetes client")
	}
	var err error
	if t.object, err = m.driverObject(ctx, t.key.driver); err != nil {
		return Result{}, err
	}
	if err := t.supported(); err != nil {
		return Result{}, err
	}
	v := m.use(t.key, t.user, t.attaches())
	var handed map[string]string
	if t.attaches() {
		if handed, err = m.attached(ctx, &t); err != nil {
			return Result{}, err
		}
	}
	if err := v.enter(ctx); err != nil {
		return Result{}, err
	}
	defer v.leave()
	call := caller{m: m, t: &t, v: v, handed: handed}
	return call.mount(ctx)
}

// there returns what is published for a pod, unless that is to be looked at.
func (m *Manager) there(u user, now time.Time) (Result, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.published[u]
	if p == nil || !p.again.IsZero() && !now.Before(p.again) {
		return Result{}, false
	}
	res := p.result
	res.Fresh = false
	return res, true
}

// Again makes the next Mount of a volume publish it anew: what was to be done with it then has failed.
func (m *Manager) Again(r Request) {
	t := describe(&r)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.published, t.user)
}

// driverObject is what the cluster says of a driver; nil when it says nothing.
func (m *Manager) driverObject(ctx context.Context, name string) (*storagev1.CSIDriver, error) {
	d, err := client.Get[*storagev1.CSIDriver](ctx, m.cfg.Hub, client.CSIDrivers, "", name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("", "failed to read CSIDriver %s: %w", name, err)
	}
	return d, nil
}

// caller makes the calls about one volume, whose gate it holds.
type caller struct {
	m      *Manager
	d      *driver
	t      *target
	v      *volume
	handed map[string]string // by whoever attached the volume
	multi  bool              // see mode
	group  bool              // the driver gives files to groups
}

// mount has the volume staged, published and grown.
func (c *caller) mount(ctx context.Context) (Result, error) {
	var err error
	if c.d, err = c.m.driver(c.t.key.driver); err != nil {
		return Result{}, failed("", "mounter.SetUpAt failed to get CSI client: %w", err)
	}
	c.m.keepCount(ctx, c.d, c.t.object)
	stages, err1 := c.d.can(ctx, csipb.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME)
	multi, err2 := c.d.can(ctx, csipb.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER)
	group, err3 := c.d.can(ctx, csipb.NodeServiceCapability_RPC_VOLUME_MOUNT_GROUP)
	grows, err4 := c.d.can(ctx, csipb.NodeServiceCapability_RPC_EXPAND_VOLUME)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Result{}, failed("", "failed to ask for the driver's capabilities: %w", err)
	}
	c.multi, c.group = multi, group
	staged := ""
	if stages && c.t.PV != nil {
		if staged, err = c.stage(ctx); err != nil {
			return Result{}, err
		}
	}
	published := c.publication()
	if published == nil || c.t.republishes() {
		if published, err = c.publish(ctx, staged, published != nil); err != nil {
			return Result{}, err
		}
	}
	if grows && c.t.PV != nil {
		if err := c.expand(ctx, staged, published.result); err != nil {
			return Result{}, err
		}
	}
	if c.t.republishes() || grows && c.t.PV != nil {
		c.lookAgain(published)
	}
	return published.result, nil
}

// publication is what has been published for the pod.
func (c *caller) publication() *publication {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	p := c.m.mu.published[c.t.user]
	if p == nil {
		return nil
	}
	old := *p
	old.result.Fresh = false
	return &old
}

// lookAgain puts off the next look at the volume by a minute to a minute and a half.
func (c *caller) lookAgain(p *publication) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	p.again = time.Now().Add(time.Minute + rand.N(30*time.Second))
	c.m.mu.published[c.t.user] = p
}

// capability is what the driver is told of how the volume is used. group nil: of no group.
func (c *caller) capability(group *int64) *csipb.VolumeCapability {
	out := &csipb.VolumeCapability{AccessMode: &csipb.VolumeCapability_AccessMode{Mode: mode(c.t.access, c.multi)}}
	if c.t.block {
		out.AccessType = &csipb.VolumeCapability_Block{Block: &csipb.VolumeCapability_BlockVolume{}}
		return out
	}
	mount := &csipb.VolumeCapability_MountVolume{FsType: c.t.fsType, MountFlags: c.t.options}
	if group != nil && c.group {
		mount.VolumeMountGroup = fmt.Sprint(*group)
	}
	out.AccessType = &csipb.VolumeCapability_Mount{Mount: mount}
	return out
}

// secret reads what a driver is to be handed; a nil reference is of none.
func (m *Manager) secret(ctx context.Context, ref *corev1.SecretReference) (map[string]string, error) {
	out := map[string]string{}
	if ref == nil {
		return out, nil
	}
	s, err := client.Get[*corev1.Secret](ctx, m.cfg.Hub, client.Secrets, ref.Namespace, ref.Name)
	if err != nil {
		return nil, fmt.Errorf("failed to find the secret %s in the namespace %s with error: %w", ref.Name, ref.Namespace, err)
	}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out, nil
}

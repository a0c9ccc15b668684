package runtime

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Fake is a runtime in memory. Containers run until they are stopped, or as Behave says. It starts no goroutines; timers of
// containers that end by themselves are time.AfterFunc, so that virtual time works. All of its methods may be called at any time
// from any goroutine; mu.Mutex guards everything in mu, and none of the test's functions is called while it is held.
type Fake struct {
	// Mute loses all events.
	Mute atomic.Bool

	mu struct {
		sync.Mutex
		behave func(pod types.UID, container string, run int) Behavior
		fail   func(call, subject string) error
		says   func() *Status
		absent map[string]bool // images that have to be pulled

		pods   map[types.UID]*Pod
		owner  map[string]types.UID // container or sandbox id -> pod
		timers map[string]*time.Timer
		next   int
		subs   map[int]chan Event
		calls  []string
		frozen chan struct{} // closed when it thaws; nil while it answers
	}
}

// Behavior of one run of a container.
type Behavior struct {
	Ends  bool          // it exits by itself
	After time.Duration // … this long after its start
	Code  int32
	// Stubborn containers take their whole grace period to stop.
	Stubborn bool
}

// NewFake makes an empty runtime.
func NewFake() *Fake {
	f := &Fake{}
	f.mu.absent = map[string]bool{}
	f.mu.pods = map[types.UID]*Pod{}
	f.mu.owner = map[string]types.UID{}
	f.mu.timers = map[string]*time.Timer{}
	f.mu.subs = map[int]chan Event{}
	return f
}

var _ Interface = (*Fake)(nil)
var _ Interface = (*CRI)(nil)

// SetBehave has fn say how each run of a container goes from now on; nil means that it runs until it is stopped.
func (f *Fake) SetBehave(fn func(pod types.UID, container string, run int) Behavior) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.behave = fn
}

// SetFail has fn refuse calls from now on, by their name ("RunSandbox", "StartContainer", "Pull" …) and subject (pod name,
// container name or image); nil refuses none. Calls that are made at the same time call it at the same time.
func (f *Fake) SetFail(fn func(call, subject string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.fail = fn
}

// SetSays has fn give the runtime's own view of its health from now on; nil means that all is well.
func (f *Fake) SetSays(fn func() *Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.says = fn
}

// SetAbsent takes an image away: it has to be pulled, as no other has.
func (f *Fake) SetAbsent(image string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.absent[image] = true
}

// Calls returns what was asked of the runtime so far, as "Call subject", and forgets it.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.mu.calls
	f.mu.calls = nil
	return out
}

// Freeze lets no call of the runtime be answered until thaw is called, as when its process is stopped: it hangs, and tells nothing.
func (f *Fake) Freeze() (thaw func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	frozen := make(chan struct{})
	f.mu.frozen = frozen
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.mu.frozen = nil
		close(frozen)
	}
}

// answer returns when the runtime answers, or an error when it does not within the bound that a call has.
func (f *Fake) answer(ctx context.Context) error {
	f.mu.Lock()
	frozen := f.mu.frozen
	f.mu.Unlock()
	if frozen == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case <-frozen:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// refuse asks the function of SetFail about a call that is not recorded.
func (f *Fake) refuse(call string) error {
	f.mu.Lock()
	fail := f.mu.fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(call, "")
}

// enter records a call and asks the function of SetFail.
func (f *Fake) enter(call, subject string) error {
	f.mu.Lock()
	f.mu.calls = append(f.mu.calls, call+" "+subject)
	fail := f.mu.fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(call, subject)
}

func (f *Fake) tellLocked(uid types.UID) {
	if f.Mute.Load() {
		return
	}
	for _, ch := range f.mu.subs {
		select {
		case ch <- Event{UID: uid}:
		default: // full: it will look at everything anyway
		}
	}
}

// Exit ends the running container of that name in a pod, as if it had exited.
func (f *Fake) Exit(uid types.UID, container string, code int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.mu.pods[uid]; p != nil {
		if c := p.Container(container); c != nil {
			f.endLocked(uid, c.ID, code, "")
		}
	}
}

func (f *Fake) endLocked(uid types.UID, id string, code int32, reason string) {
	c := f.findLocked(id)
	if c == nil || c.State == Exited {
		return
	}
	if t := f.mu.timers[id]; t != nil {
		t.Stop()
		delete(f.mu.timers, id)
	}
	c.State, c.ExitCode, c.FinishedAt = Exited, code, time.Now()
	c.Reason = reason
	if reason == "" {
		c.Reason = "Completed"
		if code != 0 {
			c.Reason = "Error"
		}
	}
	f.tellLocked(uid)
}

func (f *Fake) findLocked(id string) *Container {
	p := f.mu.pods[f.mu.owner[id]]
	if p == nil {
		return nil
	}
	for i := range p.Containers {
		if p.Containers[i].ID == id {
			return &p.Containers[i]
		}
	}
	return nil
}

func notFound(id string) error { return status.Errorf(codes.NotFound, "%q not found", id) }

// Version implements Interface.
func (f *Fake) Version(ctx context.Context) (Version, error) {
	if err := f.answer(ctx); err != nil {
		return Version{}, err
	}
	return Version{Name: "fake", Version: "1.0", API: "v1"}, f.enter("Version", "")
}

// Status implements Interface.
func (f *Fake) Status(ctx context.Context) (*Status, error) {
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	if err := f.refuse("Status"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	says := f.mu.says
	f.mu.Unlock()
	if says == nil {
		return &Status{Ready: true, NetworkReady: true}, nil
	}
	return says(), nil
}

// SetPodCIDR implements Interface.
func (f *Fake) SetPodCIDR(ctx context.Context, _ string) error { return f.answer(ctx) }

// List implements Interface.
func (f *Fake) List(ctx context.Context) ([]*Pod, error) {
	if err := cmp.Or(f.answer(ctx), f.refuse("List")); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*Pod
	for _, p := range f.mu.pods {
		out = append(out, p.copy())
	}
	return out, nil
}

// Pod implements Interface.
func (f *Fake) Pod(ctx context.Context, uid types.UID) (*Pod, error) {
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.mu.pods[uid]; p != nil {
		return p.copy(), nil
	}
	return &Pod{UID: uid}, nil
}

func (p *Pod) copy() *Pod {
	c := *p
	c.Sandboxes = append([]Sandbox(nil), p.Sandboxes...)
	c.Containers = append([]Container(nil), p.Containers...)
	return &c
}

// RunSandbox implements Interface.
func (f *Fake) RunSandbox(ctx context.Context, cfg *cri.PodSandboxConfig, _ string) (string, error) {
	uid := types.UID(cfg.Metadata.Uid)
	if err := f.enter("RunSandbox", cfg.Metadata.Name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.mu.pods[uid]
	if p == nil {
		p = &Pod{UID: uid, Namespace: cfg.Metadata.Namespace, Name: cfg.Metadata.Name}
		f.mu.pods[uid] = p
	}
	f.mu.next++
	s := Sandbox{ID: fmt.Sprintf("sandbox-%d", f.mu.next), Attempt: cfg.Metadata.Attempt, Ready: true, HasNetwork: true, CreatedAt: time.Now(),
		HostNetwork: cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == cri.NamespaceMode_NODE}
	if !s.HostNetwork {
		s.IPs = []string{fmt.Sprintf("10.0.%d.%d", f.mu.next/250%250, f.mu.next%250+1)}
	}
	p.Sandboxes = append([]Sandbox{s}, p.Sandboxes...)
	f.mu.owner[s.ID] = uid
	f.tellLocked(uid)
	return s.ID, nil
}

// StopSandbox implements Interface.
func (f *Fake) StopSandbox(_ context.Context, id string) error {
	if err := f.enter("StopSandbox", ""); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	uid := f.mu.owner[id]
	p := f.mu.pods[uid]
	if p == nil {
		return nil
	}
	for i := range p.Containers {
		if p.Containers[i].SandboxID == id {
			f.endLocked(uid, p.Containers[i].ID, 137, "Error")
		}
	}
	for i := range p.Sandboxes {
		if p.Sandboxes[i].ID == id {
			p.Sandboxes[i].Ready = false
		}
	}
	f.tellLocked(uid)
	return nil
}

// forgetLocked forgets a sandbox or container that has been taken off its pod, and the pod with the last of them.
func (f *Fake) forgetLocked(p *Pod, uid types.UID, id string) {
	delete(f.mu.owner, id)
	if len(p.Sandboxes)+len(p.Containers) == 0 {
		delete(f.mu.pods, uid)
	}
}

// RemoveSandbox implements Interface.
func (f *Fake) RemoveSandbox(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	uid := f.mu.owner[id]
	p := f.mu.pods[uid]
	if p == nil {
		return nil
	}
	for i := range p.Sandboxes {
		if p.Sandboxes[i].ID == id {
			p.Sandboxes = append(p.Sandboxes[:i:i], p.Sandboxes[i+1:]...)
			break
		}
	}
	f.forgetLocked(p, uid, id)
	return nil
}

// CreateContainer implements Interface.
func (f *Fake) CreateContainer(_ context.Context, sandbox string, cfg *cri.ContainerConfig, _ *cri.PodSandboxConfig) (string, error) {
	if err := f.enter("CreateContainer", cfg.Metadata.Name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	uid := f.mu.owner[sandbox]
	p := f.mu.pods[uid]
	if p == nil {
		return "", notFound(sandbox)
	}
	f.mu.next++
	c := Container{ID: fmt.Sprintf("container-%d", f.mu.next), Name: cfg.Metadata.Name, SandboxID: sandbox, State: Created,
		Image: cfg.Image.UserSpecifiedImage, ImageRef: cfg.Image.Image, ImageID: cfg.Image.Image, CreatedAt: time.Now(), Mounts: cfg.Mounts, LogPath: cfg.LogPath}
	c.annotate(cfg.Annotations)
	p.Containers = append([]Container{c}, p.Containers...)
	f.mu.owner[c.ID] = uid
	f.tellLocked(uid)
	return c.ID, nil
}

// StartContainer implements Interface.
func (f *Fake) StartContainer(_ context.Context, id string) error {
	f.mu.Lock()
	uid := f.mu.owner[id]
	c := f.findLocked(id)
	if c == nil {
		f.mu.Unlock()
		return notFound(id)
	}
	name, run := c.Name, c.RestartCount
	f.mu.Unlock()
	if err := f.enter("StartContainer", name); err != nil {
		return err
	}
	b := f.behavior(uid, name, run)
	f.mu.Lock()
	defer f.mu.Unlock()
	c = f.findLocked(id)
	c.State, c.StartedAt = Running, time.Now()
	if b.Ends {
		f.mu.timers[id] = time.AfterFunc(b.After, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.endLocked(uid, id, b.Code, "")
		})
	}
	f.tellLocked(uid)
	return nil
}

func (f *Fake) behavior(uid types.UID, name string, run int) Behavior {
	f.mu.Lock()
	behave := f.mu.behave
	f.mu.Unlock()
	if behave == nil {
		return Behavior{}
	}
	return behave(uid, name, run)
}

// StopContainer implements Interface.
func (f *Fake) StopContainer(ctx context.Context, id string, grace int64) error {
	f.mu.Lock()
	uid := f.mu.owner[id]
	c := f.findLocked(id)
	if c == nil || c.State == Exited {
		f.mu.Unlock()
		return nil
	}
	name, run := c.Name, c.RestartCount
	f.mu.Unlock()
	if err := f.enter("StopContainer", name); err != nil {
		return err
	}
	code := int32(143)
	if f.behavior(uid, name, run).Stubborn {
		code = 137
		t := time.NewTimer(time.Duration(grace) * time.Second)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLocked(uid, id, code, "")
	return nil
}

// RemoveContainer implements Interface.
func (f *Fake) RemoveContainer(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	uid := f.mu.owner[id]
	p := f.mu.pods[uid]
	if p == nil {
		return nil
	}
	for i := range p.Containers {
		if p.Containers[i].ID == id {
			p.Containers = append(p.Containers[:i:i], p.Containers[i+1:]...)
			break
		}
	}
	f.forgetLocked(p, uid, id)
	return nil
}

// UpdateContainer implements Interface.
func (f *Fake) UpdateContainer(_ context.Context, id string, res *cri.LinuxContainerResources) error {
	f.mu.Lock()
	c := f.findLocked(id)
	name := ""
	if c != nil {
		name = c.Name
	}
	f.mu.Unlock()
	if err := f.enter("UpdateContainer", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.findLocked(id); c != nil {
		next := &cri.LinuxContainerResources{}
		if c.Resources != nil {
			next.CpuPeriod, next.CpuQuota, next.CpuShares, next.MemoryLimitInBytes = c.Resources.CpuPeriod, c.Resources.CpuQuota, c.Resources.CpuShares, c.Resources.MemoryLimitInBytes
		}
		next.CpuPeriod, next.CpuShares = cmp.Or(res.CpuPeriod, next.CpuPeriod), cmp.Or(res.CpuShares, next.CpuShares)
		next.CpuQuota, next.MemoryLimitInBytes = cmp.Or(res.CpuQuota, next.CpuQuota), cmp.Or(res.MemoryLimitInBytes, next.MemoryLimitInBytes)
		c.Resources = next
	}
	return nil
}

// UpdateSandbox implements Interface.
func (f *Fake) UpdateSandbox(context.Context, string, *cri.LinuxContainerResources) error { return nil }

// ContainerMemory implements Interface.
func (f *Fake) ContainerMemory(context.Context, string) (uint64, error) { return 0, nil }

// ReopenLog implements Interface.
func (f *Fake) ReopenLog(context.Context, string) error { return nil }

// ExecSync implements Interface: every command succeeds with no output, unless the function of SetFail says otherwise.
func (f *Fake) ExecSync(_ context.Context, id string, cmd []string, _ time.Duration) ([]byte, []byte, int32, error) {
	return nil, nil, 0, f.enter("ExecSync", strings.Join(cmd, " "))
}

// Exec implements Interface.
func (f *Fake) Exec(context.Context, string, []string, Stdio) (*url.URL, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// Attach implements Interface.
func (f *Fake) Attach(context.Context, string, Stdio) (*url.URL, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// PortForward implements Interface.
func (f *Fake) PortForward(context.Context, string, []int32) (*url.URL, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// Image implements Interface.
func (f *Fake) Image(_ context.Context, ref string) (*Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.absent[ref] {
		return nil, nil
	}
	return &Image{ID: ref, Tags: []string{ref}, Size: 1 << 20}, nil
}

// Images implements Interface.
func (f *Fake) Images(ctx context.Context) ([]Image, error) { return nil, f.answer(ctx) }

// Pull implements Interface.
func (f *Fake) Pull(_ context.Context, ref string, _ *cri.AuthConfig, _ *cri.PodSandboxConfig) (string, error) {
	if err := f.enter("Pull", ref); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.absent, ref)
	return ref, nil
}

// RemoveImage implements Interface.
func (f *Fake) RemoveImage(context.Context, string) error { return nil }

// Events implements Interface.
func (f *Fake) Events(ctx context.Context, fn func(Event)) error {
	ch := make(chan Event, 1024)
	f.mu.Lock()
	f.mu.next++
	id := f.mu.next
	f.mu.subs[id] = ch
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.mu.subs, id)
		f.mu.Unlock()
	}()
	fn(Event{})
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-ch:
			fn(e)
		}
	}
}

// Stats implements Interface.
func (f *Fake) Stats(context.Context) ([]*cri.ContainerStats, error) { return nil, nil }

// ImageFS implements Interface.
func (f *Fake) ImageFS(context.Context) ([]*cri.FilesystemUsage, error) { return nil, nil }

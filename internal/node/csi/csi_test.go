package csi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/node/csi/csitest"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// bench is a node with a hub, and a driver that has registered.
type bench struct {
	*testing.T
	*Manager
	own    client.Interface // the cluster's
	root   string
	driver *csitest.Driver
	socket string
	events []string
}

const stages = csipb.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME

func newBench(t *testing.T, driver *csitest.Driver) *bench {
	t.Helper()
	h, err := hub.New(hub.Config{Kinds: all.Kinds(), Store: memory.New(), Log: slog.New(slog.DiscardHandler), Bootstrap: true,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443")})
	if err != nil {
		t.Fatal(err)
	}
	go h.Run(t.Context()) //nolint:errcheck // it ends with the test
	<-h.Ready()
	b := &bench{T: t, own: h.Own(), root: t.TempDir(), driver: driver, socket: driver.Start(t)}
	if _, err := client.Create(t.Context(), b.own, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), b.own, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "default"}}); err != nil {
		t.Fatal(err)
	}
	b.begin(h.Door(api.Node("n1"), "kubelet"))
	return b
}

// begin starts a kubelet's manager on what there is, as after a restart of the kubelet.
func (b *bench) begin(door client.Interface) {
	b.Helper()
	known := cache.New[*corev1.Node](door, client.Nodes, cache.Options{FieldSelector: "metadata.name=n1"}, slog.New(slog.DiscardHandler))
	var m *Manager
	look := make(chan struct{}, 1)
	m, err := New(Config{Root: b.root, Node: "n1", Hub: door, Log: slog.New(slog.DiscardHandler),
		Current: func() (*corev1.Node, bool) { return known.Get("", "n1") },
		Look: func() {
			select {
			case look <- struct{}{}:
			default:
			}
		},
		PodEvent: func(_ *corev1.Pod, _, reason, _ string, _ ...any) { b.events = append(b.events, reason) },
		ClaimEvent: func(_ *corev1.PersistentVolumeClaim, _, reason, _ string, _ ...any) {
			b.events = append(b.events, reason)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	m.Begin(ctx)
	b.Cleanup(func() { cancel(); m.Wait() })
	known.Handle(cache.Handler[*corev1.Node]{Add: m.NodeChanged, Update: func(_, n *corev1.Node) { m.NodeChanged(n) }})
	go known.Run(ctx)
	<-known.Synced()
	go func() { // the kubelet writes its status
		for {
			select {
			case <-ctx.Done():
				return
			case <-look:
			}
			patch := map[string]any{"status": map[string]any{"volumesInUse": m.InUse(nil)}}
			if _, err := client.MergePatch(ctx, door, client.Ref{Resource: client.Nodes, Name: "n1", Subresource: "status"}, patch); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
	}()
	b.Manager = m
}

func (b *bench) register() {
	b.Helper()
	if err := b.Validate("d.example.com", b.socket, []string{"1.0.0"}); err != nil {
		b.Fatal(err)
	}
	if err := b.Register(b.Context(), "d.example.com", b.socket, []string{"1.0.0"}); err != nil {
		b.Fatal(err)
	}
}

func create[T api.Object](b *bench, res client.Ref, obj T) T {
	b.Helper()
	out, err := client.Create(b.Context(), b.own, res.Resource, obj)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// pod makes a pod of the node with a claim that has a volume, of which the driver is told as handle.
func (b *bench) pod(name, claim string) *corev1.Pod {
	b.Helper()
	return create(b, client.Ref{Resource: client.Pods}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{
		NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}, AutomountServiceAccountToken: ptr.To(false), ServiceAccountName: "default",
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}}})
}

func (b *bench) bound(handle string, change ...func(*corev1.PersistentVolume)) {
	b.Helper()
	create(b, client.Ref{Resource: client.PersistentVolumeClaims}, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: handle, Namespace: "default"},
		Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + handle, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}}}})
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + handle}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{"storage": resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		ClaimRef:               &corev1.ObjectReference{Namespace: "default", Name: handle},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d.example.com", VolumeHandle: handle, FSType: "ext4"}}}}
	for _, c := range change {
		c(pv)
	}
	create(b, client.Ref{Resource: client.PersistentVolumes}, pv)
}

func (b *bench) request(pod *corev1.Pod, handle string) Request {
	b.Helper()
	pv, err := client.Get[*corev1.PersistentVolume](b.Context(), b.own, client.PersistentVolumes, "", "pv-"+handle)
	if err != nil {
		b.Fatal(err)
	}
	return Request{Pod: pod, Volume: "v", PV: pv,
		Claim: func(ctx context.Context) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error) {
			c, err := client.Get[*corev1.PersistentVolumeClaim](ctx, b.own, client.PersistentVolumeClaims, "default", handle)
			if err != nil {
				return nil, nil, err
			}
			pv, err := client.Get[*corev1.PersistentVolume](ctx, b.own, client.PersistentVolumes, "", "pv-"+handle)
			return c, pv, err
		}}
}

func (b *bench) mount(r Request) Result {
	b.Helper()
	got, err := b.Mount(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

func (b *bench) called(want ...string) {
	b.Helper()
	if got := b.driver.Calls(); !slices.Equal(got, want) {
		b.Errorf("the driver was called\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// object says of the driver what change makes of one that attaches nothing.
func (b *bench) object(change func(*storagev1.CSIDriverSpec)) {
	b.Helper()
	d := &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "d.example.com"}, Spec: storagev1.CSIDriverSpec{AttachRequired: ptr.To(false)}}
	change(&d.Spec)
	create(b, client.Ref{Resource: client.CSIDrivers}, d)
}

// nothingLeft looks for files that should be gone.
func (b *bench) nothingLeft() {
	b.Helper()
	if left := b.driver.Left(); len(left) > 0 {
		b.Errorf("the driver has %v", left)
	}
	_ = filepath.WalkDir(b.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b.Errorf("left: %s", path)
		}
		return nil
	})
}

func nothing(*storagev1.CSIDriverSpec) {}

func TestRegister(t *testing.T) {
	d := &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "id-1", MaxVolumesPerNode: 7,
		AccessibleTopology: &csipb.Topology{Segments: map[string]string{"example.com/zone": "a"}}}}
	b := newBench(t, d)
	b.register()
	n, err := client.Get[*storagev1.CSINode](t.Context(), b.own, client.CSINodes, "", "n1")
	if err != nil {
		t.Fatal(err)
	}
	want := []storagev1.CSINodeDriver{{Name: "d.example.com", NodeID: "id-1", TopologyKeys: []string{"example.com/zone"}, Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To[int32](7)}}}
	if got, _ := json.Marshal(n.Spec.Drivers); string(got) != must(json.Marshal(want)) {
		t.Errorf("CSINode has %s", got)
	}
	node, _ := client.Get[*corev1.Node](t.Context(), b.own, client.Nodes, "", "n1")
	if node.Annotations[nodeIDs] != `{"d.example.com":"id-1"}` || node.Labels["example.com/zone"] != "a" || n.OwnerReferences[0].UID != node.UID {
		t.Errorf("node has %v %v, CSINode %v", node.Annotations, node.Labels, n.OwnerReferences)
	}
	// A driver that wants to be asked again how many volumes it takes is.
	d.Count(9)
	b.object(func(s *storagev1.CSIDriverSpec) { s.NodeAllocatableUpdatePeriodSeconds = ptr.To[int64](10) })
	b.mu.Lock()
	known := b.mu.drivers["d.example.com"]
	b.mu.Unlock()
	if err := b.recount(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	n, _ = client.Get[*storagev1.CSINode](t.Context(), b.own, client.CSINodes, "", "n1")
	if got := *n.Spec.Drivers[0].Allocatable.Count; got != 9 {
		t.Errorf("the node takes %d", got)
	}
	if err := b.Validate("d.example.com", b.socket, []string{"1.0.0"}); err == nil {
		t.Error("a second driver of the name was taken")
	}
	b.Unregister(t.Context(), "d.example.com", b.socket)
	n, _ = client.Get[*storagev1.CSINode](t.Context(), b.own, client.CSINodes, "", "n1")
	node, _ = client.Get[*corev1.Node](t.Context(), b.own, client.Nodes, "", "n1")
	if len(n.Spec.Drivers) != 0 || node.Annotations[nodeIDs] != "" {
		t.Errorf("left: %v %v", n.Spec.Drivers, node.Annotations)
	}
}

func must(text []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestTwoPodsOneVolume(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}, Can: []csipb.NodeServiceCapability_RPC_Type{stages}})
	b.object(nothing)
	b.bound("h1")
	one, two := b.pod("one", "h1"), b.pod("two", "h1")
	if _, err := b.Mount(t.Context(), b.request(one, "h1")); err == nil || !strings.Contains(err.Error(), "driver name d.example.com not found in the list of registered CSI drivers") {
		t.Errorf("without the driver: %v", err)
	}
	b.register()
	r := b.request(one, "h1")
	r.Group = ptr.To[int64](7)
	got := b.mount(r)
	if want := filepath.Join(b.root, "pods", string(one.UID), "volumes/kubernetes.io~csi/pv-h1/mount"); got.Path != want || !got.Fresh || !got.Group {
		t.Errorf("mounted %+v, want at %s", got, want)
	}
	b.called("stage h1 globalmount", "publish h1 mount")
	if got := b.mount(r); got.Fresh {
		t.Error("published twice")
	}
	b.called()
	b.mount(b.request(two, "h1"))
	b.called("publish h1 mount")
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("h1")))
	text, err := os.ReadFile(filepath.Join(b.root, "plugins/kubernetes.io/csi/d.example.com", sum, "vol_data.json"))
	if err != nil || string(text) != `{"volumeHandle":"h1","driverName":"d.example.com"}`+"\n" {
		t.Errorf("data file of the staged volume: %s %v", text, err)
	}
	text, err = os.ReadFile(filepath.Join(filepath.Dir(got.Path), "vol_data.json"))
	if err != nil || string(text) != fmt.Sprintf(`{"specVolID":"pv-h1","volumeHandle":"h1","driverName":"d.example.com","nodeName":"n1","attachmentID":"csi-%x","volumeLifecycleMode":"Persistent"}`+"\n",
		sha256.Sum256([]byte("h1d.example.comn1"))) {
		t.Errorf("data file of the pod's volume: %s %v", text, err)
	}
	if err := b.Unmount(one.UID); err != nil {
		t.Fatal(err)
	}
	b.called("unpublish h1 mount")
	if err := b.Unmount(two.UID); err != nil {
		t.Fatal(err)
	}
	b.called("unpublish h1 mount", "unstage h1 globalmount")
	b.nothingLeft()
}

func TestRestart(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}, Can: []csipb.NodeServiceCapability_RPC_Type{stages}})
	b.object(nothing)
	b.bound("h1")
	b.bound("h2")
	one, two := b.pod("one", "h1"), b.pod("two", "h2")
	b.register()
	b.mount(b.request(one, "h1"))
	b.driver.Fail = func(call string) error {
		if strings.HasPrefix(call, "publish") {
			return status.Error(codes.Unavailable, "the node dies")
		}
		return nil
	}
	if _, err := b.Mount(t.Context(), b.request(two, "h2")); err == nil {
		t.Fatal("published")
	}
	b.driver.Fail = nil
	b.driver.Calls()

	door := b.cfg.Hub
	b.begin(door)
	if err := b.Unmount(two.UID); err == nil {
		t.Error("unmounted without the driver")
	}
	b.register()
	b.called()
	if err := b.Unmount(two.UID); err != nil { // what may have been published before the end
		t.Fatal(err)
	}
	b.called("unpublish h2 mount", "unstage h2 globalmount")
	b.mount(b.request(one, "h1"))
	b.called("stage h1 globalmount", "publish h1 mount") // they change nothing
	b.begin(door)
	b.register()
	if err := b.Unmount(one.UID); err != nil {
		t.Fatal(err)
	}
	b.called("unpublish h1 mount", "unstage h1 globalmount")
	b.nothingLeft()
}

// A kubelet that ended between staging and publishing leaves a volume that no pod has.
func TestStagedOnly(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}, Can: []csipb.NodeServiceCapability_RPC_Type{stages}})
	b.object(nothing)
	b.bound("h1")
	b.register()
	b.driver.Fail = func(call string) error {
		if strings.HasPrefix(call, "publish") {
			return status.Error(codes.Unavailable, "the node dies")
		}
		return nil
	}
	if _, err := b.Mount(t.Context(), b.request(b.pod("one", "h1"), "h1")); err == nil {
		t.Fatal("published")
	}
	if err := os.RemoveAll(filepath.Join(b.root, "pods")); err != nil {
		t.Fatal(err)
	}
	b.driver.Calls()
	b.begin(b.cfg.Hub)
	b.register()
	b.called("unstage h1 globalmount")
	b.nothingLeft()
}

func TestAttach(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}})
	b.bound("h1")
	b.register()
	pod := b.pod("one", "h1")
	type outcome struct {
		Result
		error
	}
	done := make(chan outcome, 1)
	go func() { got, err := b.Mount(t.Context(), b.request(pod, "h1")); done <- outcome{got, err} }()
	const name = "kubernetes.io/csi/d.example.com^h1"
	eventually(t, "the volume is told to be in use", func() bool {
		n, _ := client.Get[*corev1.Node](t.Context(), b.own, client.Nodes, "", "n1")
		return slices.Contains(n.Status.VolumesInUse, name)
	})
	va := create(b, client.Ref{Resource: client.VolumeAttachments}, &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: volumes.AttachmentName("d.example.com", "h1", "n1")},
		Spec: storagev1.VolumeAttachmentSpec{Attacher: "d.example.com", NodeName: "n1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: ptr.To("pv-h1")}}})
	va = va.DeepCopy()
	va.Status = storagev1.VolumeAttachmentStatus{Attached: true, AttachmentMetadata: map[string]string{"device": "/dev/x"}}
	if _, err := client.UpdateStatus(t.Context(), b.own, client.VolumeAttachments, va); err != nil {
		t.Fatal(err)
	}
	select {
	case o := <-done:
		t.Fatalf("did not wait: %v", o)
	default:
	}
	patch := map[string]any{"status": map[string]any{"volumesAttached": []any{map[string]any{"name": name, "devicePath": ""}}}}
	if _, err := client.MergePatch(t.Context(), b.own, client.Ref{Resource: client.Nodes, Name: "n1", Subresource: "status"}, patch); err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.error != nil {
		t.Fatal(o.error)
	}
	if got := b.driver.Published().PublishContext["device"]; got != "/dev/x" {
		t.Errorf("the driver is told of device %q", got)
	}
	if err := b.Unmount(pod.UID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the volume is told to be out of use", func() bool {
		n, _ := client.Get[*corev1.Node](t.Context(), b.own, client.Nodes, "", "n1")
		return len(n.Status.VolumesInUse) == 0
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestInline(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}, Can: []csipb.NodeServiceCapability_RPC_Type{stages}})
	b.register()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "u1"}, Spec: corev1.PodSpec{ServiceAccountName: "sa"}}
	r := Request{Pod: pod, Volume: "v", Inline: &corev1.CSIVolumeSource{Driver: "d.example.com", VolumeAttributes: map[string]string{"a": "1"}},
		Token: func(_ context.Context, audience string, _ *int64, keep bool) (authv1.TokenRequestStatus, error) {
			return authv1.TokenRequestStatus{Token: "for " + audience}, nil
		}}
	if _, err := b.Mount(t.Context(), r); err == nil || !strings.Contains(err.Error(), `volume mode "Ephemeral" not supported by driver d.example.com (no CSIDriver object)`) {
		t.Errorf("without CSIDriver: %v", err)
	}
	b.object(func(s *storagev1.CSIDriverSpec) {
		s.VolumeLifecycleModes, s.PodInfoOnMount = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecycleEphemeral}, ptr.To(true)
		s.TokenRequests, s.RequiresRepublish = []storagev1.TokenRequest{{Audience: "aud"}}, ptr.To(true)
	})
	b.mount(r)
	h := inlineHandle("u1", "v")
	b.called("publish " + h + " mount")
	got := b.driver.Published()
	if c := got.VolumeContext; c["a"] != "1" || c["csi.storage.k8s.io/pod.name"] != "p" || c["csi.storage.k8s.io/ephemeral"] != "true" || c["csi.storage.k8s.io/serviceAccount.name"] != "sa" ||
		!strings.HasPrefix(c["csi.storage.k8s.io/serviceAccount.tokens"], `{"aud":{"token":"for aud"`) {
		t.Errorf("told of %v", c)
	}
	at, ok := b.Due("u1")
	if wait := time.Until(at); !ok || wait < 50*time.Second || wait > 91*time.Second {
		t.Errorf("looked at again at %v", at)
	}
	b.mu.Lock()
	b.mu.published[user{"u1", "v"}].again = time.Now()
	b.mu.Unlock()
	if got := b.mount(r); got.Fresh {
		t.Error("a republished volume is new")
	}
	b.called("publish " + h + " mount")
	if err := b.Unmount("u1"); err != nil {
		t.Fatal(err)
	}
	b.called("unpublish " + h + " mount")
	b.nothingLeft()
}

func TestBlock(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}, Can: []csipb.NodeServiceCapability_RPC_Type{stages}})
	b.object(nothing)
	b.bound("h1", func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) })
	b.register()
	pod := b.pod("one", "h1")
	got := b.mount(b.request(pod, "h1"))
	if want := filepath.Join(b.root, "plugins/kubernetes.io/csi/volumeDevices/publish/pv-h1", string(pod.UID)); got.Device != want || got.Path != "" {
		t.Errorf("mounted %+v, want %s", got, want)
	}
	link := filepath.Join(b.root, "pods", string(pod.UID), "volumeDevices/kubernetes.io~csi/pv-h1")
	if to, err := os.Readlink(link); err != nil || to != got.Device {
		t.Errorf("link to %s: %v", to, err)
	}
	b.called("stage h1 pv-h1", "publish h1 "+string(pod.UID))
	b.begin(b.cfg.Hub)
	b.register()
	if err := b.Unmount(pod.UID); err != nil {
		t.Fatal(err)
	}
	b.called("unpublish h1 "+string(pod.UID), "unstage h1 pv-h1")
	b.nothingLeft()
}

func TestExpand(t *testing.T) {
	b := newBench(t, &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "n"}, Can: []csipb.NodeServiceCapability_RPC_Type{stages,
		csipb.NodeServiceCapability_RPC_EXPAND_VOLUME, csipb.NodeServiceCapability_RPC_GET_VOLUME_STATS}})
	b.object(nothing)
	b.bound("h1")
	b.register()
	pod := b.pod("one", "h1")
	r := b.request(pod, "h1")
	b.mount(r)
	b.called("stage h1 globalmount", "publish h1 mount")
	if u, ok := b.Usage(t.Context(), pod.UID, "pv-h1"); !ok || u.Used != 30 || u.Total != 100 {
		t.Errorf("usage %+v %v", u, ok)
	}
	b.driver.Calls()
	// an external resizer has grown the volume and leaves the rest to the node
	claim := client.Ref{Resource: client.PersistentVolumeClaims, Namespace: "default", Name: "h1", Subresource: "status"}
	patch(b, client.Ref{Resource: client.PersistentVolumes, Name: "pv-h1"}, `{"spec":{"capacity":{"storage":"2Gi"}}}`)
	patch(b, claim, `{"status":{"allocatedResourceStatuses":{"storage":"NodeResizePending"},"conditions":[{"type":"FileSystemResizePending","status":"True"}]}}`)
	b.mu.Lock()
	b.mu.published[user{pod.UID, "pv-h1"}].again = time.Now()
	b.mu.Unlock()
	b.mount(r)
	b.called("expand h1 2147483648")
	c, _, _ := r.Claim(t.Context())
	if q := c.Status.Capacity["storage"]; q.String() != "2Gi" || len(c.Status.AllocatedResourceStatuses) != 0 || len(c.Status.Conditions) != 0 {
		t.Errorf("the claim has %+v", c.Status)
	}
	if !slices.Equal(b.events, []string{"FileSystemResizeSuccessful", "FileSystemResizeSuccessful"}) {
		t.Errorf("events: %v", b.events)
	}
}

func patch(b *bench, at client.Ref, text string) {
	b.Helper()
	if _, err := b.own.Patch(b.Context(), at, types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

func TestGrow(t *testing.T) {
	const gi = 1 << 30
	claim := func(status, turn string, modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{}
		c.Spec.AccessModes = modes
		c.Status.Capacity = corev1.ResourceList{"storage": resource.MustParse(status)}
		if turn != "" {
			c.Status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{"storage": corev1.ClaimResourceStatus(turn)}
		}
		return c
	}
	not := claim("2Gi", "", corev1.ReadWriteMany)
	not.Annotations = map[string]string{nodeExpansionNotRequired: "true"}
	for _, c := range []struct {
		name  string
		claim *corev1.PersistentVolumeClaim
		known int64
		want  growth
	}{
		{"as large as asked", claim("2Gi", ""), 2 * gi, growth{size: 2 * gi}},
		{"the resizer is at it", claim("1Gi", "ControllerResizeInProgress"), gi, growth{size: 2 * gi}},
		{"left to the node", claim("1Gi", "NodeResizePending"), gi, growth{2 * gi, true, true}},
		{"begun before the kubelet ended", claim("1Gi", "NodeResizeInProgress"), 0, growth{2 * gi, true, true}},
		{"cannot be done", claim("1Gi", "NodeResizeInfeasible"), gi, growth{size: 2 * gi}},
		{"a resizer that leaves nothing to nodes", claim("1Gi", ""), gi, growth{size: 2 * gi}},
		{"grown on another node", claim("2Gi", "", corev1.ReadWriteMany), gi, growth{2 * gi, true, false}},
		{"grown on another node, one writer", claim("2Gi", "", corev1.ReadWriteOnce), gi, growth{size: 2 * gi}},
		{"nodes have nothing to do", not, gi, growth{size: 2 * gi}},
	} {
		pv := &corev1.PersistentVolume{}
		pv.Spec.Capacity = corev1.ResourceList{"storage": resource.MustParse("2Gi")}
		if got := grow(c.claim, pv, c.known); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestGroups(t *testing.T) {
	pv := func(m corev1.PersistentVolumeAccessMode) *corev1.PersistentVolume {
		p := &corev1.PersistentVolume{}
		p.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{m}
		return p
	}
	policy := func(p storagev1.FSGroupPolicy) *storagev1.CSIDriver {
		return &storagev1.CSIDriver{Spec: storagev1.CSIDriverSpec{FSGroupPolicy: &p}}
	}
	for _, c := range []struct {
		name     string
		readOnly bool
		t        target
		want     bool
	}{
		{"one writer, a file system", false, target{Request: &Request{PV: pv(corev1.ReadWriteOnce)}, fsType: "ext4"}, true},
		{"one pod", false, target{Request: &Request{PV: pv(corev1.ReadWriteOncePod)}, fsType: "ext4"}, true},
		{"several writers", false, target{Request: &Request{PV: pv(corev1.ReadWriteMany)}, fsType: "ext4"}, false},
		{"no file system named", false, target{Request: &Request{PV: pv(corev1.ReadWriteOnce)}}, false},
		{"policy None", false, target{Request: &Request{PV: pv(corev1.ReadWriteOnce)}, fsType: "ext4", object: policy(storagev1.NoneFSGroupPolicy)}, false},
		{"policy File", false, target{Request: &Request{PV: pv(corev1.ReadWriteMany)}, object: policy(storagev1.FileFSGroupPolicy)}, true},
		{"policy File, read only", true, target{Request: &Request{PV: pv(corev1.ReadWriteMany)}, object: policy(storagev1.FileFSGroupPolicy)}, false},
		{"inline", false, target{Request: &Request{}, fsType: "ext4"}, true},
	} {
		c.t.ReadOnly = c.readOnly
		if got := groups(&c.t); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

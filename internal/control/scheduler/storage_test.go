package scheduler_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/testkit"
)

// inStorage runs body in virtual time on nodes n and m, with the binder and the default scheduler.
func inStorage(t *testing.T, body func(c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{T: t, Cluster: testkit.StartWith(t, testkit.Options{NoScheduler: true, Controllers: []string{"serviceaccount", "persistentvolume-binder"}})}
		for _, name := range []string{"n", "m"} {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
			n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}
			n.Status.Capacity = n.Status.Allocatable
			add(c, client.Nodes, n)
			if _, err := c.Door.Patch(c.Context, client.Ref{Resource: client.Nodes, Name: name}, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		c.StartScheduler(t, scheduler.DefaultProfile())
		synctest.Wait()
		body(c)
	})
}

func add(c *cluster, res schema.GroupVersionResource, obj api.Object) {
	c.Helper()
	c.create(client.Ref{Resource: res, Namespace: obj.GetNamespace(), Name: obj.GetName()}, obj)
}

// localVolume is a volume on one node.
func localVolume(name, node, class string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		StorageClassName: class, PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/srv/" + name}},
		NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}}},
	}}
}

func theClaim(name, class string, modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	if len(modes) == 0 {
		modes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: modes, StorageClassName: &class,
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
}

func slowClass(name, provisioner string) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer)}
}

func using(claims ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, name := range claims {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
		}
	}
}

func (c *cluster) claim(name string) *corev1.PersistentVolumeClaim {
	c.Helper()
	pvc, err := client.Get[*corev1.PersistentVolumeClaim](c.Context, c.Door, client.PersistentVolumeClaims, "default", name)
	if err != nil {
		c.Fatal(err)
	}
	return pvc
}

func (c *cluster) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (c *cluster) wantMessage(pod, want string) {
	c.Helper()
	if got := c.message(pod); !strings.HasPrefix(got, want) {
		c.Errorf("%s: %q, want %q", pod, got, want)
	}
}

func (c *cluster) wantOn(pod, node string) {
	c.Helper()
	if got := c.get(pod).Spec.NodeName; got != node {
		c.Errorf("%s is on %q, want %q: %s", pod, got, node, c.message(pod))
	}
}

func TestPodsWaitForTheirClaims(t *testing.T) {
	inStorage(t, func(c *cluster) {
		c.pod("p", using("data"))
		c.pass(time.Second)
		c.wantMessage("p", `0/2 nodes are available: persistentvolumeclaim "data" not found.`)
		add(c, client.PersistentVolumeClaims, theClaim("data", ""))
		c.pass(5 * time.Second)
		c.wantMessage("p", "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
		add(c, client.PersistentVolumes, localVolume("v", "m", ""))
		c.pass(10 * time.Second)
		c.wantOn("p", "m")
		c.pod("q", using("data"), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "n"} })
		c.pass(time.Second)
		c.wantMessage("q", "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) didn't match Pod's node affinity/selector.")
	})
}

// Volumes are given to claims where their pods are to run, and none twice.
func TestVolumesAreGivenWithTheNode(t *testing.T) {
	inStorage(t, func(c *cluster) {
		add(c, client.StorageClasses, slowClass("local", volumes.NoProvisioner))
		add(c, client.PersistentVolumes, localVolume("v", "m", "local"))
		for _, name := range []string{"a", "b"} {
			add(c, client.PersistentVolumeClaims, theClaim(name, "local"))
			c.pod(name, using(name))
		}
		c.pass(10 * time.Second)
		first, second := "a", "b"
		if c.get("a").Spec.NodeName == "" {
			first, second = "b", "a"
		}
		c.wantOn(first, "m")
		if pvc := c.claim(first); pvc.Spec.VolumeName != "v" || pvc.Status.Phase != corev1.ClaimBound {
			c.Errorf("%s: %q, %s", first, pvc.Spec.VolumeName, pvc.Status.Phase)
		}
		c.wantMessage(second, "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.")
		add(c, client.PersistentVolumes, localVolume("w", "n", "local"))
		c.pass(20 * time.Second)
		c.wantOn(second, "n")
	})
}

// The pod has its node when the volume that is made for it there is bound; what fails is tried again.
func TestVolumesAreMadeForTheNode(t *testing.T) {
	inStorage(t, func(c *cluster) {
		add(c, client.StorageClasses, slowClass("made", "example.com/maker"))
		add(c, client.PersistentVolumeClaims, theClaim("data", "made"))
		c.pod("p", using("data"))
		c.pod("other") // is not held up
		c.pass(time.Second)
		node := c.claim("data").Annotations[volumes.SelectedNode]
		if node == "" || c.get("p").Spec.NodeName != "" || c.get("other").Spec.NodeName == "" {
			c.Fatalf("chosen %q, pod on %q, other on %q", node, c.get("p").Spec.NodeName, c.get("other").Spec.NodeName)
		}
		// The maker has no room there.
		pvc := c.claim("data").DeepCopy()
		delete(pvc.Annotations, volumes.SelectedNode)
		if _, err := client.Update(c.Context, c.Door, client.PersistentVolumeClaims, pvc); err != nil {
			c.Fatal(err)
		}
		synctest.Wait()
		c.wantMessage("p", `running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"`)
		c.pass(15 * time.Second)
		if node = c.claim("data").Annotations[volumes.SelectedNode]; node == "" {
			c.Fatal("not tried again")
		}
		pv := localVolume("made", node, "made")
		pv.Spec.ClaimRef = volumes.Reference(c.claim("data"))
		add(c, client.PersistentVolumes, pv)
		c.pass(5 * time.Second)
		c.wantOn("p", node)
	})
}

func TestWhatClaimsAndDriversForbid(t *testing.T) {
	inStorage(t, func(c *cluster) {
		v := localVolume("v", "n", "")
		v.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
		add(c, client.PersistentVolumes, v)
		one := theClaim("one", "", corev1.ReadWriteOncePod)
		one.Spec.VolumeName = "v"
		add(c, client.PersistentVolumeClaims, one)
		c.pass(time.Second)
		c.pod("first", using("one"))
		c.pass(time.Second)
		c.wantOn("first", "n")
		c.pod("second", using("one"))
		c.pass(time.Second)
		c.wantMessage("second", "0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.")
		zero := int64(0)
		if err := c.Door.Delete(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: "first"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			c.Fatal(err)
		}
		c.pass(20 * time.Second)
		c.wantOn("second", "n")

		// A driver's limit, and its free storage.
		add(c, client.CSIDrivers, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "csi.example.com"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: new(true)}})
		for _, name := range []string{"n", "m"} {
			add(c, client.CSINodes, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{
				Name: "csi.example.com", NodeID: name, Allocatable: &storagev1.VolumeNodeResources{Count: new(int32(1))},
			}}}})
		}
		add(c, client.StorageClasses, slowClass("csi", "csi.example.com"))
		for _, name := range []string{"x", "y"} {
			add(c, client.PersistentVolumeClaims, theClaim(name, "csi"))
		}
		synctest.Wait() // two reasons of one pod that follow at once may be written in either order
		c.pod("x", using("x"))
		c.pass(time.Second)
		c.wantMessage("x", "0/2 nodes are available: 2 node(s) did not have enough free storage.")
		add(c, client.CSIStorageCapacities, &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "m"}, StorageClassName: "csi",
			NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelHostname: "m"}}, Capacity: new(resource.MustParse("5Gi"))})
		c.pass(20 * time.Second)
		if node := c.claim("x").Annotations[volumes.SelectedNode]; node != "m" {
			c.Errorf("chosen %q where there is room on m: %s", node, c.message("x"))
		}
		c.pod("y", using("y"))
		c.pass(time.Second)
		c.wantMessage("y", "0/2 nodes are available: 1 node(s) did not have enough free storage, 1 node(s) exceed max volume count.")
	})
}

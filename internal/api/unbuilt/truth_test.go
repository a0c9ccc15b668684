package unbuilt_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/unbuilt"

	corev1 "k8s.io/api/core/v1"
)

func typeName(obj api.Object) string { return fmt.Sprintf("%T", obj) }

// rooms are where a field of a pod is acted upon, seen from this folder; the API's own room only checks and prints. Admission
// also checks fields that others would have to act upon, so what it reads proves nothing against the list.
var (
	rooms     = []string{"../../node", "../../control"}
	admission = []string{"../../hub/admit"}
)

// whole are fields that are handed on or read as a whole, so that no room names what is inside.
var whole = []string{
	"NodeAffinity.", "NodeSelector.", "NodeSelectorTerm.", "PreferredSchedulingTerm.", // k8s.io/component-helpers' nodeaffinity
	"PodAffinity.", "PodAntiAffinity.", "PodAffinityTerm.", "WeightedPodAffinityTerm.", "TopologySpreadConstraint.", // below fields that are on the list
	"PersistentVolumeClaimSpec.", "TypedLocalObjectReference.", "TypedObjectReference.", "PodResourceClaim.", "CSIVolumeSource.", "NFSVolumeSource.",
	"ISCSIVolumeSource.", "FCVolumeSource.", "VolumeDevice.", "PersistentVolumeClaimVolumeSource.",
	"EphemeralVolumeSource.",
	"Toleration.TolerationSeconds", // control reads it by another name of the selector's chain
}

// elsewhere are fields that nobody on this list would act upon, with the reason.
var elsewhere = map[string]string{
	"PodSpec.DeprecatedServiceAccount":            "defaulting keeps it equal to serviceAccountName",
	"PodSpec.EvictionResponders":                  "dropped: off by default in v1.37",
	"VolumeMount.BindMountOptions":                "dropped: off by default in v1.37",
	"SecretVolumeSource.DefaultUser":              "dropped: off by default in v1.37",
	"ConfigMapVolumeSource.DefaultUser":           "dropped: off by default in v1.37",
	"DownwardAPIVolumeSource.DefaultUser":         "dropped: off by default in v1.37",
	"ProjectedVolumeSource.DefaultUser":           "dropped: off by default in v1.37",
	"ServiceAccountTokenProjection.User":          "dropped: off by default in v1.37",
	"SecurityContext.WindowsOptions":              "Linux only",
	"PodSecurityContext.WindowsOptions":           "Linux only",
	"EphemeralContainerCommon.ResizePolicy":       "may not be set on ephemeral containers",
	"EphemeralContainerCommon.VolumeDevices":      "goes with Container.VolumeDevices",
	"EphemeralContainerCommon.RestartPolicyRules": "may not be set on ephemeral containers",
	"ClusterTrustBundleProjection.User":           "dropped: off by default in v1.37",
	"PodCertificateProjection.User":               "dropped: off by default in v1.37",
}

// gone are volume types that upstream has taken out of the kubelet or hands to CSI drivers; their own fields are not walked.
var gone = []string{
	"GCEPersistentDisk", "AWSElasticBlockStore", "GitRepo", "Glusterfs", "RBD", "FlexVolume", "Cinder", "CephFS", "Flocker", "AzureFile", "VsphereVolume", "Quobyte",
	"AzureDisk", "PhotonPersistentDisk", "PortworxVolume", "ScaleIO", "StorageOS",
}

// The list is true in both directions: a field of a pod that no room reads is on it, and none that is on it is read.
func TestPodFieldsAreReadOrListed(t *testing.T) {
	acted := selectors(t, rooms)
	read := selectors(t, slices.Concat(rooms, admission))
	listed := unbuilt.PodFields()
	for _, f := range podFields() {
		_, name, _ := strings.Cut(f, ".")
		isListed := slices.Contains(listed, f)
		switch {
		case isListed && acted[name]:
			t.Errorf("%s is on the list of what is not built, and read at %s", f, where(t, name))
		case isListed || read[name] || elsewhere[f] != "" || slices.ContainsFunc(whole, func(p string) bool { return f == p || strings.HasSuffix(p, ".") && strings.HasPrefix(f, p) }):
		default:
			t.Errorf("%s is read nowhere and stands on no list", f)
		}
	}
	for _, f := range listed {
		if !slices.Contains(podFields(), f) {
			t.Errorf("%s is no field of a pod", f)
		}
	}
}

// podFields are all fields in a pod's spec, as "Type.Field".
func podFields() []string {
	var out []string
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t.PkgPath() != "k8s.io/api/core/v1" || seen[t] || strings.HasPrefix(t.Name(), "Windows") {
			return
		}
		seen[t] = true
		for f := range t.Fields() {
			if slices.Contains(gone, f.Name) {
				continue
			}
			if !f.Anonymous {
				out = append(out, t.Name()+"."+f.Name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[corev1.PodSpec]())
	return out
}

// selectors are the names that code in some rooms selects from anything (x.Name), outside tests.
func selectors(t *testing.T, in []string) map[string]bool {
	out := map[string]bool{}
	inspect(t, in, func(name string, _ token.Position) { out[name] = true })
	return out
}

func where(t *testing.T, name string) string {
	var at string
	inspect(t, rooms, func(n string, pos token.Position) {
		if n == name {
			at = pos.String()
		}
	})
	return at
}

func inspect(t *testing.T, in []string, found func(name string, at token.Position)) {
	t.Helper()
	for _, room := range in {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, src, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					found(s.Sel.Name, set.Position(s.Pos()))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

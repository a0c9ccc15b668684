package plugin

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// builtin is every plugin that is a filter or a score.
func builtin() []Signed {
	return []Signed{NodeUnschedulable{}, NodeName{}, TaintToleration{}, NodeAffinity{}, NodePorts{}, Fit{}, Balanced{}, NewImageLocality(), NodeDeclaredFeatures{}}
}

// Any field of a pod may change: while a plugin's fragment stays the same, so do its answers about every node. A plugin that
// reads a field and does not sign it fails here, whichever field it is.
func TestEqualFragmentsMeanEqualAnswers(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 3))
	nodes := signedNodes(dice)
	var signer Signer
	equal, different := map[string]int{}, map[string]int{}
	for range 15000 {
		a := randomPod(dice)
		b := a.DeepCopy()
		for range 1 + dice.IntN(3) {
			mutate(dice, reflect.ValueOf(b).Elem(), 0)
		}
		pa, pb := NewPod(a), NewPod(b)
		for _, p := range builtin() {
			if signer.Sign(pa, []Signed{p}) != signer.Sign(pb, []Signed{p}) {
				different[p.Name()]++
				continue
			}
			equal[p.Name()]++
			for _, n := range nodes {
				if x, y := answers(p, pa, n, nodes), answers(p, pb, n, nodes); x != y {
					t.Fatalf("%s signs two pods alike and says of %s %s and %s\n%v\n%v", p.Name(), n.Name, x, y, a, b)
				}
			}
		}
	}
	for _, p := range builtin() {
		if equal[p.Name()] < 1000 || different[p.Name()] < 50 {
			t.Errorf("%s: %d pairs signed alike, %d not: the pods are not random enough", p.Name(), equal[p.Name()], different[p.Name()])
		}
	}
}

// answers is all that a plugin says of a pod on a node.
func answers(p Signed, pod *Pod, node *Node, all []*Node) string {
	if x, ok := p.(*ImageLocality); ok {
		for _, n := range all {
			x.Node(NewNode(n.Name), n)
		}
		defer func() {
			for _, n := range all {
				x.Node(n, NewNode(n.Name))
			}
		}()
	}
	var b strings.Builder
	if f, ok := p.(Filter); ok {
		fmt.Fprint(&b, f.Filter(pod, node))
	}
	if s, ok := p.(Score); ok {
		fmt.Fprint(&b, s.Score(pod, node))
	}
	return b.String()
}

func signedNodes(dice *rand.Rand) []*Node {
	var out []*Node
	for i := range 12 {
		name := pick(dice, words)
		obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{pick(dice, words): pick(dice, words)}}}
		obj.Spec.Unschedulable = i == 0
		if i%3 == 0 {
			obj.Spec.Taints = []corev1.Taint{{Key: pick(dice, words), Value: pick(dice, words), Effect: corev1.TaintEffectNoSchedule}}
		}
		if i%3 == 1 {
			obj.Spec.Taints = []corev1.Taint{{Key: pick(dice, words), Value: pick(dice, words), Effect: corev1.TaintEffectPreferNoSchedule}}
		}
		obj.Status.Allocatable = corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewMilliQuantity(int64(4+i), resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(int64(4+i), resource.DecimalSI),
			corev1.ResourcePods: resource.MustParse("10"), "a": *resource.NewQuantity(int64(i), resource.DecimalSI),
		}
		obj.Status.Images = []corev1.ContainerImage{{Names: []string{pick(dice, words)}, SizeBytes: int64(i) << 28}}
		if i%2 == 0 { // room for what containers without requests are taken to ask for
			obj.Status.Allocatable[corev1.ResourceCPU] = *resource.NewMilliQuantity(int64(500+1000*i), resource.DecimalSI)
			obj.Status.Allocatable[corev1.ResourceMemory] = *resource.NewQuantity(int64(1+i)<<30, resource.BinarySI)
		}
		n := NewNode(name).With(obj)
		port := testPort(1 + dice.Int32N(3))
		if i%3 == 0 {
			port.Spec.Containers[0].Ports[0].HostIP = "a"
		}
		out = append(out, n.WithPod(NewPod(port)))
	}
	return out
}

func testPort(port int32) *corev1.Pod {
	p := &corev1.Pod{}
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: port}}}}
	return p
}

// words are few, so that pods and nodes often speak of the same.
var words = []string{"a", "b", "cpu", "memory", corev1.TaintNodeUnschedulable, "NoSchedule", "In", "Exists", "Always", "metadata.name"}

func pick(dice *rand.Rand, from []string) string { return from[dice.IntN(len(from))] }

func randomPod(dice *rand.Rand) *corev1.Pod {
	p := testPort(dice.Int32N(3))
	for range 6 {
		mutate(dice, reflect.ValueOf(p).Elem(), 0)
	}
	return p
}

// mutate changes one random field somewhere below v. Values of its own kind are small.
func mutate(dice *rand.Rand, v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	if q, ok := v.Addr().Interface().(*resource.Quantity); ok {
		*q = [...]resource.Quantity{resource.MustParse("0"), resource.MustParse("1"), resource.MustParse("3"), resource.MustParse("100m"), resource.MustParse("200Mi")}[dice.IntN(5)]
		return
	}
	if _, ok := v.Addr().Interface().(*metav1.Time); ok {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(pick(dice, words))
	case reflect.Bool:
		v.SetBool(dice.IntN(2) == 0)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(dice.IntN(4)))
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		} else if dice.IntN(6) == 0 {
			v.Set(reflect.Zero(v.Type()))
			return
		}
		mutate(dice, v.Elem(), depth+1)
	case reflect.Slice:
		if v.Len() == 0 || dice.IntN(6) == 0 {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		}
		mutate(dice, v.Index(dice.IntN(v.Len())), depth+1)
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		mutate(dice, key, depth+1)
		mutate(dice, value, depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		mutateField(dice, v, depth)
	}
}

// mutateField goes into the parts of a pod that matter more often than into others.
func mutateField(dice *rand.Rand, v reflect.Value, depth int) {
	i := dice.IntN(v.NumField())
	likely := map[string]bool{"Spec": true, "Affinity": true, "NodeAffinity": true, "Containers": true, "Tolerations": true, "NodeSelector": true, "Resources": true, "Requests": true,
		"Ports": true, "HostPort": true, "HostIP": true, "HostUsers": true, "HostNetwork": true}
	if dice.IntN(2) == 0 {
		for tries := 0; tries < 40 && !likely[v.Type().Field(i).Name]; tries++ {
			i = dice.IntN(v.NumField())
		}
	}
	if v.Type().Field(i).IsExported() {
		mutate(dice, v.Field(i), depth+1)
	}
}

package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// shot is what a scene left, with everything that is by chance made alike.
type shot struct {
	trouble []string            // what steps were told
	objects map[string][]string // as sorted lines "path: value", joined; by resource and name
	events  []string            // each once
}

var (
	aUID    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	aTime   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	anIP    = regexp.MustCompile(`\b(10|172|192|100)\.\d+\.\d+\.\d+\b|\bfd[0-9a-f:]+\b`)
	aVolume = regexp.MustCompile(`NS\.v\d`)
	aNode   = regexp.MustCompile(`NS\.n\d`)
	// suffix is of a name that was made of another by chance, for names that no object showed.
	suffix = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
	// minute is what a CronJob's Jobs are named by.
	minute = regexp.MustCompile(`-2\d{7}\b`)
	// placement is what a scheduler says of a pod, which counts the nodes of other scenes.
	placement = regexp.MustCompile(`\d+/\d+ nodes are available.*`)
	nodePort  = regexp.MustCompile(`nodePort: 3\d{4}\b`)
	// took is how long something took, or is still to take.
	took = regexp.MustCompile(`\b\d+(\.\d+)?(s|ms|m\d+s)\b`)
)

// alikeText makes a text alike.
func (st *stage) alikeText(s string) string {
	st.mu.Lock()
	names := st.names
	var by []string
	for name, alike := range names {
		if strings.Contains(s, name) {
			by = append(by, name, alike)
		}
	}
	st.mu.Unlock()
	if len(by) > 0 {
		s = strings.NewReplacer(by...).Replace(s)
	}
	s = st.self.ReplaceAllString(s, "NS")
	s = aUID.ReplaceAllString(s, "UID")
	if st.scene.theme == "statefulset" {
		s = aVolume.ReplaceAllString(s, "VOLUME") // any of them will do
	}
	s = aTime.ReplaceAllString(s, "TIME")
	s = anIP.ReplaceAllString(s, "IP")
	s = aNode.ReplaceAllString(s, "NODE")
	s = suffix.ReplaceAllString(s, "-~")
	s = minute.ReplaceAllString(s, "-MINUTE")
	s = placement.ReplaceAllString(s, "NODES")
	return took.ReplaceAllString(s, "TOOK")
}

// chance are fields whose value says nothing.
var chance = map[string]bool{
	"metadata.uid": true, "metadata.resourceVersion": true, "metadata.creationTimestamp": true, "metadata.managedFields": true, "metadata.selfLink": true, "metadata.name": true,
	"spec.claimRef.resourceVersion": true, "metadata.annotations.node.alpha.kubernetes.io/ttl": true,
	"metadata.annotations.kubectl.kubernetes.io/last-applied-configuration": true, "status.nodeInfo": true, "status.images": true,
}

// lines lists what an object holds, a line a leaf. What stands in lists is sorted.
func (st *stage) lines(path string, v any) []string {
	if chance[path] {
		return nil
	}
	switch v := v.(type) {
	case object:
		var out []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := key
			if path != "" {
				at = path + "." + key
			}
			out = append(out, st.lines(st.alikeText(at), v[key])...)
		}
		if len(v) == 0 {
			out = append(out, path+": {}")
		}
		return out
	case list:
		var each []string
		for _, x := range v {
			each = append(each, nodePort.ReplaceAllString(strings.Join(st.lines("", x), "; "), "nodePort: PORT"))
		}
		slices.Sort(each)
		var out []string
		for i, x := range each {
			out = append(out, fmt.Sprintf("%s[%d]: %s", path, i, x))
		}
		return out
	case string:
		if path == "" {
			return []string{st.alikeText(v)}
		}
		return []string{path + ": " + st.alikeText(v)}
	default:
		return []string{fmt.Sprintf("%s: %v", path, v)}
	}
}

// shoot shows a stage as it is.
func (st *stage) shoot() shot {
	sh := shot{trouble: slices.Clone(st.notes), objects: map[string][]string{}}
	for resource := range st.side.views {
		for _, o := range st.side.list(st, resource) {
			if resource == "events" {
				// That a pod waited is by chance.
				if e := st.event(o.Object); !strings.Contains(e, " FailedScheduling ") {
					sh.events = append(sh.events, e)
				}
				continue
			}
			obj := o.DeepCopy().Object
			if resource == "secrets" || resource == "configmaps" && o.GetName() == "kube-root-ca.crt" {
				for key := range asObject(obj["data"]) {
					obj["data"].(object)[key] = "CONTENT"
				}
			}
			if resource == "endpointslices" {
				delete(asObject(obj["metadata"]), "generation") // how often it was written
			}
			name := resource + "/" + st.alikeText(o.GetName())
			if resource == "nodes" {
				name = resource + strings.TrimPrefix(o.GetName(), st.ns)
			}
			if st.scene.theme == "statefulset" && resource == "persistentvolumes" {
				delete(asObject(obj["metadata"]), "labels")
			}
			sh.objects[name] = append(sh.objects[name], strings.Join(st.lines("", obj), "\n"))
		}
	}
	for _, same := range sh.objects {
		slices.Sort(same)
	}
	slices.Sort(sh.events)
	sh.events = slices.Compact(sh.events)
	return sh
}

func asObject(v any) object {
	o, _ := v.(object)
	return o
}

func (st *stage) event(e object) string {
	about := asObject(e["involvedObject"])
	by, _, _ := unstructured.NestedString(e, "source", "component")
	if by == "" {
		by, _ = e["reportingComponent"].(string)
	}
	return st.alikeText(fmt.Sprintf("%s %s %v/%v %v by %s: %v", e["type"], e["reason"], about["kind"], about["name"], cmp.Or(about["fieldPath"], any("")), by, e["message"]))
}

// compare tells where two shots differ, a line a difference.
func compare(peer, ours shot) (diffs []string) {
	diffs = append(diffs, setDiff("told", peer.trouble, ours.trouble)...)
	names := map[string]bool{}
	for name := range peer.objects {
		names[name] = true
	}
	for name := range ours.objects {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, b := peer.objects[name], ours.objects[name]
		if len(a) != len(b) {
			diffs = append(diffs, fmt.Sprintf("%s: %d on the peer, %d on sampan", name, len(a), len(b)))
			continue
		}
		for i := range a {
			if a[i] != b[i] {
				diffs = append(diffs, setDiff(name, strings.Split(a[i], "\n"), strings.Split(b[i], "\n"))...)
			}
		}
	}
	return append(diffs, setDiff("event", peer.events, ours.events)...)
}

func setDiff(what string, peer, ours []string) (diffs []string) {
	for _, x := range peer {
		if !slices.Contains(ours, x) {
			diffs = append(diffs, fmt.Sprintf("%s: only on the peer: %s", what, x))
		}
	}
	for _, x := range ours {
		if !slices.Contains(peer, x) {
			diffs = append(diffs, fmt.Sprintf("%s: only on sampan: %s", what, x))
		}
	}
	return diffs
}

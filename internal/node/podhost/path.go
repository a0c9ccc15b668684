package podhost

import (
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Paths are where a machine keeps what is a pod's. The layout is upstream's: CSI drivers and log shippers hard-code it.
type Paths struct {
	Root  string // /var/lib/kubelet
	Logs  string // /var/log/pods
	Links string // /var/log/containers; "-": no links are made
}

func (p Paths) pod(uid types.UID) string   { return filepath.Join(p.Pods(), string(uid)) }
func (p Paths) hosts(uid types.UID) string { return filepath.Join(p.pod(uid), "etc-hosts") }
func (p Paths) container(uid types.UID, name string) string {
	return filepath.Join(p.pod(uid), "containers", name)
}

// Pods is the directory that all pods' directories are in.
func (p Paths) Pods() string { return filepath.Join(p.Root, "pods") }

// PodLogs is the directory of a pod's logs.
func (p Paths) PodLogs(pod *corev1.Pod) string {
	return filepath.Join(p.Logs, pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// link is the name under which log shippers look for the log of a container's run.
func (p Paths) link(pod *corev1.Pod, container, id string) string {
	base := fmt.Sprintf("%s_%s_%s-%s", pod.Name, pod.Namespace, container, id)
	return filepath.Join(p.Links, base[:min(len(base), 255-len(".log"))]+".log")
}

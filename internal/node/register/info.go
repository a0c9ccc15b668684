package register

import (
	"cmp"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// Arch is the machine's architecture as labels and statuses name it: "amd64".
const Arch = goruntime.GOARCH

// maxImages is how many images a node's status names, the largest first.
const maxImages = 50

// systemInfo reads what the machine says of itself. machineID stands in for the machine's own where it is not "".
func systemInfo(version, machineID string) corev1.NodeSystemInfo {
	i := corev1.NodeSystemInfo{
		OperatingSystem: "linux", Architecture: Arch, KubeletVersion: version,
		BootID: trimmed("/proc/sys/kernel/random/boot_id"), KernelVersion: trimmed("/proc/sys/kernel/osrelease"), OSImage: osImage(),
		MachineID: cmp.Or(trimmed("/etc/machine-id"), trimmed("/var/lib/dbus/machine-id")),
	}
	if swap := SwapTotal(); swap > 0 {
		i.Swap = &corev1.NodeSwapStatus{Capacity: &swap}
	}
	if machineID != "" {
		i.MachineID, i.SystemUUID = machineID, machineID
		return i
	}
	i.SystemUUID = cmp.Or(trimmed("/sys/class/dmi/id/product_uuid"), i.MachineID)
	return i
}

// SwapTotal is how much of the machine's memory can be swapped out, in bytes.
func SwapTotal() int64 {
	for _, line := range strings.Split(trimmed("/proc/meminfo"), "\n") {
		if v, ok := strings.CutPrefix(line, "SwapTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func osImage() string {
	for _, line := range strings.Split(trimmed("/etc/os-release"), "\n") {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "Linux"
}

// nodeImages are the largest images, as a node's status names them.
func nodeImages(imgs []runtime.Image) []corev1.ContainerImage {
	slices.SortFunc(imgs, func(a, b runtime.Image) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.ID, b.ID)) })
	var out []corev1.ContainerImage
	for _, img := range imgs[:min(len(imgs), maxImages)] {
		names := append(slices.Clone(img.Digests), img.Tags...)
		if len(names) > 5 {
			names = names[:5]
		}
		if len(names) > 0 {
			out = append(out, corev1.ContainerImage{Names: names, SizeBytes: img.Size})
		}
	}
	return out
}

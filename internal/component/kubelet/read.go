package kubelet

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/api/core"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/image/provider"
	"sampan.dev/internal/node/kubelet"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/users"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

func parseNumber(s string, to *int64) (err error) {
	*to, err = strconv.ParseInt(s, 10, 64)
	return err
}

// Read reads the file that --config names and the drop-ins of --config-dir, if any.
func (c *Config) Read(table flag.Table, fs *pflag.FlagSet) error {
	const kind, version = "KubeletConfiguration", "kubelet.config.k8s.io/v1beta1"
	switch {
	case c.Folder != "":
		c.strict(fs)
		skipped, err := table.ReadFolder(c.File, c.Folder, fs, kind, version)
		c.skipped = skipped
		return err
	case c.File != "":
		c.strict(fs)
		return table.ReadFile(c.File, fs, kind, version)
	}
	return nil
}

// name is the node's: the flag's, or the host's in lower case.
func (c *Config) name() (string, error) {
	if c.NodeName != "" {
		return strings.ToLower(strings.TrimSpace(c.NodeName)), nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("couldn't determine hostname: %w", err)
	}
	return strings.ToLower(host), nil
}

// Kubelet is what node/kubelet runs of the settings; door, runtime and log are the caller's to add. Errors are of the settings.
func (c *Config) Kubelet(name string) (out kubelet.Config, err error) {
	out = kubelet.Config{
		NodeName: name, RootDir: c.RootDir, LogDir: c.PodLogs, RuntimeEndpoint: c.Endpoint,
		ClusterDNS: c.ClusterDNS, ClusterDomain: c.Domain, ResolvConf: c.ResolvConf,
		Register: c.Register, Taints: c.Taints, CloudProvider: c.CloudProvider, ProviderID: c.ProviderID,
		Port: c.Port, MaxPods: int64(c.MaxPods), PodPids: c.PodPids, UserIDs: c.UserIDs, StaticPods: c.StaticPods,
		ManifestURL: c.ManifestURL, ManifestHeader: c.ManifestHeader, ManifestEvery: c.ManifestEvery,
		CgroupRoot: c.CgroupRoot, CgroupDriver: c.CgroupDriver, PodKind: core.Pods(),
		StatusEvery: c.StatusEvery, ReportEvery: c.ReportEvery, SyncEvery: c.SyncEvery, CrashMax: c.CrashMax,
		LogMaxFiles: int(c.LogMaxFiles), AllowedUnsafeSysctls: c.Sysctls, Version: config.Version,
	}
	out.LeaseDuration = seconds(c.LeaseSeconds)
	if c.CloudProvider != "" && c.CloudProvider != "external" {
		return out, fmt.Errorf("--cloud-provider %q: only \"external\" or none; provider code lives in a cloud-controller-manager", c.CloudProvider)
	}
	if c.MaxPods < 0 {
		return out, fmt.Errorf("maxPods (--max-pods) %d must not be a negative number", c.MaxPods)
	}
	if c.CrashMax < time.Second || c.CrashMax > podstate.BackoffMax {
		return out, fmt.Errorf("invalid configuration: CrashLoopBackOff.MaxContainerRestartPeriod (got: %v seconds) must be set between 1s and 300s", c.CrashMax.Seconds())
	}
	if err := users.CheckPerPod(c.UserIDs); err != nil {
		return out, err
	}
	if out.Labels, err = Labels(c.NodeLabels); err != nil {
		return out, err
	}
	if out.NodeIPs, err = NodeIPs(c.NodeIP); err != nil {
		return out, err
	}
	reserves, err := ReadReserves(c.SystemReserved, c.KubeReserved, thresholds(c.EvictionHard))
	if err != nil {
		return out, err
	}
	out.SystemReserved, out.KubeReserved, out.EvictionHard = reserves.System, reserves.Kube, reserves.EvictionHard
	out.Eviction = evict.Settings{Soft: c.EvictionSoft, Grace: c.EvictionGrace, Reclaim: c.EvictionReclaim, MaxGrace: int64(c.EvictionMaxGrace), Transition: c.EvictionTransition}
	if err := c.Shutdown.Check(); err != nil {
		return out, err
	}
	out.Shutdown = c.Shutdown
	if out.Pulls, err = c.pulls(); err != nil {
		return out, err
	}
	if c.ProviderConfig != "" || c.ProviderBin != "" {
		out.ProviderBin = c.ProviderBin
		if out.Providers, _, err = provider.Read(c.ProviderConfig, c.ProviderBin); err != nil {
			return out, fmt.Errorf("failed to register CRI auth plugins: %w", err)
		}
	}
	qos := c.Features["MemoryQoS"] != "false" // it is on unless somebody says otherwise
	if out.Memory, err = podspec.ReadMemoryRules(c.Reservation, c.SwapBehavior, c.Throttle, c.OneProcess, cgroup.Unified(), qos); err != nil {
		return out, err
	}
	out.Verify = image.Verification{Policy: c.VerifyImages, Allowed: c.VerifyAllowed}
	out.Images = image.Policy{High: int(c.ImageHigh), Low: int(c.ImageLow), MinAge: c.ImageMinAge, MaxAge: c.ImageMaxAge}
	if out.Placement, err = c.placed(); err != nil {
		return out, err
	}
	size, err := resource.ParseQuantity(c.LogMaxSize)
	if err != nil || size.Value() <= 0 {
		return out, fmt.Errorf("--container-log-max-size %q: want a positive quantity", c.LogMaxSize)
	}
	out.LogMaxSize = size.Value()
	return out, nil
}

// pulls are the limits of pulls. What the file says of how many at once stands for serializeImagePulls too, unless that is said, as upstream
// has it.
func (c *Config) pulls() (image.Limits, error) {
	out := image.Limits{Parallel: int(c.ParallelPulls), QPS: int(c.PullQPS), Burst: int(c.PullBurst)}
	switch {
	case c.ParallelPulls < 0:
		return out, fmt.Errorf("invalid configuration: maxParallelImagePulls %v must be a positive number", c.ParallelPulls)
	case c.SerialPulls && c.ParallelPulls < 2:
		out.Parallel = 1
	}
	return out, out.Check()
}

// thresholds writes signals as --eviction-hard does.
func thresholds(m map[string]string) string {
	var items []string
	for _, signal := range slices.Sorted(maps.Keys(m)) {
		items = append(items, signal+"<"+m[signal])
	}
	return strings.Join(items, ",")
}

package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/shutdown"
)

// Reasons that several settings share.
const (
	reviews   = "every request is authenticated and authorized, by certificates and the API server's reviews"
	noCgroup  = "nothing but pods is put into cgroups"
	noFlex    = "FlexVolume drivers are not run"
	noIPT     = "no iptables rules are made"
	byEvents  = "what changes is seen as it changes"
	noTracing = "traces are not written yet"
	oldGC     = "containers that have ended stay with their pod, the newest run of each"
)

// Table is every flag and every field of the file, and what becomes of it.
func (c *Config) Table() flag.Table {
	return flag.Join(c.node(), component.Limits("int32", "50", "100", "kubeAPIQPS", "kubeAPIBurst"), component.Pair(&c.CertFile, &c.KeyFile),
		c.server(), c.runtime(), c.limits(), c.placement(), c.pods(), c.images(), c.machine(), c.onNode(), c.Log.Rows("logging"))
}

func (c *Config) node() flag.Table {
	return flag.Table{
		flag.Set("config", flag.String(&c.File), "KubeletConfiguration (file); flags win over it"),
		flag.Set("config-dir", flag.String(&c.Folder), "folder of KubeletConfigurations (*.conf); each, in the order of their names, changes what --config and those before it say"),
		flag.Set("kubeconfig", flag.String(&c.Kubeconfig), "file with the API server and the node's credentials; without it static pods run alone"),
		flag.Set("bootstrap-kubeconfig", flag.String(&c.BootstrapKubeconfig), "file with credentials to ask for the node's own with, where --kubeconfig does not exist yet"),
		flag.Set("cert-dir", flag.String(&c.CertDir), "where certificates are kept"),
		flag.Set("rotate-certificates", flag.Bool(&c.Rotate), "ask for the next client certificate in time").At("rotateCertificates"),
		component.NodeName(&c.NodeName),
		flag.Set("node-ip", flag.String(&c.NodeIP), "address of the node, or one of each family; default is that of the default route's link"),
		flag.Set("node-labels", flag.Typed("mapStringString", &c.NodeLabels), "labels to register with: key=value,…"),
		flag.Set("register-node", flag.Bool(&c.Register), "make the Node object").At("registerNode"),
		flag.Set("register-with-taints", flag.Taints(&c.Taints, Taints), "taints to register with: key=value:effect,…").At("registerWithTaints"),
		flag.Set("cloud-provider", flag.String(&c.CloudProvider), "empty or external"),
		flag.Set("provider-id", flag.String(&c.ProviderID), "the machine's name with its cloud").At("providerID"),
		flag.Set("root-dir", flag.String(&c.RootDir), "where the files of pods are"),
		flag.Set("", flag.String(&c.PodLogs), "where the logs of pods are").At("podLogsDir"),
		flag.Set("pod-manifest-path", flag.String(&c.StaticPods), "folder of static pods").At("staticPodPath"),
		flag.Set("manifest-url", flag.String(&c.ManifestURL), "URL of static pods").At("staticPodURL"),
		flag.Set("manifest-url-header", header{&c.ManifestHeader}, "headers sent to that URL: name:value,…").At("staticPodURLHeader"),
		flag.Ignore("file-check-frequency", "duration", "20s", byEvents).At("fileCheckFrequency"),
		flag.Set("http-check-frequency", flag.Duration(&c.ManifestEvery), "how often that URL is asked").At("httpCheckFrequency"),
		flag.Set("node-status-update-frequency", flag.Duration(&c.StatusEvery), "how often the node's status is looked at").At("nodeStatusUpdateFrequency"),
		flag.Set("", flag.Duration(&c.ReportEvery), "how often it is posted where nothing has changed").At("nodeStatusReportFrequency"),
		flag.Set("", flag.Int32(&c.LeaseSeconds), "how long the node's lease lasts").At("nodeLeaseDurationSeconds"),
		flag.Ignore("node-status-max-images", "int32", "50", "the fifty largest images are told").At("nodeStatusMaxImages"),
		flag.Ignore("event-qps", "int32", "50", "events that repeat are counted instead").At("eventRecordQPS"),
		flag.Ignore("event-burst", "int32", "100", "events that repeat are counted instead").At("eventBurst"),
		flag.Refuse("enable-controller-attach-detach", "bool", "true", "the control plane attaches volumes").But("true").At("enableControllerAttachDetach"),
		flag.Refuse("pod-cidr", "string", "", "the runtime's network gives pods their addresses").At("podCIDR"),
		flag.Refuse("runonce", "bool", "", "upstream has removed it").At("runOnce"),
		flag.Ignore("lock-file", "string", "", "two kubelets of one root directory are the caller's to prevent"),
		flag.Ignore("exit-on-lock-contention", "bool", "", "two kubelets of one root directory are the caller's to prevent"),
	}
}

func (c *Config) server() flag.Table {
	return flag.Table{
		flag.Set("enable-server", flag.Bool(&c.Serve), "serve logs, exec, metrics and the like").At("enableServer"),
		flag.Set("address", flag.IP(&c.Address), "address to serve on").At("address"),
		flag.Set("port", flag.Int32(&c.Port), "port to serve on").At("port"),
		flag.Set("read-only-port", flag.Int32(&c.ReadOnlyPort), "without --kubeconfig: port that tells everybody of the pods, without TLS; 0: none (default 0 with --config). With an API server nothing is served without authentication").At("readOnlyPort"),
		flag.Set("rotate-server-certificates", flag.Bool(&c.BootstrapServing), "ask the cluster for the certificate to show").At("serverTLSBootstrap"),
		flag.Ignore("", "strings", "", component.TLSChoice).At("tlsCurvePreferences"),
		component.LowestTLS(),
		flag.Set("client-ca-file", flag.String(&c.ClientCA), "whose client certificates are believed").At("authentication.x509.clientCAFile"),
		flag.Set("anonymous-auth", flag.Bool(&c.Anonymous), "without --kubeconfig: take requests without a certificate of --client-ca-file (default false with --config). With one, "+reviews).At("authentication.anonymous.enabled"),
		flag.Set("authentication-token-webhook", flag.Bool(&c.Webhook), "without --kubeconfig this must be false (default true with --config). With one, "+reviews).At("authentication.webhook.enabled"),
		flag.Ignore("authentication-token-webhook-cache-ttl", "duration", "2m0s", "answers are kept for two minutes").At("authentication.webhook.cacheTTL"),
		flag.Set("authorization-mode", flag.OneOf("string", &c.Authorization, alwaysAllow, webhook), "without --kubeconfig this must be AlwaysAllow (default Webhook with --config). With one, "+reviews).At("authorization.mode"),
		flag.Ignore("authorization-webhook-cache-authorized-ttl", "duration", "5m0s", "answers are kept for five minutes").At("authorization.webhook.cacheAuthorizedTTL"),
		flag.Ignore("authorization-webhook-cache-unauthorized-ttl", "duration", "30s", "denials are kept for thirty seconds").At("authorization.webhook.cacheUnauthorizedTTL"),
		flag.Set("healthz-bind-address", flag.IP(&c.HealthAddress), "address of /healthz").At("healthzBindAddress"),
		flag.Set("healthz-port", flag.Int32(&c.HealthPort), "port of /healthz; 0: none").At("healthzPort"),
		flag.Refuse("enable-debugging-handlers", "bool", "true", "logs and exec are always served to those who may").At("enableDebuggingHandlers"),
		flag.Ignore("contention-profiling", "bool", "", component.NoProfiles).At("enableContentionProfiling"),
		flag.Ignore("", "bool", "true", component.NoProfiles).At("enableProfilingHandler"),
		flag.Ignore("", "bool", "true", component.NoProfiles).At("enableDebugFlagsHandler"),
		flag.Ignore("", "bool", "true", "the folder of logs is served to those who may").At("enableSystemLogHandler"),
		flag.Refuse("", "bool", "", "the machine's journal is not asked").At("enableSystemLogQuery"),
		flag.Ignore("streaming-connection-idle-timeout", "duration", "4h0m0s", "the runtime ends streams that are idle").At("streamingConnectionIdleTimeout"),
		flag.Ignore("", "string", "", "no metric is hidden").At("showHiddenMetricsForVersion"),
		flag.Refuse("", "object", "", noTracing).At("tracing"),
	}
}

func (c *Config) runtime() flag.Table {
	return flag.Table{
		flag.Set("container-runtime-endpoint", flag.String(&c.Endpoint), "CRI socket").At("containerRuntimeEndpoint"),
		flag.Refuse("image-service-endpoint", "string", "", "images come from the same runtime").At("imageServiceEndpoint"),
		flag.Ignore("runtime-request-timeout", "duration", "2m0s", "each request to the runtime has a limit of its own").At("runtimeRequestTimeout"),
		flag.Ignore("runtime-cgroups", "string", "", noCgroup),
		flag.Set("cgroup-root", flag.String(&c.CgroupRoot), "cgroup below which kubepods is made").At("cgroupRoot"),
		flag.Set("cgroup-driver", flag.OneOf("string", &c.CgroupDriver, "cgroupfs", "systemd"), "cgroupfs or systemd").At("cgroupDriver"),
		flag.Refuse("cgroups-per-qos", "bool", "true", "pods have cgroups by their class").At("cgroupsPerQOS"),
		flag.Set("cluster-dns", flag.List(&c.ClusterDNS), "addresses of the cluster's DNS").At("clusterDNS"),
		flag.Set("cluster-domain", flag.String(&c.Domain), "domain of the cluster").At("clusterDomain"),
		flag.Set("resolv-conf", flag.String(&c.ResolvConf), "resolv.conf that pods with the node's DNS get").At("resolvConf"),
		flag.Ignore("hairpin-mode", "string", `"promiscuous-bridge"`, "the runtime's network decides").At("hairpinMode"),
		flag.Set("container-log-max-size", flag.String(&c.LogMaxSize), "size at which a container's log is turned over").At("containerLogMaxSize"),
		flag.Set("container-log-max-files", flag.Int32(&c.LogMaxFiles), "log files that a container may have").At("containerLogMaxFiles"),
		flag.Ignore("", "int32", "1", "logs are turned over one after the other").At("containerLogMaxWorkers"),
		flag.Ignore("", "duration", "10s", "logs are looked at every ten seconds").At("containerLogMonitorInterval"),
		flag.Set("sync-frequency", flag.Duration(&c.SyncEvery), "how often volumes are brought up to date without a reason").At("syncFrequency"),
	}
}

func (c *Config) limits() flag.Table {
	return flag.Table{
		flag.Set("max-pods", flag.Int32(&c.MaxPods), "pods that the node takes").At("maxPods"),
		flag.Set("pod-max-pids", pids{&c.PodPids}, "processes that a pod may have; -1: any number").At("podPidsLimit"),
		flag.Refuse("pods-per-core", "int32", "", "say how many with --max-pods").At("podsPerCore"),
		flag.Set("system-reserved", flag.Map(&c.SystemReserved), "resources kept from pods for the system: cpu=200m,memory=500Mi,…").At("systemReserved"),
		flag.Set("kube-reserved", flag.Map(&c.KubeReserved), "resources kept from pods for the kubelet itself").At("kubeReserved"),
		flag.Ignore("system-reserved-cgroup", "string", "", noCgroup).At("systemReservedCgroup"),
		flag.Ignore("kube-reserved-cgroup", "string", "", noCgroup).At("kubeReservedCgroup"),
		flag.Refuse("enforce-node-allocatable", "strings", "[pods]", "pods are held to what is left, and nothing else is").At("enforceNodeAllocatable").But("none", ""),
		flag.Refuse("qos-reserved", "mapStringString", "", "no class has memory of its own").At("qosReserved"),
		flag.Set("eviction-hard", flag.Thresholds(&c.EvictionHard), "thresholds of the node's pressure: memory.available<100Mi,…").At("evictionHard"),
		flag.Set("eviction-soft", flag.Thresholds(&c.EvictionSoft), "thresholds that evict once they have been crossed for a while: memory.available<300Mi,…").At("evictionSoft"),
		flag.Set("eviction-soft-grace-period", flag.Map(&c.EvictionGrace), "how long soft thresholds have to be crossed: memory.available=1m30s,…").At("evictionSoftGracePeriod"),
		flag.Set("eviction-max-pod-grace-period", flag.Int32(&c.EvictionMaxGrace), "seconds that a pod is given at most when a soft threshold evicts it").At("evictionMaxPodGracePeriod"),
		flag.Set("eviction-minimum-reclaim", flag.Map(&c.EvictionReclaim), "what is to be free beyond a crossed threshold: imagefs.available=2Gi,…").At("evictionMinimumReclaim"),
		flag.Set("eviction-pressure-transition-period", flag.Duration(&c.EvictionTransition), "how long pressure is told after it was last seen").At("evictionPressureTransitionPeriod"),
		flag.Refuse("", "bool", "", "thresholds that are given replace the defaults").At("mergeDefaultEvictionSettings"),
		flag.Set("allowed-unsafe-sysctls", flag.List(&c.Sysctls), "sysctls that pods may set beside the safe ones").At("allowedUnsafeSysctls"),
		flag.Refuse("", "mapStringString", "", "pods get the kernel's own values").At("defaultPodSysctls"),
		flag.Refuse("seccomp-default", "bool", "", "a pod says which profile it wants").At("seccompDefault"),
	}
}

// factor is a part of a whole, more than none of it; 0 is that nothing was said.
type factor struct{ to *float64 }

func (f factor) Type() string { return "float" }
func (f factor) String() string {
	if *f.to == 0 {
		return ""
	}
	return strconv.FormatFloat(*f.to, 'g', -1, 64)
}

func (f factor) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && (v <= 0 || v > 1) {
		err = fmt.Errorf("invalid configuration: memoryThrottlingFactor %v must be greater than 0 and less than or equal to 1.0", v)
	}
	*f.to = v
	return err
}

// choice is a switch of which something else follows where nothing is said of it.
type choice struct{ to **bool }

func (c choice) Type() string { return "bool" }
func (c choice) String() string {
	if *c.to == nil {
		return ""
	}
	return strconv.FormatBool(**c.to)
}

func (c choice) Set(s string) error {
	v, err := strconv.ParseBool(s)
	*c.to = &v
	return err
}

type pids struct{ to *int64 }

func (p pids) Type() string       { return "int" }
func (p pids) String() string     { return number(*p.to) }
func (p pids) Set(s string) error { return parseNumber(s, p.to) }

// periods is the value of shutdownGracePeriodByPodPriority, which the file alone has, as a list of objects.
type periods struct{ to *[]shutdown.Period }

func (p periods) Type() string              { return "object" }
func (p periods) String() string            { return fmt.Sprint(*p.to) }
func (p periods) Set(string) error          { return errors.New("only the file has it") }
func (p periods) SetJSON(data []byte) error { return json.Unmarshal(data, p.to) }

func (c *Config) pods() flag.Table {
	return flag.Table{
		flag.Refuse("cpu-cfs-quota", "bool", "true", "limits of CPU are kept").At("cpuCFSQuota"),
		flag.Refuse("cpu-cfs-quota-period", "duration", "100ms", "limits of CPU are kept per tenth of a second").At("cpuCFSQuotaPeriod"),
		flag.Set("", factor{&c.Throttle}, "with cgroup v2: the part of the way from request to limit from which on a container's allocations are slowed down").At("memoryThrottlingFactor"),
		flag.Set("", flag.String(&c.Reservation), "with cgroup v2: None, or TieredReservation: what pods request is kept from reclaim").At("memoryReservationPolicy"),
		flag.Set("", flag.String(&c.SwapBehavior), "NoSwap, or with cgroup v2 LimitedSwap: burstable pods may be swapped out, in proportion to their requests").At("memorySwap.swapBehavior"),
		flag.Set("", choice{&c.OneProcess}, "out of memory, one process of a container is killed and not all of them; always so with cgroup v1").At("singleProcessOOMKill"),
		flag.Set("", flag.Duration(&c.CrashMax), "how long a container that ends again and again waits at most before it is started: 1s to 5m").At("crashLoopBackOff.maxContainerRestartPeriod"),
		flag.Set("", pids{&c.UserIDs}, "user and group IDs that a pod with users of its own (hostUsers: false) has: a multiple of 65536").At("userNamespaces.idsPerPod"),
		flag.Ignore("maximum-dead-containers", "int32", "-1", oldGC),
		flag.Ignore("maximum-dead-containers-per-container", "int32", "1", oldGC),
		flag.Ignore("minimum-container-ttl-duration", "duration", "", oldGC),
		flag.Set("", flag.Duration(&c.Shutdown.Whole), "how long a shutdown of the machine waits for pods to end, by systemd's logind; 0: not at all").At("shutdownGracePeriod"),
		flag.Set("", flag.Duration(&c.Shutdown.Critical), "what of that is for critical pods, at the end").At("shutdownGracePeriodCriticalPods"),
		flag.Set("", periods{&c.Shutdown.ByPriority}, "in place of both: how long pods of which priority have, as a list of {priority, shutdownGracePeriodSeconds}").At("shutdownGracePeriodByPodPriority"),
		flag.Ignore("", "string", "Watch", byEvents).At("configMapAndSecretChangeDetectionStrategy"),
	}
}

func (c *Config) images() flag.Table {
	return flag.Table{
		flag.Set("serialize-image-pulls", flag.Bool(&c.SerialPulls), "pull one image at a time").At("serializeImagePulls"),
		flag.Set("", flag.Int32(&c.ParallelPulls), "images that are pulled at once, without serializeImagePulls; 0: any number").At("maxParallelImagePulls"),
		flag.Set("registry-qps", flag.Int32(&c.PullQPS), "pulls in a second, on the average; 0: any number").At("registryPullQPS"),
		flag.Set("registry-burst", flag.Int32(&c.PullBurst), "pulls that may come at once").At("registryBurst"),
		flag.Set("image-credential-provider-bin-dir", flag.String(&c.ProviderBin), "folder of programs that know credentials of registries"),
		flag.Set("image-credential-provider-config", flag.String(&c.ProviderConfig), "CredentialProviderConfig (file, or folder of such): which program is asked for which images"),
		flag.Set("", flag.OneOf("string", &c.VerifyImages, "", image.NeverVerify, image.NeverVerifyPreloaded, image.NeverVerifyAllowlisted, image.AlwaysVerify), "for which images that are there a pod has to show that it might pull them").At("imagePullCredentialsVerificationPolicy"),
		flag.Set("", flag.List(&c.VerifyAllowed), "images that NeverVerifyAllowlistedImages lets every pod use").At("preloadedImagesVerificationAllowlist"),
		flag.Set("image-gc-high-threshold", flag.Int32(&c.ImageHigh), "percent of the disk from which on images that nobody uses are removed; 100: never").At("imageGCHighThresholdPercent"),
		flag.Set("image-gc-low-threshold", flag.Int32(&c.ImageLow), "percent of the disk that are used when enough images have been removed").At("imageGCLowThresholdPercent"),
		flag.Set("minimum-image-ttl-duration", flag.Duration(&c.ImageMinAge), "how long an image stays at least").At("imageMinimumGCAge"),
		flag.Set("", flag.Duration(&c.ImageMaxAge), "how long an image that nobody uses stays at most; 0: for ever").At("imageMaximumGCAge"),
	}
}

func (c *Config) machine() flag.Table {
	return flag.Table{
		flag.Set("fail-swap-on", flag.Bool(&c.FailSwapOn), "do not run where swap is on").At("failSwapOn"),
		flag.Ignore("fail-cgroupv1", "bool", "true", "both versions of cgroups do").At("failCgroupV1"),
		flag.Ignore("housekeeping-interval", "duration", "10s", "figures are read when somebody asks"),
		flag.Ignore("kernel-memcg-notification", "bool", "", byEvents).At("kernelMemcgNotification"),
		flag.Ignore("kubelet-cgroups", "string", "", noCgroup).At("kubeletCgroups"),
		flag.Ignore("system-cgroups", "string", "", noCgroup).At("systemCgroups"),
		flag.Ignore("local-storage-capacity-isolation", "bool", "true", "local storage is counted").At("localStorageCapacityIsolation"),
		flag.Ignore("make-iptables-util-chains", "bool", "true", noIPT).At("makeIPTablesUtilChains"),
		flag.Ignore("", "int32", "14", noIPT).At("iptablesMasqueradeBit"),
		flag.Ignore("", "int32", "15", noIPT).At("iptablesDropBit"),
		flag.Ignore("max-open-files", "int", "1000000", "the process keeps the limit it was started with").At("maxOpenFiles"),
		flag.Ignore("protect-kernel-defaults", "bool", "", "the kernel's settings are left as they are").At("protectKernelDefaults"),
		flag.Ignore("experimental-allocatable-ignore-eviction", "bool", "", "what is kept for eviction is kept from pods"),
		flag.Ignore("experimental-mounter-path", "string", "", noFlex),
		flag.Ignore("volume-plugin-dir", "string", `"/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"`, noFlex).At("volumePluginDir"),
		flag.Ignore("volume-stats-agg-period", "duration", "1m0s", "sizes of volumes are read when somebody asks").At("volumeStatsAggPeriod"),
	}
}

package component

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/obs"
)

// Log is what upstream's logging flags say. The zero value logs text at level info.
type Log struct {
	Verbosity int    // 4 and more: debug
	Format    string // text or json
}

// Rows are the logging flags; file is where a configuration file has them ("logging"), "" where it has not.
func (l *Log) Rows(file string) flag.Table {
	if l.Format == "" {
		l.Format = "text"
	}
	const buffers = "every line is written at once, to standard error"
	return flag.Table{
		flag.Set("v", verbosity{&l.Verbosity}, "number for the log level verbosity; from 4 on every step is logged").At("verbosity"),
		flag.Set("logging-format", flag.OneOf("string", &l.Format, "text", "json"), "text or json").At("format"),
		flag.Ignore("log-flush-frequency", "duration", "5s", buffers).At("flushFrequency"),
		flag.Ignore("log-json-info-buffer-size", "quantity", "", buffers).At("options.json.infoBufferSize"),
		flag.Ignore("log-json-split-stream", "bool", "", buffers).At("options.json.splitStream"),
		flag.Ignore("log-text-info-buffer-size", "quantity", "", buffers).At("options.text.infoBufferSize"),
		flag.Ignore("log-text-split-stream", "bool", "", buffers).At("options.text.splitStream"),
		flag.Ignore("vmodule", "pattern=N,...", "", "levels are the same for all files").At("vmodule"),
	}.Below(file)
}

// New makes the logger.
func (l *Log) New(w io.Writer) (*slog.Logger, error) {
	level := "info"
	if l.Verbosity >= 4 {
		level = "debug"
	}
	if l.Format == "" {
		l.Format = "text"
	}
	return obs.NewLogger(w, level, l.Format)
}

type verbosity struct{ to *int }

func (v verbosity) Type() string   { return "Level" }
func (v verbosity) String() string { return strconv.Itoa(*v.to) }
func (v verbosity) Set(s string) (err error) {
	if *v.to, err = strconv.Atoi(s); err != nil || *v.to < 0 {
		err = fmt.Errorf("%q is not a level", s)
	}
	return err
}

// Reasons that rows of several components share.
const (
	TLSChoice  = "Go's own choice of ciphers and curves is kept"
	NoProfiles = "there are no profiles on this port"
	OwnPort    = "the port is this process's own"
	paced      = "requests are sent as they come; the API server shares itself out"
)

// Pair are the certificate that a server shows and its key.
func Pair(cert, key *string) flag.Table {
	return flag.Table{
		flag.Set("tls-cert-file", flag.String(cert), "certificate to show; without one a self-signed is made for this run").At("tlsCertFile"),
		flag.Set("tls-private-key-file", flag.String(key), "key of --tls-cert-file").At("tlsPrivateKeyFile"),
		flag.Ignore("tls-cipher-suites", "strings", "", TLSChoice).At("tlsCipherSuites"),
	}
}

// LowestTLS refuses to speak older or to insist on newer versions than 1.2.
func LowestTLS() *flag.Row {
	return flag.Refuse("tls-min-version", "string", "", "TLS 1.2 is the lowest that is spoken").At("tlsMinVersion").But("VersionTLS12")
}

// Port are the flags of a port of upstream's generic server, beside [Pair].
func Port() flag.Table {
	return flag.Table{
		flag.Ignore("tls-curve-preferences", "int32Slice", "[]", TLSChoice),
		flag.Refuse("tls-sni-cert-key", "namedCertKey", "[]", "one certificate is shown to all"),
		flag.Refuse("permit-address-sharing", "bool", "", OwnPort),
		flag.Refuse("permit-port-sharing", "bool", "", OwnPort),
	}
}

// NodeName is what a node is called.
func NodeName(to *string) *flag.Row {
	return flag.Set("hostname-override", flag.String(to), "name of the node instead of the host's")
}

// OnNode are the flags of the programs of a node that what starts the process is left to, or the version.
func OnNode() flag.Table {
	return flag.Table{
		flag.Ignore("oom-score-adj", "int32", "-999", "who starts the process sets it").At("oomScoreAdj"),
		NoGates().At("featureGates"),
	}
}

// HiddenMetrics is the flag that would show what an older version had.
func HiddenMetrics() *flag.Row {
	return flag.Ignore("show-hidden-metrics-for-version", "string", "", "no metric is hidden")
}

// NoGates is the flag of a program that no feature is built for which is off by default.
func NoGates() *flag.Row {
	return flag.Ignore("feature-gates", "mapStringBool", "", "features are those of a v1.37.1 with its defaults, as far as they are built").Checked(knownGates)
}

// Metrics are the flags that shape what /metrics says.
func Metrics() flag.Table {
	const all = "all metrics that there are are shown"
	return flag.Table{
		flag.Ignore("allow-metric-labels", "stringToString", "[]", all),
		flag.Ignore("allow-metric-labels-manifest", "string", "", all),
		flag.Ignore("disabled-metrics", "strings", "", all),
		HiddenMetrics(),
	}
}

// Versions are the flags of features and of standing in for an older version.
func Versions(gates *Gates) flag.Table {
	const one = "this version stands in for no other"
	return flag.Table{
		gates.Row(),
		flag.Refuse("emulated-version", "strings", "", one).But("1.37", "kube=1.37"),
		flag.Refuse("min-compatibility-version", "strings", "", one).But("1.36", "1.37", "kube=1.36", "kube=1.37"),
	}
}

// Election is how a component stands for its lease.
type Election struct {
	Elect                     bool
	Duration, Deadline, Retry time.Duration
	Namespace, Name           string
}

// Rows are the flags of leader election, with upstream's defaults for a component's lease; file is where a configuration file
// has them, "" where it has not.
func (e *Election) Rows(name, file string) flag.Table {
	*e = Election{Elect: true, Duration: 15 * time.Second, Deadline: 10 * time.Second, Retry: 2 * time.Second, Namespace: "kube-system", Name: name}
	return flag.Table{
		flag.Set("leader-elect", flag.Bool(&e.Elect), "hold the lease before doing anything, so that of several one works").At("leaderElect"),
		flag.Set("leader-elect-lease-duration", flag.Duration(&e.Duration), "how long others wait after the last renewal").At("leaseDuration"),
		flag.Set("leader-elect-renew-deadline", flag.Duration(&e.Deadline), "how long a leader tries to renew before it steps back").At("renewDeadline"),
		flag.Set("leader-elect-retry-period", flag.Duration(&e.Retry), "time between attempts").At("retryPeriod"),
		flag.Set("leader-elect-resource-name", flag.String(&e.Name), "name of the lease").At("resourceName"),
		flag.Set("leader-elect-resource-namespace", flag.String(&e.Namespace), "namespace of the lease").At("resourceNamespace"),
		flag.Refuse("leader-elect-resource-lock", "string", `"leases"`, "the only kind of lock is a Lease").At("resourceLock"),
	}.Below(file)
}

// Contact is how a component reaches the API server.
type Contact struct {
	Kubeconfig string
	Master     string // URL that takes the place of the kubeconfig's
}

// Rows are the flags of the connection, with the component's own defaults of the limits; file is where a configuration file has
// them, "" where it has not.
func (c *Contact) Rows(file, qps, burst string) flag.Table {
	t := append(flag.Table{
		flag.Set("master", flag.String(&c.Master), "URL of the API server, in place of the kubeconfig's"),
		flag.Set("kubeconfig", flag.String(&c.Kubeconfig), "file with the address of the API server and the credentials").At("kubeconfig"),
	}, Limits("float32", qps, burst, "qps", "burst")...)
	if file != "" {
		t = append(t, flag.Ignore("", "string", "", "answers are taken as they come").At("acceptContentTypes"))
	}
	return t.Below(file)
}

// Limits are how a component paces and writes its requests: the type and the default of the first limit, the default of the
// second, and the names of both in the component's file.
func Limits(typ, qps, burst, qpsField, burstField string) flag.Table {
	return flag.Table{
		flag.Ignore("kube-api-content-type", "string", `"application/vnd.kubernetes.protobuf"`, "protobuf where the kind has it, JSON elsewhere").At("contentType"),
		flag.Ignore("kube-api-qps", typ, qps, paced).At(qpsField),
		flag.Ignore("kube-api-burst", "int32", burst, paced).At(burstField),
	}
}

// Profiling are the flags of /debug/pprof; contention is upstream's default of the second.
func Profiling(contention, why string) flag.Table {
	return flag.Table{
		flag.Ignore("profiling", "bool", "true", why),
		flag.Ignore("contention-profiling", "bool", contention, why),
	}
}

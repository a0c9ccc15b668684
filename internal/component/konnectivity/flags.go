package konnectivity

import (
	"strconv"

	"sampan.dev/internal/component/flag"
)

// Reasons that flags of both programs share.
const (
	toStderr   = "every line is written at once, to standard error"
	noAdmin    = "metrics are served on the health port, and there are no profiles"
	noChannels = "what waits is bounded by bytes, for each connection"
	noLeases   = "the number of servers is what --server-count of the servers says"
	apiPace    = "requests are sent as they come; the API server shares itself out"
)

// level is how much is logged.
type level struct{ to *int }

func (l level) Type() string   { return "Level" }
func (l level) String() string { return strconv.Itoa(*l.to) }
func (l level) Set(s string) (err error) {
	*l.to, err = strconv.Atoi(s)
	return err
}

// logging are the flags of upstream's log library.
func logging(verbosity *int) flag.Table {
	*verbosity = 4
	return flag.Table{
		flag.Set("v", level{verbosity}, "number for the log level verbosity; from 5 on every step is logged"),
		flag.Ignore("vmodule", "moduleSpec", "", "levels are the same for all files"),
		flag.Ignore("add-dir-header", "bool", "", toStderr),
		flag.Ignore("alsologtostderr", "bool", "", toStderr),
		flag.Ignore("log-backtrace-at", "traceLocation", ":0", toStderr),
		flag.Ignore("log-dir", "string", "", toStderr),
		flag.Ignore("log-file", "string", "", toStderr),
		flag.Ignore("log-file-max-size", "uint", "1800", toStderr),
		flag.Ignore("logtostderr", "bool", "true", toStderr),
		flag.Ignore("one-output", "bool", "", toStderr),
		flag.Ignore("skip-headers", "bool", "", toStderr),
		flag.Ignore("skip-log-headers", "bool", "", toStderr),
		flag.Ignore("stderrthreshold", "severity", "2", toStderr),
	}
}

// leases are the flags by which servers can be counted by their Leases.
func leases(enable string) flag.Table {
	return flag.Table{
		flag.Refuse(enable, "bool", "", noLeases),
		flag.Ignore("lease-namespace", "string", `"kube-system"`, noLeases),
		flag.Ignore("lease-label", "string", `"k8s-app=konnectivity-server"`, noLeases),
	}
}

func profiling() flag.Table {
	return flag.Table{
		flag.Refuse("enable-profiling", "bool", "", noAdmin),
		flag.Refuse("enable-contention-profiling", "bool", "", noAdmin),
		flag.Ignore("admin-bind-address", "string", `"127.0.0.1"`, noAdmin),
		flag.Ignore("kube-api-content-type", "string", `"application/vnd.kubernetes.protobuf"`, "requests are sent as protobuf"),
		flag.Ignore("xfr-channel-size", "int", "", noChannels),
	}
}

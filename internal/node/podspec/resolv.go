package podspec

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Limits of resolv.conf that upstream validates.
const (
	maxNameservers = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

// DNS computes the resolver configuration of a pod from its policy and the node's own. Warnings are for events
// (reason DNSConfigForming).
func DNS(pod *corev1.Pod, host *cri.DNSConfig, clusterDNS []string, clusterDomain string) (out *cri.DNSConfig, warnings []string) {
	out = &cri.DNSConfig{Servers: host.Servers, Searches: host.Searches, Options: host.Options}
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	switch {
	case policy == corev1.DNSNone:
		out = &cri.DNSConfig{}
	case policy == corev1.DNSDefault:
	case len(clusterDNS) == 0:
		warnings = append(warnings, fmt.Sprintf("pod: %q. kubelet does not have ClusterDNS IP configured and cannot create Pod using %q policy. Falling back to %q policy.",
			pods.Describe(pod), corev1.DNSClusterFirst, corev1.DNSDefault))
	default:
		out.Servers = clusterDNS
		out.Searches = unique([]string{pod.Namespace + ".svc." + clusterDomain, "svc." + clusterDomain, clusterDomain}, host.Searches)
		out.Options = []string{"ndots:5"}
	}
	if c := pod.Spec.DNSConfig; c != nil {
		out.Servers = unique(out.Servers, c.Nameservers)
		out.Searches = unique(out.Searches, c.Searches)
		out.Options = mergeOptions(out.Options, c.Options)
	}
	if len(out.Servers) > maxNameservers {
		out.Servers = out.Servers[:maxNameservers]
		warnings = append(warnings, "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "+strings.Join(out.Servers, " "))
	}
	var cut bool
	if out.Searches, cut = fitSearches(out.Searches); cut {
		warnings = append(warnings, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+strings.Join(out.Searches, " "))
	}
	return out, warnings
}

func fitSearches(in []string) (out []string, cut bool) {
	for _, s := range in {
		if len(s) > 253 || len(out) == maxSearches || len(strings.Join(append(out, s), " ")) > maxSearchChars {
			cut = true
			continue
		}
		out = append(out, s)
	}
	return out, cut
}

func unique(lists ...[]string) []string {
	seen := map[string]bool{}
	var out []string
	for _, l := range lists {
		for _, s := range l {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

func mergeOptions(base []string, more []corev1.PodDNSConfigOption) []string {
	values := map[string]string{}
	for _, o := range base {
		name, value, _ := strings.Cut(o, ":")
		values[name] = value
	}
	for _, o := range more {
		values[o.Name] = ""
		if o.Value != nil {
			values[o.Name] = *o.Value
		}
	}
	out := make([]string, 0, len(values))
	for name, value := range values {
		if value != "" {
			name += ":" + value
		}
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func ParseResolvConf(r io.Reader) *cri.DNSConfig {
	out := &cri.DNSConfig{}
	for sc := bufio.NewScanner(io.LimitReader(r, 10<<20)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) < 1 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "nameserver":
			if len(f) > 1 {
				out.Servers = append(out.Servers, f[1])
			}
		case "search":
			out.Searches = nil
			for _, s := range f[1:] {
				if s != "." {
					out.Searches = append(out.Searches, strings.TrimSuffix(s, "."))
				}
			}
		case "options":
			out.Options = unique(out.Options, f[1:])
		}
	}
	return out
}

package why

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Answer is what is to be said of one object.
type Answer struct {
	Kind      string    `json:"kind"` // singular, in lower case: "pod"
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Fine      bool      `json:"fine"`               // it is as it was asked for
	State     string    `json:"state"`              // how it is, in a few words
	Findings  []Finding `json:"findings,omitempty"` // what keeps it, what matters most first
}

// Finding is one thing that keeps an object from being as it was asked for.
type Finding struct {
	What  string    `json:"what"`            // the fact, with its numbers
	Who   string    `json:"who,omitempty"`   // who is expected to act
	Mend  string    `json:"mend,omitempty"`  // the smallest change that would help
	Nodes []Verdict `json:"nodes,omitempty"` // of a pod that has no node: what each node says
}

// Verdict is the first plugin of the scheduler that keeps a pod off a node; Plugin is "" when the pod fits.
type Verdict struct {
	Node   string `json:"node"`
	Plugin string `json:"plugin,omitempty"`
	Why    string `json:"why,omitempty"`
}

// find adds a finding. What is there already is not said twice.
func (a *Answer) find(f Finding) {
	if !slices.ContainsFunc(a.Findings, func(have Finding) bool { return have.What == f.What }) {
		a.Findings = append(a.Findings, f)
	}
}

// Write says it in words.
func (a *Answer) Write(w io.Writer) error {
	name := a.Name
	if a.Namespace != "" {
		name = a.Namespace + "/" + a.Name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", a.Kind, name, a.State)
	for _, f := range a.Findings {
		fmt.Fprintf(&b, "- %s\n", f.What)
		for _, v := range f.Nodes {
			if v.Plugin == "" {
				fmt.Fprintf(&b, "    %s: fits\n", v.Node)
			} else {
				fmt.Fprintf(&b, "    %s: %s: %s\n", v.Node, v.Plugin, v.Why)
			}
		}
		if f.Who != "" {
			fmt.Fprintf(&b, "    waits for: %s\n", f.Who)
		}
		if f.Mend != "" {
			fmt.Fprintf(&b, "    → %s\n", f.Mend)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// owers are those who take off finalizers that the system sets, and when they do.
var owers = map[string]string{
	"kubernetes.io/pvc-protection":                        "persistentvolumeclaim-protection-controller, when no pod uses the claim any more",
	"kubernetes.io/pv-protection":                         "persistentvolume-protection-controller, when the volume is bound to no claim any more",
	"kubernetes.io/vac-protection":                        "volumeattributesclass-protection-controller, when no claim and no volume has the class any more",
	"foregroundDeletion":                                  "garbage-collector-controller, when all that the object owns is gone",
	"orphan":                                              "garbage-collector-controller, when all that the object owns has been let go",
	"kubernetes":                                          "namespace-controller, when the namespace is empty",
	"service.kubernetes.io/load-balancer-cleanup":         "service-lb-controller, when the load balancer is gone",
	"batch.kubernetes.io/job-tracking":                    "job-controller, when the pod has been counted",
	"networking.k8s.io/service-cidr-finalizer":            "service-cidr-controller, when no Service has an address of the range any more",
	"customresourcecleanup.apiextensions.k8s.io":          "the API server, when the objects of the definition are gone",
	"resource.kubernetes.io/delete-protection":            "resourceclaim-controller, when no pod uses the claim any more",
	"external-provisioner.volume.kubernetes.io/finalizer": "the storage driver, when the volume is deleted",
	"external-attacher/csi":                               "the storage driver, when the volume is detached",
}

// held says of an object that is being deleted which finalizers keep it.
func (a *Answer) held(kind string, finalizers []string) {
	for _, f := range finalizers {
		who, known := owers[f]
		if !known {
			who = "whoever set it: no part of Kubernetes does"
		}
		finding := Finding{What: "it is being deleted, and the finalizer " + f + " keeps it", Who: who}
		if !known {
			finding.Mend = fmt.Sprintf("if its owner is gone for good: kubectl patch %s %s%s --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/finalizers/%d\"}]'",
				kind, a.Name, in(a.Namespace), slices.Index(finalizers, f))
		}
		a.find(finding)
	}
}

// in is the flag for a namespace.
func in(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " -n " + namespace
}

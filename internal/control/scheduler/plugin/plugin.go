package plugin

import "slices"

// Plugin is one named part of the decision where a pod runs. What it takes part in is said by the other interfaces of this
// package that it implements: [PreFilter], [Filter], [PostFilter], [Score], [Reserve], [Permit], [PreBind], [Index]. Which
// plugins run, in which order and with what weight, is a profile's literal list.
type Plugin interface {
	// Name is upstream's name of the plugin.
	Name() string
}

// Signed is a plugin whose answers depend on the pod: it signs what it reads of one.
type Signed interface {
	Plugin
	// Sign adds to the pod's signature everything that the plugin reads of a pod. Two pods with one signature get the same
	// answers from it about every node.
	Sign(s *Signer)
}

// Rejecting is a plugin that can say no. It names the changes in the cluster that could turn the no into a yes, so that a pod
// waits for those and for no others (upstream's EventsToRegister and queueing hints).
type Rejecting interface {
	Plugin
	// Events are the kinds of change that Helps is asked about.
	Events() Event
	// Helps reports whether a change could make a node fit that the plugin has rejected for pod. It must answer true when in
	// doubt: a wrong true costs an attempt, a wrong false leaves the pod waiting for five minutes.
	Helps(pod *Pod, c Change) bool
}

// PreFilter rejects a pod as a whole, before any node is looked at.
type PreFilter interface {
	Rejecting
	// PreFilter is asked once per attempt. A verdict that does not fit ends the attempt.
	PreFilter(pod *Pod) Verdict
}

// PreEnqueue keeps a pod from being tried at all while something that it names is not there. Nobody is told of it.
type PreEnqueue interface {
	Rejecting
	// PreEnqueue is asked before each attempt.
	PreEnqueue(pod *Pod) Verdict
}

// Filter says whether a pod may run on a node.
type Filter interface {
	Signed
	Rejecting
	// Filter judges one node. The node may be a supposed one, without some of the pods that are on it (see Without).
	Filter(pod *Pod, node *Node) Verdict
}

// Score prefers some of the nodes that passed every filter.
type Score interface {
	Signed
	// Score rates one node; Normalize makes the ratings of several plugins comparable.
	Score(pod *Pod, node *Node) int64
	// Normalize turns a raw score into 0…MaxScore. least and most are the extremes of what the plugin gave the nodes that
	// passed. A plugin whose raw scores are comparable as they are embeds absolute instead.
	Normalize(raw, least, most int64) int64
}

// MaxScore is the best a plugin can give a node.
const MaxScore = 100

// Verdict is what a filter says of a pod on a node; the zero value says that it fits.
type Verdict struct {
	// Reasons are why not, in upstream's words.
	Reasons []string
	// Unresolvable says that the answer stays no even without the pods on the node, so that preemption need not try
	// (upstream's UnschedulableAndUnresolvable).
	Unresolvable bool
	// Err, if set, kept the plugin from judging. It ends the attempt, and the pod is tried again after its backoff; Reasons has it too.
	Err error
}

// Fits reports whether the pod may run on the node.
func (v Verdict) Fits() bool { return len(v.Reasons) == 0 }

// Equal reports whether two verdicts say the same.
func (v Verdict) Equal(o Verdict) bool {
	return v.Unresolvable == o.Unresolvable && slices.Equal(v.Reasons, o.Reasons)
}

// Unschedulable is a no that may turn into a yes when pods leave the node.
func Unschedulable(reason string) Verdict { return Verdict{Reasons: []string{reason}} }

// Unresolvable is a no that no eviction changes.
func Unresolvable(reason string) Verdict {
	return Verdict{Reasons: []string{reason}, Unresolvable: true}
}

// Failed says that there was no judging.
func Failed(err error) Verdict {
	return Verdict{Reasons: []string{err.Error()}, Unresolvable: true, Err: err}
}

// Static marks a filter or score whose answer about a node changes only with the node's object, or with the plugin's Index,
// not with the pods on the node: it is not asked again when a pod comes or goes.
type Static interface{ Static() }

type static struct{}

func (static) Static() {}

// Absolute marks a score whose raw scores need no normalizing.
type Absolute interface{ Absolute() }

type absolute struct{}

func (absolute) Absolute() {}

// Normalize implements Score.
func (absolute) Normalize(raw, _, _ int64) int64 { return raw }

// reversed turns a "more is worse" raw score into 0…MaxScore; when none is above zero all are MaxScore.
func reversed(raw, most int64) int64 {
	if most <= 0 {
		return MaxScore
	}
	return MaxScore - raw*MaxScore/most
}

// stretched scales raw scores so that the best is MaxScore.
func stretched(raw, most int64) int64 {
	if most <= 0 {
		return raw
	}
	return raw * MaxScore / most
}

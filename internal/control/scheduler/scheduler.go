package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/unbuilt"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/plugin"
)

// Events records what was tried on an object and what came of it; record.Series is one.
type Events interface {
	Event(obj api.Object, kind, reason, action, note string)
}

// Config is what a scheduler needs.
type Config struct {
	Door      client.Interface // system:kube-scheduler
	Informers *cache.Set       // over the same door
	Events    Events
	Log       *slog.Logger
	Name      string // schedulerName of the pods it takes care of; "" means default-scheduler
	Seed      uint64 // for breaking ties; 0 means a random one
	Binders   int    // bindings written at a time; 0 means 256: those that are under way together share a sync of the disk
}

// Scheduler puts pods on nodes. Make one with New.
type Scheduler struct {
	cfg     Config
	dice    *rand.Rand
	pods    *cache.Informer[*corev1.Pod]
	nodes   *cache.Informer[*corev1.Node]
	binders *crew
	clerks  *crew // write statuses, which must not hold bindings up

	// What follows belongs to the goroutine of Run.
	queue    *queue
	snapshot *snapshot
	classes  *classes

	mu struct {
		sync.Mutex
		inbox []func()
		why   map[types.UID]Why
	}
	wake chan struct{} // has room for one: there is something in the inbox
}

// clerks is how many statuses are written at a time. They are few: a thousand pods that fit nowhere are not urgent.
const clerks = 8

// Why says why a pod is not placed: the reasons of each node that was looked at in the last attempt.
type Why struct {
	Attempts int
	At       time.Time
	Message  string
	Nodes    map[string][]string
}

// New makes a scheduler; it does nothing until Run.
func New(cfg Config) *Scheduler {
	if cfg.Name == "" {
		cfg.Name = corev1.DefaultSchedulerName
	}
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	if cfg.Binders == 0 {
		cfg.Binders = 256
	}
	s := &Scheduler{
		cfg:      cfg,
		dice:     rand.New(rand.NewPCG(cfg.Seed, cfg.Seed)),
		pods:     cache.For[*corev1.Pod](cfg.Informers, client.Pods, cache.Options{}),
		nodes:    cache.For[*corev1.Node](cfg.Informers, client.Nodes, cache.Options{}),
		binders:  newCrew(cfg.Binders),
		clerks:   newCrew(clerks),
		queue:    newQueue(),
		snapshot: newSnapshot(),
		classes:  newClasses(defaultProfile()),
		wake:     make(chan struct{}, 1),
	}
	s.mu.why = map[types.UID]Why{}
	return s
}

// Run schedules until ctx ends and returns when its last binding has been written or given up.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.binders.wait()
	defer s.clerks.wait()
	// Until all nodes and pods that there are have been told of, a pod would be held against half a cluster.
	nodes, pods := make(chan struct{}), make(chan struct{})
	s.nodes.Handle(cache.Handler[*corev1.Node]{
		Told:   func() { close(nodes) },
		Add:    func(n *corev1.Node) { s.post(func() { s.node(n.Name, n) }) },
		Update: func(_, n *corev1.Node) { s.post(func() { s.node(n.Name, n) }) },
		Delete: func(n *corev1.Node) { s.post(func() { s.node(n.Name, nil) }) },
	})
	s.pods.Handle(cache.Handler[*corev1.Pod]{
		Told:   func() { close(pods) },
		Add:    func(p *corev1.Pod) { s.post(func() { s.pod(ctx, p) }) },
		Update: func(_, p *corev1.Pod) { s.post(func() { s.pod(ctx, p) }) },
		Delete: func(p *corev1.Pod) { s.post(func() { s.gone(p.UID) }) },
	})
	for _, told := range []<-chan struct{}{s.nodes.Synced(), s.pods.Synced(), nodes, pods} {
		select {
		case <-told:
		case <-ctx.Done():
			return nil
		}
	}
	for ctx.Err() == nil {
		s.readInbox()
		now := time.Now()
		s.queue.flush(now)
		if w := s.queue.pop(now); w != nil {
			s.place(ctx, w)
			continue
		}
		s.sleep(ctx, s.queue.next())
	}
	return nil
}

// sleep waits for a note in the inbox, the time given (if any), or the end.
func (s *Scheduler) sleep(ctx context.Context, until time.Time) {
	var alarm <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-alarm:
	}
}

// post leaves a note for the scheduler's goroutine.
func (s *Scheduler) post(f func()) {
	s.mu.Lock()
	s.mu.inbox = append(s.mu.inbox, f)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Scheduler) readInbox() {
	s.mu.Lock()
	notes := s.mu.inbox
	s.mu.inbox = nil
	s.mu.Unlock()
	for _, f := range notes {
		f()
	}
}

// node takes a new version of a node, nil when it is gone.
func (s *Scheduler) node(name string, obj *corev1.Node) {
	before, after := s.snapshot.setNode(name, obj)
	switch {
	case obj == nil:
	case before == nil || !before.Known():
		s.queue.changed(plugin.Change{Kind: plugin.NodeAdded, Node: after}, time.Now())
	case schedulingChanged(before.Node, obj):
		s.queue.changed(plugin.Change{Kind: plugin.NodeChanged, Node: after, Old: before}, time.Now())
	}
}

// pod takes a new version of a pod.
func (s *Scheduler) pod(ctx context.Context, obj *corev1.Pod) {
	switch {
	case obj.Status.Phase == corev1.PodSucceeded || obj.Status.Phase == corev1.PodFailed:
		s.gone(obj.UID)
	case obj.Spec.NodeName != "":
		s.bound(obj)
	case obj.Spec.SchedulerName != s.cfg.Name:
	case obj.DeletionTimestamp != nil:
		s.gone(obj.UID)
	default:
		if at, assumed := s.snapshot.placed[obj.UID]; assumed {
			// Its binding is being written; only the object is new.
			s.snapshot.addPod(at.node, at.pod.Renewed(obj))
			return
		}
		p := plugin.NewPod(obj)
		s.queue.set(p, time.Now()) // the condition of one that is gated has been there since its creation
	}
}

// bound takes a pod that has a node, be it by us or by others.
func (s *Scheduler) bound(obj *corev1.Pod) {
	s.forget(obj.UID)
	old, was := s.snapshot.placed[obj.UID]
	var p *plugin.Pod
	if was {
		p = old.pod.Renewed(obj)
	} else {
		p = plugin.NewPod(obj)
	}
	s.snapshot.addPod(obj.Spec.NodeName, p)
	if was && shrank(&old.pod.Requests, &p.Requests) {
		s.left(obj.Spec.NodeName, old.pod)
	}
}

// gone takes the end of a pod.
func (s *Scheduler) gone(uid types.UID) {
	s.forget(uid)
	s.vacate(uid)
}

// vacate takes a pod off the node that it is on, if it is on any.
func (s *Scheduler) vacate(uid types.UID) {
	if at, was := s.snapshot.removePod(uid); was {
		s.left(at.node, at.pod)
	}
}

// left tells those who wait that pod, or a part of what it had, has gone from node.
func (s *Scheduler) left(node string, pod *plugin.Pod) {
	if n := s.snapshot.byName[node]; n != nil && n.Known() {
		s.queue.changed(plugin.Change{Kind: plugin.PodLeft, Node: n, Pod: pod}, time.Now())
	}
}

func (s *Scheduler) forget(uid types.UID) {
	if s.queue.remove(uid) == nil {
		return // nothing is noted of pods that are not waiting
	}
	s.mu.Lock()
	delete(s.mu.why, uid)
	s.mu.Unlock()
}

// place runs a cycle for one pod and lets the outcome be written.
func (s *Scheduler) place(ctx context.Context, w *waiting) {
	out := s.classes.place(w.pod, s.snapshot, s.dice)
	pod := w.pod.Pod
	if out.node == "" {
		now := time.Now()
		s.queue.returned(w, out, now)
		message := out.text
		s.mu.Lock()
		s.mu.why[pod.UID] = Why{Attempts: w.attempts, At: now, Message: message, Nodes: out.rejected}
		s.mu.Unlock()
		s.cfg.Events.Event(pod, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", message)
		s.clerks.do(ctx, func() { s.markUnschedulable(ctx, pod, corev1.PodReasonUnschedulable, message) })
		return
	}
	s.snapshot.addPod(out.node, w.pod)
	s.binders.do(ctx, func() {
		err := s.bind(ctx, pod, out.node)
		s.post(func() { s.bindingDone(w, out.node, err) })
	})
}

// bindingDone settles an assumed placement: the informer confirms it, or it is taken back.
func (s *Scheduler) bindingDone(w *waiting, node string, err error) {
	uid := w.pod.UID
	if err == nil {
		s.cfg.Events.Event(w.pod.Pod, corev1.EventTypeNormal, "Scheduled", "Binding",
			"Successfully assigned "+w.pod.Namespace+"/"+w.pod.Name+" to "+node)
		for _, f := range unbuilt.ForActor(&w.pod.Spec, unbuilt.Scheduler) {
			s.cfg.Events.Event(w.pod.Pod, corev1.EventTypeWarning, unbuilt.Reason, "Binding", f.String())
		}
		return
	}
	s.cfg.Log.Info("binding failed", "pod", w.pod.Namespace+"/"+w.pod.Name, "node", node, "error", err)
	if at, ok := s.snapshot.placed[uid]; !ok || at.pod.Spec.NodeName != "" {
		return // the pod is gone, or others have bound it
	}
	s.vacate(uid)
	if s.queue.byUID[uid] == w {
		s.queue.failed(w, time.Now())
	}
}

// Why returns why a pod is not placed, and whether it was tried at all.
func (s *Scheduler) Why(uid types.UID) (Why, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.mu.why[uid]
	return w, ok
}

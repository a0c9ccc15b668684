package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/plugin"
)

// Events records what happens to an object; loop.Recorder is one.
type Events interface {
	Event(obj api.Object, kind, reason, message string)
}

// Config is what a scheduler needs.
type Config struct {
	Door      client.Interface // system:kube-scheduler
	Informers *cache.Set       // over the same door
	Events    Events
	Log       *slog.Logger
	Name      string // schedulerName of the pods it takes care of; "" means default-scheduler
	Seed      uint64 // for breaking ties; 0 means a random one
	Binders   int    // bindings written at a time; 0 means 32
}

// Scheduler puts pods on nodes. Make one with New.
type Scheduler struct {
	cfg     Config
	profile profile
	dice    *rand.Rand
	pods    *cache.Informer[*corev1.Pod]
	nodes   *cache.Informer[*corev1.Node]
	binders chan struct{}
	writers sync.WaitGroup

	// What follows belongs to the goroutine of Run.
	queue    *queue
	snapshot *snapshot
	placed   map[types.UID]placement

	mu struct {
		sync.Mutex
		inbox []func()
		why   map[types.UID]Why
	}
	wake chan struct{} // has room for one: there is something in the inbox
}

// placement is where a pod is, or is assumed to be.
type placement struct {
	pod  *plugin.Pod
	node string
}

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
		cfg.Binders = 32
	}
	s := &Scheduler{
		cfg:      cfg,
		profile:  defaultProfile(),
		dice:     rand.New(rand.NewPCG(cfg.Seed, cfg.Seed)),
		pods:     cache.For[*corev1.Pod](cfg.Informers, client.Pods, cache.Options{}),
		nodes:    cache.For[*corev1.Node](cfg.Informers, client.Nodes, cache.Options{}),
		binders:  make(chan struct{}, cfg.Binders),
		queue:    newQueue(),
		snapshot: newSnapshot(),
		placed:   map[types.UID]placement{},
		wake:     make(chan struct{}, 1),
	}
	s.mu.why = map[types.UID]Why{}
	return s
}

// Run schedules until ctx ends and returns when its last binding has been written or given up.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.writers.Wait()
	s.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node) { s.post(func() { s.node(n.Name, n) }) },
		Update: func(_, n *corev1.Node) { s.post(func() { s.node(n.Name, n) }) },
		Delete: func(n *corev1.Node) { s.post(func() { s.node(n.Name, nil) }) },
	})
	s.pods.Handle(cache.Handler[*corev1.Pod]{
		Add:    func(p *corev1.Pod) { s.post(func() { s.pod(ctx, p) }) },
		Update: func(_, p *corev1.Pod) { s.post(func() { s.pod(ctx, p) }) },
		Delete: func(p *corev1.Pod) { s.post(func() { s.gone(p.UID) }) },
	})
	for _, synced := range []<-chan struct{}{s.nodes.Synced(), s.pods.Synced()} {
		select {
		case <-synced:
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
		s.bound(plugin.NewPod(obj))
	case obj.Spec.SchedulerName != s.cfg.Name:
	case obj.DeletionTimestamp != nil:
		s.gone(obj.UID)
	default:
		if at, assumed := s.placed[obj.UID]; assumed {
			// Its binding is being written; only the object is new.
			s.placed[obj.UID] = placement{plugin.NewPod(obj), at.node}
			return
		}
		p := plugin.NewPod(obj)
		s.queue.set(p, time.Now())
		if len(obj.Spec.SchedulingGates) > 0 {
			s.write(ctx, func() { s.markUnschedulable(ctx, obj, "SchedulingGated", gatedMessage) })
		}
	}
}

const gatedMessage = "Scheduling is blocked due to non-empty scheduling gates"

// bound takes a pod that has a node, be it by us or by others.
func (s *Scheduler) bound(p *plugin.Pod) {
	s.forget(p.UID)
	old, was := s.placed[p.UID]
	if was && old.node != p.Spec.NodeName {
		s.snapshot.removePod(old.node, p.UID)
	}
	s.snapshot.addPod(p.Spec.NodeName, p)
	s.placed[p.UID] = placement{p, p.Spec.NodeName}
	if was && shrank(&old.pod.Requests, &p.Requests) {
		s.left(p.Spec.NodeName, old.pod)
	}
}

// gone takes the end of a pod.
func (s *Scheduler) gone(uid types.UID) {
	s.forget(uid)
	if at, ok := s.placed[uid]; ok {
		delete(s.placed, uid)
		s.snapshot.removePod(at.node, uid)
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
	s.queue.remove(uid)
	s.mu.Lock()
	delete(s.mu.why, uid)
	s.mu.Unlock()
}

// place runs a cycle for one pod and lets the outcome be written.
func (s *Scheduler) place(ctx context.Context, w *waiting) {
	out := s.profile.cycle(w.pod, s.snapshot, s.dice)
	pod := w.pod.Pod
	if out.node == "" {
		now := time.Now()
		s.queue.returned(w, out, now)
		message := out.message()
		s.mu.Lock()
		s.mu.why[pod.UID] = Why{Attempts: w.attempts, At: now, Message: message, Nodes: out.rejected}
		s.mu.Unlock()
		s.cfg.Events.Event(pod, corev1.EventTypeWarning, "FailedScheduling", message)
		s.write(ctx, func() { s.markUnschedulable(ctx, pod, corev1.PodReasonUnschedulable, message) })
		return
	}
	s.snapshot.addPod(out.node, w.pod)
	s.placed[pod.UID] = placement{w.pod, out.node}
	s.write(ctx, func() {
		err := s.bind(ctx, pod, out.node)
		s.post(func() { s.bindingDone(w, out.node, err) })
	})
}

// bindingDone settles an assumed placement: the informer confirms it, or it is taken back.
func (s *Scheduler) bindingDone(w *waiting, node string, err error) {
	uid := w.pod.UID
	if err == nil {
		s.cfg.Events.Event(w.pod.Pod, corev1.EventTypeNormal, "Scheduled",
			fmt.Sprintf("Successfully assigned %s/%s to %s", w.pod.Namespace, w.pod.Name, node))
		return
	}
	s.cfg.Log.Info("binding failed", "pod", w.pod.Namespace+"/"+w.pod.Name, "node", node, "error", err)
	if at, ok := s.placed[uid]; !ok || at.pod.Spec.NodeName != "" {
		return // the pod is gone, or others have bound it
	}
	s.gonePlacement(uid)
	if s.queue.byUID[uid] == w {
		s.queue.failed(w, time.Now())
	}
}

func (s *Scheduler) gonePlacement(uid types.UID) {
	at := s.placed[uid]
	delete(s.placed, uid)
	s.snapshot.removePod(at.node, uid)
	s.left(at.node, at.pod)
}

// write runs f, which talks to the hub, beside the scheduler's goroutine; Run waits for it.
func (s *Scheduler) write(ctx context.Context, f func()) {
	s.writers.Add(1)
	go func() {
		defer s.writers.Done()
		select {
		case s.binders <- struct{}{}:
			defer func() { <-s.binders }()
			f()
		case <-ctx.Done():
		}
	}()
}

// Why returns why a pod is not placed, and whether it was tried at all.
func (s *Scheduler) Why(uid types.UID) (Why, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.mu.why[uid]
	return w, ok
}

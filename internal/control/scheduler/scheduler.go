package scheduler

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/device"
	"sampan.dev/internal/control/scheduler/extend"
	"sampan.dev/internal/control/scheduler/plugin"
)

// Events records what was tried on an object and what came of it; record.Series is one.
type Events interface {
	Event(obj api.Object, kind, reason, action, note string)
	// Related is Event with another object that took part.
	Related(obj, other api.Object, kind, reason, action, note string)
}

// Config is what a scheduler needs.
type Config struct {
	Door      client.Interface // system:kube-scheduler
	Informers *cache.Set       // over the same door
	Events    Events
	Log       *slog.Logger
	// Profiles say how the pods of which schedulerName are placed; pods of other names are left alone. None means
	// DefaultProfile. Two with one name are an error of whoever configures them.
	Profiles  []Profile
	Extenders *extend.Chain    // are asked beside the plugins; nil: nobody is
	Seed      uint64           // for breaking ties; 0 means a random one
	Gangs     bool             // the pods of a PodGroup are placed together (the feature GenericWorkload)
	Dump      <-chan os.Signal // lets the scheduler write what it knows to the log; nil: nothing does
	Binders   int              // bindings written at a time; 0 means 256: those that are under way together share a sync of the disk
}

// Scheduler puts pods on nodes. Make one with New.
//
// A pod that waits is in queue. From the moment a node is chosen until the informer tells of the pod on it, the pod is in the
// snapshot as if it were there, and in flight in the queue; it leaves both, or goes back to waiting, in notes.go and
// attempt.go only. Everything below queue belongs to the goroutine of Run; others leave a note in the inbox, which mu guards.
type Scheduler struct {
	cfg     Config
	dice    *rand.Rand
	pods    *cache.Informer[*corev1.Pod]
	nodes   *cache.Informer[*corev1.Node]
	binders *crew
	waiters *crew // bind pods that may have to wait for their volumes; as many as there are such pods
	clerks  *crew // write statuses and evict, which must not hold bindings up
	storage *storage
	devices *devices

	around  *surroundings                                  // nil when no plugin asks
	budgets *cache.Informer[*policyv1.PodDisruptionBudget] // nil when nobody preempts
	groups  *cache.Informer[*schedulingv1alpha3.PodGroup]  // nil until there is a pod that is in one

	queue    *queue
	tally    *tally
	snapshot *snapshot
	rankings map[string]*rankings // by schedulerName
	held     map[types.UID]*attempt
	events   plugin.Event // that any plugin asks for

	mu struct {
		sync.Mutex
		inbox []func()
	}
	wake chan struct{} // has room for one: there is something in the inbox
}

// clerks is how many statuses are written at a time. They are few: a thousand pods that fit nowhere are not urgent.
const clerks = 8

// New makes a scheduler; it does nothing until Run.
func New(cfg Config) *Scheduler {
	if len(cfg.Profiles) == 0 {
		cfg.Profiles = []Profile{DefaultProfile()}
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
		waiters:  newCrew(math.MaxInt),
		clerks:   newCrew(clerks),
		storage:  &storage{},
		devices:  &devices{account: device.NewAccount()},
		queue:    newQueue(),
		tally:    newTally(),
		rankings: map[string]*rankings{},
		held:     map[types.UID]*attempt{},
		wake:     make(chan struct{}, 1),
	}
	var profiles []*profile
	for _, lists := range cfg.Profiles {
		if lists.Storage != nil {
			s.showStorage(lists.Storage)
		}
		if lists.Devices != nil {
			s.showDevices(lists.Devices)
		}
		p := newProfile(lists)
		profiles = append(profiles, p)
		s.rankings[p.Name] = newRankings(p)
		s.events |= p.events
	}
	if cfg.Extenders != nil {
		s.events |= extend.Rejecting{}.Events()
	}
	s.snapshot = newSnapshot(profiles...)
	if cfg.Gangs {
		s.queue.gangs = map[gangKey]*gang{}
		s.snapshot.indexes = append(s.snapshot.indexes, gangIndex{s.queue})
	}
	s.connect(profiles)
	s.arm(profiles)
	return s
}

// Run schedules until ctx ends and returns when its last binding has been written or given up.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.binders.wait()
	defer s.waiters.wait()
	defer s.clerks.wait()
	// Until the handlers are in sync a pod would be judged against half a cluster.
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
	read := append(s.around.follow(), s.nodes.Synced(), s.pods.Synced(), nodes, pods)
	if s.budgets != nil {
		read = append(read, s.budgets.Synced())
	}
	for _, told := range read {
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
		s.releaseLate(ctx, now)
		if w := s.queue.pop(now); w != nil {
			s.place(ctx, w)
			continue
		}
		s.sleep(ctx, earlier(s.queue.next(), s.nextLate()))
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
	case <-s.cfg.Dump:
		s.dump()
	}
}

// earlier returns the earlier of two times; a zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
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

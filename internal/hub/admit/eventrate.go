package admit

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/lru"
)

// EventLimit is one limit of EventRateLimit: so many events a second, and so many at once, from each that Type tells apart.
type EventLimit struct {
	Type      string `json:"type"` // Server, Namespace, User, SourceAndObject
	QPS       int32  `json:"qps"`
	Burst     int32  `json:"burst"`
	CacheSize int32  `json:"cacheSize,omitempty"` // how many are told apart; zero means 4096
}

// eventKeys tell apart those whom a type of limit counts.
var eventKeys = map[string]func(a *Attributes) string{
	"Server":    func(*Attributes) string { return "" },
	"Namespace": func(a *Attributes) string { return a.Namespace },
	"User":      func(a *Attributes) string { return a.User.Name },
	"SourceAndObject": func(a *Attributes) string {
		e, ok := a.Object.(*corev1.Event)
		if !ok {
			return ""
		}
		o := &e.InvolvedObject
		return e.Source.Component + e.Source.Host + o.Kind + o.Namespace + o.Name + string(o.UID) + o.APIVersion
	},
}

// eventRates refuses events that come faster than its limits let them. It holds a bucket for each that a limit tells apart; those that
// were used longest ago go.
type eventRates struct{ limits []eventRate }

type eventRate struct {
	EventLimit

	buckets *lru.Cache // by key
}

const eventBuckets = 4096

func newEventRates(limits []EventLimit) *eventRates {
	p := &eventRates{}
	for _, l := range limits {
		size := int(l.CacheSize)
		if size == 0 {
			size = eventBuckets
		}
		p.limits = append(p.limits, eventRate{l, lru.New(size)})
	}
	return p
}

func (*eventRates) Name() string { return "EventRateLimit" }

func (p *eventRates) Validate(_ context.Context, a *Attributes) error {
	k := a.As()
	if k.Group != "" || k.Kind != "Event" || a.DryRun || a.Operation != Create && a.Operation != Update {
		return nil
	}
	var errs []error
	for i := range p.limits {
		l := &p.limits[i]
		if key := eventKeys[l.Type](a); !l.bucket(key).TryAccept() {
			errs = append(errs, fmt.Errorf("limit reached on type %v for key %v", l.Type, key))
		}
	}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return apierrors.NewTooManyRequestsError(err.Error())
	}
	return nil
}

func (l *eventRate) bucket(key string) flowcontrol.RateLimiter {
	if b, ok := l.buckets.Get(key); ok {
		return b.(flowcontrol.RateLimiter)
	}
	b := flowcontrol.NewTokenBucketRateLimiter(float32(l.QPS), int(l.Burst))
	l.buckets.Add(key, b)
	return b
}

// readEventLimits reads a Configuration of eventratelimit.admission.k8s.io/v1alpha1.
func readEventLimits(out *Settings, text []byte) error {
	var conf struct {
		metav1.TypeMeta `json:",inline"`

		Limits []EventLimit `json:"limits"`
	}
	if len(text) == 0 {
		return nil
	}
	if err := strictly(text, &conf); err != nil {
		return err
	}
	if err := isConfiguration(conf.TypeMeta, "eventratelimit.admission.k8s.io/v1alpha1"); err != nil {
		return err
	}
	out.EventLimits = conf.Limits
	return checkEventLimits(conf.Limits)
}

func checkEventLimits(limits []EventLimit) error {
	path := field.NewPath("limits")
	var errs field.ErrorList
	if len(limits) == 0 {
		errs = append(errs, field.Invalid(path, limits, "must not be empty"))
	}
	for i, l := range limits {
		at := path.Index(i)
		if eventKeys[l.Type] == nil {
			errs = append(errs, field.NotSupported(at.Child("type"), l.Type, []string{"Server", "Namespace", "User", "SourceAndObject"}))
		}
		if l.Burst <= 0 {
			errs = append(errs, field.Invalid(at.Child("burst"), l.Burst, "must be positive"))
		}
		if l.QPS <= 0 {
			errs = append(errs, field.Invalid(at.Child("qps"), l.QPS, "must be positive"))
		}
		if l.Type != "Server" && l.CacheSize < 0 {
			errs = append(errs, field.Invalid(at.Child("cacheSize"), l.CacheSize, "must not be negative"))
		}
	}
	return errs.ToAggregate()
}

// Check says which of the plugins that are to run lacks settings that it cannot do without.
func (s *Settings) Check(enabled map[string]bool) error {
	var err error
	switch {
	case enabled["EventRateLimit"] && len(s.EventLimits) == 0:
		err = fmt.Errorf("couldn't init admission plugin %q: %w", "EventRateLimit", checkEventLimits(nil))
	case enabled["ImagePolicyWebhook"] && s.Images == nil:
		err = fmt.Errorf("couldn't init admission plugin %q: %w", "ImagePolicyWebhook", errors.New("no config specified"))
	}
	return err
}

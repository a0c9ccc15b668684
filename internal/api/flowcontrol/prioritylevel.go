package flowcontrol

import (
	"fmt"
	"math"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	mostQueues   = 10_000_000
	mostHashBits = 60 // of the hash that deals hands of queues
	keepZeroKey  = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
)

// PriorityLevels is the kind PriorityLevelConfiguration.
func PriorityLevels() *api.Kind {
	limited := flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()
	queuing := flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()
	return &api.Kind{
		Group: flowcontrolv1.GroupName, Version: "v1", Kind: "PriorityLevelConfiguration",
		Resource: "prioritylevelconfigurations", Singular: "prioritylevelconfiguration",
		New:     func() api.Object { return &flowcontrolv1.PriorityLevelConfiguration{} },
		NewList: func() runtime.Object { return &flowcontrolv1.PriorityLevelConfigurationList{} },

		Default: api.On(defaultLevel),
		PrepareCreate: api.On(func(l *flowcontrolv1.PriorityLevelConfiguration) {
			l.Status = flowcontrolv1.PriorityLevelConfigurationStatus{}
			l.Generation = 1
		}),
		PrepareUpdate: api.OnChange(func(l, old *flowcontrolv1.PriorityLevelConfiguration) {
			l.Status = old.Status
			l.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&l.Spec, &old.Spec) {
				l.Generation++
			}
		}),
		Validate:       api.Check(validateLevel),
		ValidateUpdate: api.CheckChange(func(l, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList { return validateLevel(l) }),
		Unconditional:  true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(func(l, old *flowcontrolv1.PriorityLevelConfiguration) {
				l.ObjectMeta = keepMeta(&l.ObjectMeta, &old.ObjectMeta)
				l.Spec = old.Spec
			}),
			ValidateUpdate: api.CheckChange(func(l, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
				return checkLevelStatus(&l.Status)
			}),
			ResetFields: statusReset,
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Type", "string", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"]),
			api.Column("NominalConcurrencyShares", "string", limited["nominalConcurrencyShares"]),
			api.Column("Queues", "string", queuing["queues"]),
			api.Column("HandSize", "string", queuing["handSize"]),
			api.Column("QueueLengthLimit", "string", queuing["queueLengthLimit"]),
			api.AgeColumn(),
		},
		Row: api.Cells(func(l *flowcontrolv1.PriorityLevelConfiguration) []any {
			const none = "<none>"
			row := []any{l.Name, string(l.Spec.Type), none, none, none, none, l.CreationTimestamp}
			if p := l.Spec.Limited; p != nil {
				row[2] = int64(valid.Deref(p.NominalConcurrencyShares))
				if q := p.LimitResponse.Queuing; q != nil {
					row[3], row[4], row[5] = int64(q.Queues), int64(q.HandSize), int64(q.QueueLengthLimit)
				}
			}
			return row
		}),
	}
}

func defaultLevel(l *flowcontrolv1.PriorityLevelConfiguration) {
	if p := l.Spec.Limited; p != nil {
		setDefault(&p.NominalConcurrencyShares, 30)
		setDefault(&p.LendablePercent, 0)
		if q := p.LimitResponse.Queuing; q != nil {
			for _, d := range []struct {
				value *int32
				is    int32
			}{{&q.HandSize, 8}, {&q.Queues, 64}, {&q.QueueLengthLimit, 50}} {
				if *d.value == 0 {
					*d.value = d.is
				}
			}
		}
	}
	if p := l.Spec.Exempt; p != nil {
		setDefault(&p.NominalConcurrencyShares, 0)
		setDefault(&p.LendablePercent, 0)
	}
}

func setDefault(p **int32, v int32) {
	if *p == nil {
		*p = &v
	}
}

func validateLevel(l *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if _, ok := l.Annotations[keepZeroKey]; ok {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations"), fmt.Sprintf("annotation '%s' is forbidden", keepZeroKey)))
	}
	written, generated := checkLevelSpec(l.Name, &l.Spec, path)
	errs = append(errs, written...)
	for _, m := range MandatoryLevels() {
		if m.Name != l.Name {
			continue
		}
		have, except := l.Spec, ""
		if l.Name == exempt { // of which an administrator may lend
			have.Exempt, except = m.Spec.Exempt, " except the 'spec.exempt' field"
		}
		if !equality.Semantic.DeepEqual(&have, &m.Spec) {
			errs = append(errs, field.Invalid(path, valid.Internal(l.Spec), fmt.Sprintf("spec of '%s'%s must equal the fixed value", l.Name, except)))
		}
	}
	errs = append(errs, checkLevelStatus(&l.Status)...)
	return append(errs, generated...)
}

// checkLevelSpec checks a spec. What upstream's generated rules say comes last in its answers, and without a reason.
func checkLevelSpec(name string, s *flowcontrolv1.PriorityLevelConfigurationSpec, path *field.Path) (errs, generated field.ErrorList) {
	const isExempt, isLimited = flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited
	if (name == exempt) != (s.Type == isExempt) {
		errs = append(errs, field.Invalid(path.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'"))
	}
	if s.Exempt != nil && s.Type != isExempt {
		generated = append(generated, field.Forbidden(path.Child("exempt"), ""))
	}
	switch {
	case s.Limited != nil && s.Type != isLimited:
		generated = append(generated, field.Forbidden(path.Child("limited"), ""))
	case s.Limited == nil && s.Type == isLimited:
		generated = append(generated, field.Required(path.Child("limited"), ""))
	}
	switch s.Type {
	case isExempt:
		if s.Exempt != nil {
			errs = append(errs, checkExempt(s.Exempt, path.Child("exempt"))...)
		}
	case isLimited:
		if s.Limited != nil {
			errs = append(errs, checkLimited(s.Limited, path.Child("limited"))...)
		}
	case "":
		generated = append(generated, field.Required(path.Child("type"), ""))
	default:
		errs = append(errs, valid.OneOf(s.Type, path.Child("type"), isExempt, isLimited)...)
	}
	if s.Limited == nil {
		return errs, generated
	}
	at, r := path.Child("limited", "limitResponse"), &s.Limited.LimitResponse
	switch is := r.Type == flowcontrolv1.LimitResponseTypeQueue; {
	case r.Queuing != nil && !is:
		generated = append(generated, field.Forbidden(at.Child("queuing"), ""))
	case r.Queuing == nil && is:
		generated = append(generated, field.Required(at.Child("queuing"), ""))
	}
	if r.Type == "" {
		generated = append(generated, field.Required(at.Child("type"), ""))
	}
	return errs, generated
}

func checkExempt(p *flowcontrolv1.ExemptPriorityLevelConfiguration, path *field.Path) field.ErrorList {
	return append(checkShares(p.NominalConcurrencyShares, path), checkLendable(p.LendablePercent, path)...)
}

func checkShares(n *int32, path *field.Path) field.ErrorList {
	if n != nil && *n < 0 {
		return valid.Invalid(path.Child("nominalConcurrencyShares"), *n, "must be a non-negative integer")
	}
	return nil
}

func checkLendable(n *int32, path *field.Path) field.ErrorList {
	if n != nil && (*n < 0 || *n > 100) {
		return valid.Invalid(path.Child("lendablePercent"), *n, "must be between 0 and 100, inclusive")
	}
	return nil
}

func checkLimited(p *flowcontrolv1.LimitedPriorityLevelConfiguration, path *field.Path) field.ErrorList {
	errs := checkShares(p.NominalConcurrencyShares, path)
	at, r := path.Child("limitResponse"), &p.LimitResponse
	switch r.Type {
	case "", flowcontrolv1.LimitResponseTypeReject:
	case flowcontrolv1.LimitResponseTypeQueue:
		if r.Queuing != nil {
			errs = append(errs, checkQueuing(r.Queuing, at.Child("queuing"))...)
		}
	default:
		errs = append(errs, valid.OneOf(r.Type, at.Child("type"), flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject)...)
	}
	errs = append(errs, checkLendable(p.LendablePercent, path)...)
	if n := p.BorrowingLimitPercent; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(path.Child("borrowingLimitPercent"), *n, "if specified, must be a non-negative integer"))
	}
	return errs
}

func checkQueuing(q *flowcontrolv1.QueuingConfiguration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.QueueLengthLimit <= 0 {
		errs = append(errs, field.Invalid(path.Child("queueLengthLimit"), q.QueueLengthLimit, "must be positive"))
	}
	switch at := path.Child("queues"); {
	case q.Queues <= 0:
		errs = append(errs, field.Invalid(at, q.Queues, "must be positive"))
	case q.Queues > mostQueues:
		errs = append(errs, field.Invalid(at, q.Queues, fmt.Sprintf("must not be greater than %d", mostQueues)))
	}
	bits := int(math.Ceil(math.Log2(float64(q.Queues)) * float64(q.HandSize)))
	switch at := path.Child("handSize"); {
	case q.HandSize <= 0:
		errs = append(errs, field.Invalid(at, q.HandSize, "must be positive"))
	case q.HandSize > q.Queues:
		errs = append(errs, field.Invalid(at, q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues)))
	case bits > mostHashBits:
		errs = append(errs, field.Invalid(at, q.HandSize, fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d", q.Queues, q.HandSize, mostHashBits)))
	}
	return errs
}

func checkLevelStatus(s *flowcontrolv1.PriorityLevelConfigurationStatus) field.ErrorList {
	types := make([]string, len(s.Conditions))
	for i, c := range s.Conditions {
		types[i] = string(c.Type)
	}
	return checkConditions(types)
}

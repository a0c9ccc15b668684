package batch

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // time zones are known where the machine has no files of them

	"sampan.dev/internal/api/valid"
	"sampan.dev/internal/pattern"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// longestCronName leaves room for the eleven characters that the controller puts behind it to name a job.
const longestCronName = validation.DNS1035LabelMaxLength - 11

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	errs := checkCron(&c.Spec, nil)
	if len(c.Name) > longestCronName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, "must be no more than 52 characters"))
	}
	return errs
}

func validateCronJobUpdate(c, old *batchv1.CronJob) field.ErrorList {
	return checkCron(&c.Spec, &old.Spec) // a name that is too long was let pass once
}

// checkCron checks a spec; old is nil on create.
func checkCron(s, old *batchv1.CronJobSpec) field.ErrorList {
	path := field.NewPath("spec")
	var errs, last field.ErrorList
	if s.Schedule == "" {
		last = valid.Required(path.Child("schedule"), "") // upstream's generated rules speak last
	} else {
		errs = checkSchedule(s, old != nil && strings.Contains(old.Schedule, "TZ"), path.Child("schedule"))
	}
	if n := s.StartingDeadlineSeconds; n != nil {
		errs = append(errs, valid.NonNegative(*n, path.Child("startingDeadlineSeconds"))...)
	}
	if old == nil || differs(old.TimeZone, s.TimeZone) {
		errs = append(errs, checkTimeZone(s.TimeZone, path.Child("timeZone"))...)
	}
	errs = append(errs, valid.RequiredInOrder(s.ConcurrencyPolicy, path.Child("concurrencyPolicy"),
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	errs = append(errs, checkJobTemplate(&s.JobTemplate.Spec, path.Child("jobTemplate", "spec"))...)
	errs = append(errs, nonNegative(s.SuccessfulJobsHistoryLimit, path.Child("successfulJobsHistoryLimit"))...)
	errs = append(errs, nonNegative(s.FailedJobsHistoryLimit, path.Child("failedJobsHistoryLimit"))...)
	return append(errs, last...)
}

func checkJobTemplate(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := checkSpec(s, path)
	if s.Selector != nil {
		errs = append(errs, field.Invalid(path.Child("selector"), s.Selector, "`selector` will be auto-generated"))
	}
	if m := s.ManualSelector; m != nil && *m {
		errs = append(errs, field.NotSupported(path.Child("manualSelector"), m, []string{"nil", "false"}))
	}
	return errs
}

// checkSchedule checks a line of cron. One that names a time zone itself, which has a field of its own now, is let pass only where
// there was such a one already (zoned).
func checkSchedule(s *batchv1.CronJobSpec, zoned bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if _, err := ParseSchedule(s.Schedule); err != nil {
		errs = append(errs, field.Invalid(path, s.Schedule, err.Error()))
	}
	switch has := strings.Contains(s.Schedule, "TZ"); {
	case has && !zoned:
		errs = append(errs, field.Invalid(path, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	case has && s.TimeZone != nil:
		errs = append(errs, field.Invalid(path, s.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
	}
	return errs
}

// ParseSchedule reads a line of cron, which may begin with "TZ=<time zone> ". The parser panics at a few malformed lines.
func ParseSchedule(line string) (s cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("invalid schedule format: %v", r)
		}
	}()
	return cron.ParseStandard(line)
}

// zonePart is a part of a time zone's name: https://data.iana.org/time-zones/theory.html#naming, and digits and "+" of old names.
var zonePart = pattern.New(`^[A-Za-z\.\-_0-9+]{1,14}$`)

func checkTimeZone(zone *string, path *field.Path) field.ErrorList {
	if zone == nil {
		return nil
	}
	if *zone == "" {
		return valid.Invalid(path, zone, "timeZone must be nil or non-empty string")
	}
	for part := range strings.SplitSeq(*zone, "/") {
		if part == "." || part == ".." || strings.HasPrefix(part, "-") || !zonePart.MatchString(part) {
			return valid.Invalid(path, zone, "unknown time zone "+*zone)
		}
	}
	var errs field.ErrorList
	if strings.EqualFold(*zone, "Local") {
		errs = append(errs, field.Invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(*zone); err != nil {
		errs = append(errs, field.Invalid(path, zone, err.Error()))
	}
	return errs
}

func zoneWarnings(c *batchv1.CronJob) []string {
	if !strings.Contains(c.Spec.Schedule, "TZ") {
		return nil
	}
	return []string{"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"}
}

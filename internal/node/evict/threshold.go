package evict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Signals that thresholds may be set for, upstream's names. allocatableMemory.available is not set but follows from
// memory.available: pods together may not use more than the node gives to pods.
const (
	MemoryAvailable            = "memory.available"
	AllocatableMemoryAvailable = "allocatableMemory.available"
	NodeFSAvailable            = "nodefs.available"
	NodeFSInodesFree           = "nodefs.inodesFree"
	ImageFSAvailable           = "imagefs.available"
	ImageFSInodesFree          = "imagefs.inodesFree"
	ContainerFSAvailable       = "containerfs.available"
	ContainerFSInodesFree      = "containerfs.inodesFree"
	PIDAvailable               = "pid.available"
)

// The resources that signals are about, beside those that the API has.
const (
	inodes    corev1.ResourceName = "inodes"
	processes corev1.ResourceName = "pids"
)

// resourceOf is what a node is short of when a signal's threshold is crossed.
var resourceOf = map[string]corev1.ResourceName{
	MemoryAvailable: corev1.ResourceMemory, AllocatableMemoryAvailable: corev1.ResourceMemory,
	NodeFSAvailable: corev1.ResourceEphemeralStorage, ImageFSAvailable: corev1.ResourceEphemeralStorage, ContainerFSAvailable: corev1.ResourceEphemeralStorage,
	NodeFSInodesFree: inodes, ImageFSInodesFree: inodes, ContainerFSInodesFree: inodes,
	PIDAvailable: processes,
}

// Settings are the thresholds as the kubelet's configuration has them, by signal.
type Settings struct {
	Hard, Soft map[string]string
	Grace      map[string]string // of soft ones: how long they have to be crossed
	Reclaim    map[string]string // how far beyond a crossed threshold is to be reclaimed
	MaxGrace   int64             // seconds that a pod is given at most when a soft threshold evicts it
	Transition time.Duration     // how long a condition is told after it was last seen; 5 min
}

// Threshold is one of them. Grace is 0 for hard ones.
type Threshold struct {
	Signal  string
	Value   amount
	Grace   time.Duration
	Reclaim amount
}

// amount is a quantity, or a part of the capacity.
type amount struct {
	quantity int64
	percent  float32
}

// of is the amount of a capacity. Percentages are kept in 32 bits, as upstream keeps them: their last digits show.
func (a amount) of(capacity int64) int64 {
	if a.percent > 0 {
		return int64(float64(capacity) * float64(a.percent))
	}
	return a.quantity
}

// Thresholds reads the settings. A threshold of 0% or 100% is none.
func (s *Settings) Thresholds() (out []Threshold, err error) {
	read := func(of map[string]string, soft bool) error {
		for _, signal := range sorted(of) {
			value, set, err := readThreshold(signal, of[signal])
			if err != nil {
				return err
			}
			if !set {
				continue
			}
			t := Threshold{Signal: signal, Value: value}
			if soft {
				text, ok := s.Grace[signal]
				if !ok {
					return fmt.Errorf("grace period must be specified for the soft eviction threshold %v", signal)
				}
				if t.Grace, err = time.ParseDuration(text); err != nil {
					return err
				}
			}
			if text, ok := s.Reclaim[signal]; ok {
				if t.Reclaim, err = readReclaim(signal, text); err != nil {
					return err
				}
			}
			out = append(out, t)
		}
		return nil
	}
	if err = s.check(); err == nil {
		err = read(s.Hard, false)
	}
	if err == nil {
		err = read(s.Soft, true)
	}
	for _, t := range out {
		if t.Signal == MemoryAvailable && t.Grace == 0 {
			t.Signal = AllocatableMemoryAvailable
			out = append(out, t)
			break
		}
	}
	return out, err
}

// check refuses grace periods and amounts to reclaim of signals that do not exist, and periods that are negative.
func (s *Settings) check() error {
	for _, signal := range sorted(s.Grace) {
		d, err := time.ParseDuration(s.Grace[signal])
		switch {
		case resourceOf[signal] == "":
			return fmt.Errorf("unsupported eviction signal %v", signal)
		case err != nil:
			return err
		case d < 0:
			return fmt.Errorf("invalid eviction grace period specified: %v, must be a positive value", s.Grace[signal])
		}
	}
	for _, signal := range sorted(s.Reclaim) {
		if _, err := readReclaim(signal, s.Reclaim[signal]); err != nil {
			return err
		}
	}
	return nil
}

func sorted(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func readThreshold(signal, text string) (a amount, set bool, err error) {
	if resourceOf[signal] == "" || signal == AllocatableMemoryAvailable {
		return a, false, fmt.Errorf("unsupported eviction signal %v", signal)
	}
	if p, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(p, 32)
		switch {
		case err != nil:
			return a, false, err
		case f < 0:
			return a, false, fmt.Errorf("eviction percentage threshold %v must be >= 0%%: %s", signal, text)
		case f > 100:
			return a, false, fmt.Errorf("eviction percentage threshold %v must be <= 100%%: %s", signal, text)
		}
		return amount{percent: float32(f) / 100}, f != 0 && f != 100, nil
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return a, false, err
	}
	if q.Sign() <= 0 {
		return a, false, fmt.Errorf("eviction threshold %v must be positive: %s", signal, &q)
	}
	return amount{quantity: q.Value()}, true, nil
}

func readReclaim(signal, text string) (amount, error) {
	if resourceOf[signal] == "" {
		return amount{}, fmt.Errorf("unsupported eviction signal %v", signal)
	}
	if p, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(p, 32)
		if err == nil && f <= 0 {
			err = fmt.Errorf("eviction percentage minimum reclaim %v must be positive: %s", signal, text)
		}
		return amount{percent: float32(f) / 100}, err
	}
	q, err := resource.ParseQuantity(text)
	if err == nil && q.Sign() < 0 {
		err = fmt.Errorf("negative eviction minimum reclaim specified for %v", signal)
	}
	return amount{quantity: q.Value()}, err
}

package flag

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// value is a setting of one word.
type value[T any] struct {
	to    *T
	typ   string
	parse func(string) (T, error)
	show  func(T) string
}

func (v value[T]) Type() string   { return v.typ }
func (v value[T]) String() string { return v.show(*v.to) }
func (v value[T]) Set(s string) error {
	got, err := v.parse(s)
	if err == nil {
		*v.to = got
	}
	return err
}

func same(s string) (string, error) { return s, nil }
func plain[T any](v T) string       { return fmt.Sprint(v) }

// String is a text; what *to holds is the default.
func String(to *string) value[string] {
	return value[string]{to, "string", same, plain[string]}
}

// Typed is a text of which upstream's usage has another type name ("ip", "duration" …).
func Typed(typ string, to *string) value[string] {
	return value[string]{to, typ, same, plain[string]}
}

// Bool is a switch.
func Bool(to *bool) value[bool] {
	return value[bool]{to, "bool", strconv.ParseBool, plain[bool]}
}

// Int is a number.
func Int(to *int) value[int] { return value[int]{to, "int", strconv.Atoi, plain[int]} }

// Natural is a number that is not negative.
func Natural(to *int) value[int] {
	return value[int]{to, "int", func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err == nil && n < 0 {
			err = errors.New("can not be negative value")
		}
		return n, err
	}, plain[int]}
}

// Int32 is a number that upstream keeps in 32 bits.
func Int32(to *int32) value[int32] {
	return value[int32]{to, "int32", func(s string) (int32, error) {
		n, err := strconv.ParseInt(s, 10, 32)
		return int32(n), err
	}, plain[int32]}
}

// Float is a fraction.
func Float(to *float64) value[float64] {
	return value[float64]{to, "float", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) },
		func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }}
}

// Float32 is a fraction that upstream keeps in 32 bits.
func Float32(to *float64) value[float64] {
	return value[float64]{to, "float32", func(s string) (float64, error) { return strconv.ParseFloat(s, 32) },
		func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 32) }}
}

// Duration is a length of time.
func Duration(to *time.Duration) value[time.Duration] {
	return value[time.Duration]{to, "duration", func(s string) (time.Duration, error) {
		if s == "0" {
			return 0, nil
		}
		return time.ParseDuration(s)
	}, plain[time.Duration]}
}

// IP is an address.
func IP(to *net.IP) value[net.IP] {
	return value[net.IP]{to, "ip", func(s string) (net.IP, error) {
		ip := net.ParseIP(strings.TrimSpace(s))
		if ip == nil && s != "" {
			return nil, fmt.Errorf("failed to parse IP: %q", s)
		}
		return ip, nil
	}, func(ip net.IP) string {
		if ip == nil {
			return ""
		}
		return ip.String()
	}}
}

// Prefixes are ranges of addresses, comma separated; upstream has them as one string.
func Prefixes(to *[]netip.Prefix) value[[]netip.Prefix] {
	return value[[]netip.Prefix]{to, "string", func(s string) ([]netip.Prefix, error) {
		var out []netip.Prefix
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			p, err := netip.ParsePrefix(item)
			if err != nil {
				return nil, fmt.Errorf("invalid CIDR %q: %w", item, err)
			}
			out = append(out, p.Masked())
		}
		return out, nil
	}, func(ps []netip.Prefix) string {
		var out []string
		for _, p := range ps {
			out = append(out, p.String())
		}
		return strings.Join(out, ",")
	}}
}

// Ports is a range of ports, "30000-32767".
func Ports(to *[2]int) value[[2]int] {
	return value[[2]int]{to, "portRange", func(s string) (r [2]int, err error) {
		low, high, ok := strings.Cut(s, "-")
		if !ok {
			return r, fmt.Errorf("%q: want FIRST-LAST", s)
		}
		if r[0], err = strconv.Atoi(low); err == nil {
			r[1], err = strconv.Atoi(high)
		}
		if err == nil && (r[0] < 1 || r[1] > 65535 || r[0] > r[1]) {
			err = fmt.Errorf("%q is not a range of ports", s)
		}
		return r, err
	}, func(r [2]int) string { return fmt.Sprintf("%d-%d", r[0], r[1]) }}
}

// list is a setting of several words. The first time it is set it replaces the default, later it adds.
type list struct {
	to     *[]string
	typ    string
	commas bool
	set    bool
}

// List is comma separated, and may be given several times.
func List(to *[]string) *list { return &list{to: to, typ: "strings", commas: true} }

// Each is given several times, one word each time.
func Each(to *[]string) *list { return &list{to: to, typ: "stringArray"} }

func (l *list) Type() string { return l.typ }
func (l *list) String() string {
	if len(*l.to) == 0 {
		return ""
	}
	return "[" + strings.Join(*l.to, ",") + "]"
}

func (l *list) Set(s string) error {
	items := []string{s}
	if l.commas {
		items = strings.Split(s, ",")
	}
	if s == "" {
		items = nil
	}
	if !l.set {
		*l.to, l.set = nil, true
	}
	*l.to = append(*l.to, items...)
	return nil
}

// Map is key=value pairs, comma separated.
func Map(to *map[string]string) value[map[string]string] {
	return value[map[string]string]{to, "mapStringString", pairs, func(m map[string]string) string { return joined(m, "=") }}
}

func pairs(s string) (map[string]string, error) { return pairsOf(s, "=") }

func pairsOf(s, between string) (map[string]string, error) {
	out := map[string]string{}
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, between)
		if !ok || key == "" {
			return nil, fmt.Errorf("malformed pair, expect string%sstring: %q", between, item)
		}
		out[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return out, nil
}

func joined(m map[string]string, between string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+between+m[k])
	}
	return strings.Join(out, ",")
}

// thresholds are amounts of signals; the file has them as an object.
type thresholds struct{ value[map[string]string] }

// Thresholds is signal<amount pairs, comma separated.
func Thresholds(to *map[string]string) thresholds {
	return thresholds{value[map[string]string]{to, "mapStringString",
		func(s string) (map[string]string, error) { return pairsOf(s, "<") },
		func(m map[string]string) string { return joined(m, "<") }}}
}

func (t thresholds) SetJSON(data []byte) error {
	m := map[string]string{}
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	*t.to = m
	return nil
}

// OneOf is a text that must be one of some; typ is upstream's name of the type.
func OneOf(typ string, to *string, values ...string) value[string] {
	return value[string]{to, typ, func(s string) (string, error) {
		if !slices.Contains(values, s) {
			return "", fmt.Errorf("want one of %s", strings.Join(values, ", "))
		}
		return s, nil
	}, plain[string]}
}

// taints are those a node registers with; the file has them as objects.
type taints struct{ value[[]corev1.Taint] }

// Taints is key=value:effect or key:effect, comma separated.
func Taints(to *[]corev1.Taint, parse func(string) ([]corev1.Taint, error)) taints {
	return taints{value[[]corev1.Taint]{to, "[]v1.Taint", parse, func(ts []corev1.Taint) string {
		var out []string
		for _, t := range ts {
			out = append(out, t.ToString())
		}
		return strings.Join(out, ",")
	}}}
}

func (t taints) SetJSON(data []byte) error { return json.Unmarshal(data, t.to) }

// JSON is a setting that only a file can give, as a structure.
type jsonTo[T any] struct{ to *T }

// JSON reads a structure into *to, strictly.
func JSON[T any](to *T) jsonTo[T] { return jsonTo[T]{to} }

func (j jsonTo[T]) Type() string     { return "object" }
func (j jsonTo[T]) String() string   { return "" }
func (j jsonTo[T]) Set(string) error { return fmt.Errorf("only a file can give it") }
func (j jsonTo[T]) SetJSON(data []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	return dec.Decode(j.to)
}

package usage

import (
	"fmt"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	now := time.Unix(1000, 0)
	r := parse([]byte(`# HELP node_cpu_usage_seconds_total [STABLE] x
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 12.5 999000
node_memory_working_set_bytes 1.5e+06 999000
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} 2 998000
container_memory_working_set_bytes{container="c",namespace="n",pod="p"} 4096
container_cpu_usage_seconds_total{container="quo\"te,}",namespace="n",pod="p"} 3 998000
container_cpu_usage_seconds_total{container="broken 3
container_cpu_usage_seconds_total{container="d",namespace="n",pod="p"} NaN-ish
pod_cpu_usage_seconds_total{namespace="n",pod="p"} 5 998000
resource_scrape_error 0
`), now)
	if r.node.cpu != 12500*time.Millisecond || r.node.memory != 1500000 || !r.node.at.Equal(time.Unix(999, 0)) {
		t.Errorf("%+v", r.node)
	}
	if got := fmt.Sprint(len(r.containers), r.containers[container{"n", "p", "c"}].cpu, r.containers[container{"n", "p", "c"}].memory, r.containers[container{"n", "p", `quo"te,}`}].cpu); got != "2 2s 4096 3s" {
		t.Error(got)
	}
}

func TestRate(t *testing.T) {
	at := func(seconds int, cpu time.Duration, memory uint64) *reading {
		return &reading{node: figure{at: time.Unix(int64(seconds), 0), cpu: cpu, memory: memory, hasCPU: true}}
	}
	for _, c := range []struct {
		before, now *reading
		want        string
	}{
		{at(0, time.Second, 1), at(10, 3500*time.Millisecond, 5<<20), "250m 5Mi 10s true"},
		{at(0, time.Second, 1), at(10, time.Second, 1025), "0 1Ki 10s true"},
		{at(0, 2*time.Second, 1), at(10, time.Second, 1), "0 0 0s false"}, // started again between them
		{at(10, time.Second, 1), at(10, time.Second, 1), "0 0 0s false"},
		{nil, at(10, time.Second, 1), "0 0 0s false"},
		{&reading{}, at(10, time.Second, 1), "0 0 0s false"},
	} {
		use, window, ok := rate([2]*reading{c.before, c.now}, func(r *reading) (figure, bool) { return r.node, true })
		if got := fmt.Sprint(use.Cpu(), " ", use.Memory(), " ", window.Duration, " ", ok); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("node_cpu_usage_seconds_total 1 2\ncontainer_cpu_usage_seconds_total{a=\"b\"} 1"))
	f.Add([]byte(`x{a="\x",b} -1`))
	f.Fuzz(func(t *testing.T, text []byte) { parse(text, time.Unix(0, 0)) })
}

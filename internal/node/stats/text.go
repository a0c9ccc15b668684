package stats

import (
	"fmt"
	"io"
	"strings"

	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// family is one metric with its samples.
type family struct {
	name, help, kind string
	lines            []string
}

func (f *family) add(labels string, v float64, at int64) {
	line := f.name
	if labels != "" {
		line += "{" + labels + "}"
	}
	line += fmt.Sprintf(" %g", v)
	if at > 0 {
		line += fmt.Sprintf(" %d", at)
	}
	f.lines = append(f.lines, line)
}

func (f *family) write(w io.Writer) {
	if len(f.lines) > 0 {
		fmt.Fprintf(w, "# HELP %s [STABLE] %s\n# TYPE %s %s\n%s\n", f.name, f.help, f.name, f.kind, strings.Join(f.lines, "\n"))
	}
}

// Resource writes the exposition of /metrics/resource, which metrics-server reads.
func Resource(w io.Writer, s *statsv1.Summary) {
	containerCPU := &family{name: "container_cpu_usage_seconds_total", help: "Cumulative cpu time consumed by the container in core-seconds", kind: "counter"}
	containerMem := &family{name: "container_memory_working_set_bytes", help: "Current working set of the container in bytes", kind: "gauge"}
	containerStart := &family{name: "container_start_time_seconds", help: "Start time of the container since unix epoch in seconds", kind: "gauge"}
	podCPU := &family{name: "pod_cpu_usage_seconds_total", help: "Cumulative cpu time consumed by the pod in core-seconds", kind: "counter"}
	podMem := &family{name: "pod_memory_working_set_bytes", help: "Current working set of the pod in bytes", kind: "gauge"}
	nodeCPU := &family{name: "node_cpu_usage_seconds_total", help: "Cumulative cpu time consumed by the node in core-seconds", kind: "counter"}
	nodeMem := &family{name: "node_memory_working_set_bytes", help: "Current working set of the node in bytes", kind: "gauge"}
	put := func(cpu, mem *family, labels string, c *statsv1.CPUStats, m *statsv1.MemoryStats) {
		if c != nil && c.UsageCoreNanoSeconds != nil {
			cpu.add(labels, float64(*c.UsageCoreNanoSeconds)/1e9, c.Time.UnixMilli())
		}
		if m != nil && m.WorkingSetBytes != nil {
			mem.add(labels, float64(*m.WorkingSetBytes), m.Time.UnixMilli())
		}
	}
	put(nodeCPU, nodeMem, "", s.Node.CPU, s.Node.Memory)
	for _, p := range s.Pods {
		put(podCPU, podMem, fmt.Sprintf("namespace=%q,pod=%q", p.PodRef.Namespace, p.PodRef.Name), p.CPU, p.Memory)
		for _, c := range p.Containers {
			labels := fmt.Sprintf("container=%q,namespace=%q,pod=%q", c.Name, p.PodRef.Namespace, p.PodRef.Name)
			put(containerCPU, containerMem, labels, c.CPU, c.Memory)
			containerStart.add(labels, float64(c.StartTime.UnixNano())/1e9, 0)
		}
	}
	for _, f := range []*family{containerCPU, containerMem, containerStart, nodeCPU, nodeMem, podCPU, podMem} {
		f.write(w)
	}
	fmt.Fprint(w, "# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise\n# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n")
}

// CAdvisor writes the few metrics of /metrics/cadvisor that dashboards cannot do without.
func CAdvisor(w io.Writer, s *statsv1.Summary) {
	families := []*family{
		{name: "container_cpu_usage_seconds_total", help: "Cumulative cpu time consumed in seconds.", kind: "counter"},
		{name: "container_memory_usage_bytes", help: "Current memory usage in bytes.", kind: "gauge"},
		{name: "container_memory_working_set_bytes", help: "Current working set in bytes.", kind: "gauge"},
		{name: "container_memory_rss", help: "Size of RSS in bytes.", kind: "gauge"},
		{name: "container_network_receive_bytes_total", help: "Cumulative count of bytes received", kind: "counter"},
		{name: "container_network_transmit_bytes_total", help: "Cumulative count of bytes transmitted", kind: "counter"},
		{name: "container_pressure_cpu_waiting_seconds_total", help: "Total time duration tasks in the container have waited due to CPU congestion.", kind: "counter"},
		{name: "container_pressure_cpu_stalled_seconds_total", help: "Total time duration no tasks in the container could make progress due to CPU congestion.", kind: "counter"},
		{name: "container_pressure_memory_waiting_seconds_total", help: "Total time duration tasks in the container have waited due to memory congestion.", kind: "counter"},
		{name: "container_pressure_memory_stalled_seconds_total", help: "Total time duration no tasks in the container could make progress due to memory congestion.", kind: "counter"},
		{name: "container_pressure_io_waiting_seconds_total", help: "Total time duration tasks in the container have waited due to IO congestion.", kind: "counter"},
		{name: "container_pressure_io_stalled_seconds_total", help: "Total time duration no tasks in the container could make progress due to IO congestion.", kind: "counter"},
	}
	add := func(i int, labels string, v *uint64, scale float64, at int64) {
		if v != nil {
			families[i].add(labels, float64(*v)/scale, at)
		}
	}
	waited := func(i int, labels string, p *statsv1.PSIStats, at int64) { // nothing where the kernel does not measure it
		if p != nil {
			add(i, labels, &p.Some.Total, 1e9, at)
			add(i+1, labels, &p.Full.Total, 1e9, at)
		}
	}
	use := func(labels string, c *statsv1.CPUStats, m *statsv1.MemoryStats, io *statsv1.IOStats) {
		if c != nil {
			add(0, labels, c.UsageCoreNanoSeconds, 1e9, c.Time.UnixMilli())
			waited(6, labels, c.PSI, c.Time.UnixMilli())
		}
		if m != nil {
			add(1, labels, m.UsageBytes, 1, m.Time.UnixMilli())
			add(2, labels, m.WorkingSetBytes, 1, m.Time.UnixMilli())
			add(3, labels, m.RSSBytes, 1, m.Time.UnixMilli())
			waited(8, labels, m.PSI, m.Time.UnixMilli())
		}
		if io != nil {
			waited(10, labels, io.PSI, io.Time.UnixMilli())
		}
	}
	use(`container="",id="/",image="",name="",namespace="",pod=""`, s.Node.CPU, s.Node.Memory, s.Node.IO)
	for _, p := range s.Pods {
		ref := fmt.Sprintf("namespace=%q,pod=%q", p.PodRef.Namespace, p.PodRef.Name)
		use(`container="",id="/kubepods/pod`+p.PodRef.UID+`",image="",name="",`+ref, p.CPU, p.Memory, p.IO)
		if n := p.Network; n != nil {
			for _, i := range n.Interfaces {
				labels := fmt.Sprintf("container=\"\",interface=%q,%s", i.Name, ref)
				add(4, labels, i.RxBytes, 1, n.Time.UnixMilli())
				add(5, labels, i.TxBytes, 1, n.Time.UnixMilli())
			}
		}
		for _, c := range p.Containers {
			use(fmt.Sprintf("container=%q,%s", c.Name, ref), c.CPU, c.Memory, c.IO)
		}
	}
	for _, f := range families {
		f.write(w)
	}
}

package valid

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) probes(ctr *corev1.Container, path *field.Path) {
	if p := ctr.LivenessProbe; p != nil {
		c.probe(p, path.Child("livenessProbe"))
		c.onceSuccessful(p, path.Child("livenessProbe"))
	}
	if p := ctr.ReadinessProbe; p != nil {
		path := path.Child("readinessProbe")
		c.probe(p, path)
		if p.TerminationGracePeriodSeconds != nil {
			c.invalid(path.Child("terminationGracePeriodSeconds"), p.TerminationGracePeriodSeconds, "must not be set for readinessProbes")
		}
	}
	if p := ctr.StartupProbe; p != nil {
		c.probe(p, path.Child("startupProbe"))
		c.onceSuccessful(p, path.Child("startupProbe"))
	}
}

func (c *podCheck) onceSuccessful(p *corev1.Probe, path *field.Path) {
	if p.SuccessThreshold != 1 {
		c.invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1")
	}
}

func (c *podCheck) probe(p *corev1.Probe, path *field.Path) {
	c.handler(handler{exec: p.Exec, httpGet: p.HTTPGet, tcpSocket: p.TCPSocket, grpc: p.GRPC}, path)
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold},
		{"failureThreshold", p.FailureThreshold},
	} {
		c.add(NonNegative(int64(f.value), path.Child(f.name))...)
	}
	if g := p.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		c.invalid(path.Child("terminationGracePeriodSeconds"), *g, "must be greater than 0")
	}
}

func (c *podCheck) lifecycle(ctr *corev1.Container, path *field.Path) {
	if ctr.Lifecycle == nil {
		return
	}
	path = path.Child("lifecycle")
	if h := ctr.Lifecycle.PostStart; h != nil {
		c.handler(handler{exec: h.Exec, httpGet: h.HTTPGet, tcpSocket: h.TCPSocket, sleep: h.Sleep}, path.Child("postStart"))
	}
	if h := ctr.Lifecycle.PreStop; h != nil {
		c.handler(handler{exec: h.Exec, httpGet: h.HTTPGet, tcpSocket: h.TCPSocket, sleep: h.Sleep}, path.Child("preStop"))
	}
}

// handler is what a probe or a lifecycle hook does; exactly one is set.
type handler struct {
	exec      *corev1.ExecAction
	httpGet   *corev1.HTTPGetAction
	tcpSocket *corev1.TCPSocketAction
	grpc      *corev1.GRPCAction
	sleep     *corev1.SleepAction
}

func (c *podCheck) handler(h handler, path *field.Path) {
	handlers := 0
	one := func(set bool, name string, check func(path *field.Path)) {
		if !set {
			return
		}
		if handlers++; handlers > 1 {
			c.forbidden(path.Child(name), "may not specify more than 1 handler type")
			return
		}
		check(path.Child(name))
	}
	one(h.exec != nil, "exec", func(path *field.Path) {
		if len(h.exec.Command) == 0 {
			c.required(path.Child("command"), "")
		}
	})
	one(h.httpGet != nil, "httpGet", func(path *field.Path) { c.httpGet(h.httpGet, path) })
	one(h.tcpSocket != nil, "tcpSocket", func(path *field.Path) {
		c.add(PortOrName(h.tcpSocket.Port, path.Child("port"))...)
	})
	one(h.grpc != nil, "grpc", func(path *field.Path) {
		c.add(PortOrName(intstr.FromInt32(h.grpc.Port), path.Child("port"))...)
	})
	one(h.sleep != nil, "sleep", func(path *field.Path) {
		if g := c.TerminationGracePeriodSeconds; g != nil && (h.sleep.Seconds < 0 || h.sleep.Seconds > *g) {
			c.invalid(path, h.sleep.Seconds, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *g))
		}
	})
	if handlers == 0 {
		c.required(path, "must specify a handler type")
	}
}

func (c *podCheck) httpGet(get *corev1.HTTPGetAction, path *field.Path) {
	if get.Path == "" {
		c.required(path.Child("path"), "")
	}
	c.add(PortOrName(get.Port, path.Child("port"))...)
	c.add(OneOf(get.Scheme, path.Child("scheme"), corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for _, h := range get.HTTPHeaders {
		c.invalidAll(path.Child("httpHeaders"), h.Name, validation.IsHTTPHeaderName(h.Name))
	}
}

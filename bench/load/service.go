package load

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	serviceSpace = "bench-services"
	portA, portB = 19001, 19002 // where the backends listen; each says its letter
)

// serviceMake makes n Services without selector and a slice of two endpoints for each.
func (r *run) serviceMake() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	if err := r.namespace(cs, serviceSpace); err != nil {
		return err
	}
	before := r.pids.Take()
	err = each(r.n, 16, func(_, i int) error {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: serviceName(i)}, Spec: corev1.ServiceSpec{
			Ports: []corev1.ServicePort{{Name: "p", Port: 80, Protocol: corev1.ProtocolTCP}}}}
		if _, err := cs.CoreV1().Services(serviceSpace).Create(r.ctx, s, metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := cs.DiscoveryV1().EndpointSlices(serviceSpace).Create(r.ctx, r.slice(i, portA), metav1.CreateOptions{})
		return err
	})
	used := r.window(before)
	r.put("made_per_s", float64(r.n)/used.At.Sub(before.At).Seconds())
	return err
}

func serviceName(i int) string { return fmt.Sprintf("s%06d", i) }

// slice has both backends of service i on a port.
func (r *run) slice(i int, port int32) *discoveryv1.EndpointSlice {
	name, tcp, yes := "p", corev1.ProtocolTCP, true
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: serviceName(i) + "-a", Namespace: serviceSpace,
		Labels: map[string]string{discoveryv1.LabelServiceName: serviceName(i), discoveryv1.LabelManagedBy: "sampan-bench"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}}}
	for ip := range strings.SplitSeq(r.backends, ",") {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}})
	}
	return s
}

// serve answers every connection to a port of the backends' addresses with a letter.
func (r *run) serve(port int, letter string) (func(), error) {
	var all []net.Listener
	for ip := range strings.SplitSeq(r.backends, ",") {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, port))
		if err != nil {
			return nil, err
		}
		all = append(all, l)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(letter))
				c.Close()
			}
		}()
	}
	return func() {
		for _, l := range all {
			l.Close()
		}
	}, nil
}

// answer connects to a Service and returns what its backend says, "" when none answers.
func answer(ip string) string {
	c, err := net.DialTimeout("tcp", ip+":80", 150*time.Millisecond)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	b, _ := io.ReadAll(c)
	return string(b)
}

// services lists the services that serviceMake made.
func (r *run) services() ([]corev1.Service, error) {
	cs, err := r.client()
	if err != nil {
		return nil, err
	}
	l, err := cs.CoreV1().Services(serviceSpace).List(r.ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	if len(l.Items) == 0 {
		return nil, fmt.Errorf("there are no services")
	}
	return l.Items, nil
}

// serviceSync times from the start of a proxy without rules until 50 services, chosen at random, and the last one answer.
func (r *run) serviceSync() error {
	all, err := r.services()
	if err != nil {
		return err
	}
	stop, err := r.serve(portA, "A")
	if err != nil {
		return err
	}
	defer stop()
	open := []string{all[len(all)-1].Spec.ClusterIP}
	for _, i := range rand.Perm(len(all))[:min(50, len(all))] {
		open = append(open, all[i].Spec.ClusterIP)
	}
	since, err := r.armed()
	if err != nil {
		return err
	}
	var first time.Time
	err = r.until(3*time.Millisecond, func() bool {
		// one after the other: a probe of a service that is not there yet costs the machine's time
		for len(open) > 0 && answer(open[len(open)-1]) == "A" {
			if first.IsZero() {
				first = time.Now()
			}
			open = open[:len(open)-1]
		}
		return len(open) == 0
	})
	if err != nil {
		return fmt.Errorf("%d services do not answer: %w", len(open), err)
	}
	r.put("first_ms", milliseconds(first.Sub(since)))
	r.put("programmed_ms", milliseconds(time.Since(since)))
	return nil
}

// serviceChange moves the endpoints of one service to the other port and times until a connection gets there, n times.
func (r *run) serviceChange() error {
	all, err := r.services()
	if err != nil {
		return err
	}
	cs, err := r.client()
	if err != nil {
		return err
	}
	for port, letter := range map[int]string{portA: "A", portB: "B"} {
		stop, err := r.serve(port, letter)
		if err != nil {
			return err
		}
		defer stop()
	}
	slices := cs.DiscoveryV1().EndpointSlices(serviceSpace)
	var t times
	before := r.pids.Take()
	for range r.n {
		s := all[rand.IntN(len(all))]
		var i int
		if _, err := fmt.Sscanf(s.Name, "s%d", &i); err != nil {
			return err
		}
		since := time.Now()
		if _, err := slices.Update(r.ctx, r.slice(i, portB), metav1.UpdateOptions{}); err != nil {
			return err
		}
		if err := r.until(time.Millisecond, func() bool { return answer(s.Spec.ClusterIP) == "B" }); err != nil {
			return fmt.Errorf("service %s still goes to the old endpoints: %w", s.Name, err)
		}
		t.add(time.Since(since))
		if _, err := slices.Update(r.ctx, r.slice(i, portA), metav1.UpdateOptions{}); err != nil {
			return err
		}
		r.pause(3 * time.Second) // so that no proxy's shortest interval between changes is measured
	}
	used := r.window(before)
	r.put("change_p50_ms", t.at(.5))
	r.put("change_max_ms", t.at(1))
	r.put("change_cpu_ms", 1000*used.CPU/float64(2*r.n))
	return nil
}

package placement

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"sampan.dev/internal/node/memorymap"
	"sampan.dev/internal/node/podresources"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/socket"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
	"k8s.io/utils/cpuset"
)

// Run serves device plugins and the pod resources API, and keeps containers on their CPUs, until ctx ends. What fails is said and the
// rest goes on: pods that need nothing of it are not to suffer.
func (p *Placement) Run(ctx context.Context) {
	var wait sync.WaitGroup
	serve := func(what string, fn func() error) {
		wait.Go(func() {
			if err := fn(); err != nil {
				p.cfg.Log.Error(what+" not served", "error", err)
			}
		})
	}
	serve("device plugins", func() error { return p.devices.Serve(ctx) })
	serve("pod resources", func() error {
		return socket.Serve(ctx, filepath.Join(p.cfg.Dir, "pod-resources", "kubelet.sock"), func(s *grpc.Server) {
			podresourcesv1.RegisterPodResourcesListerServer(s, &podresources.Server{Source: p.source()})
		})
	})
	if p.cpus != nil {
		wait.Go(func() { p.reconcile(ctx) })
	}
	wait.Wait()
}

// source is what the pod resources API tells.
func (p *Placement) source() podresources.Source {
	s := podresources.Source{
		Pods: p.cfg.Pods, Devices: p.devices.Devices, Claims: p.cfg.Claims, AllDevices: p.devices.Allocatable,
		CPUs:      func(types.UID, string) cpuset.CPUSet { return cpuset.New() },
		AllCPUs:   func() cpuset.CPUSet { return cpuset.New() },
		Memory:    func(types.UID, string) []memorymap.Block { return nil },
		AllMemory: func() []memorymap.Block { return nil },
	}
	if p.cpus != nil {
		s.AllCPUs = p.cpus.Allocatable
		s.CPUs = func(pod types.UID, container string) cpuset.CPUSet {
			if has, own := p.cpus.CPUs(pod, container); own {
				return has
			}
			return cpuset.New()
		}
	}
	if p.memory != nil {
		s.Memory, s.AllMemory = p.memory.Blocks, p.memory.Allocatable
	}
	return s
}

// look makes reconcile look at once.
func (p *Placement) look() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// reconcile moves containers that run to the CPUs that they are to be on: those that share CPUs leave the ones that somebody was given and
// get back those that were returned. It looks when something was, and every CPUEvery for containers that were being made meanwhile.
func (p *Placement) reconcile(ctx context.Context) {
	every := p.cfg.CPUEvery
	if every <= 0 {
		every = 10 * time.Second
	}
	t := time.NewTicker(every)
	defer t.Stop()
	on := map[string]string{} // CPUs by ID of the container, as they were last set
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
		case <-t.C:
		}
		all, err := p.cfg.Runtime.List(ctx)
		if err != nil {
			p.cfg.Log.Debug("containers not listed, so not moved", "error", err)
			continue
		}
		on = p.move(ctx, all, on)
	}
}

// move sets the CPUs of containers that run elsewhere, and returns where all are then.
func (p *Placement) move(ctx context.Context, all []*runtime.Pod, on map[string]string) map[string]string {
	now := map[string]string{}
	for _, pod := range all {
		for i := range pod.Containers {
			c := &pod.Containers[i]
			if c.State != runtime.Running {
				continue
			}
			want, _ := p.cpus.CPUs(pod.UID, c.Name)
			if text := want.String(); on[c.ID] == text {
				now[c.ID] = text
			} else if err := p.cfg.Runtime.UpdateContainer(ctx, c.ID, &cri.LinuxContainerResources{CpusetCpus: text}); err == nil {
				now[c.ID] = text
			} else if !runtime.IsNotFound(err) {
				p.cfg.Log.Warn("container not moved to its CPUs", "pod", pod.Namespace+"/"+pod.Name, "container", c.Name, "cpus", text, "error", err)
			}
		}
	}
	return now
}

package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/parts"
	"sampan.dev/internal/machine/site"
)

// Gather asks all there is to ask about a data directory. It fails only where nothing can be said.
func Gather(ctx context.Context, dir string) (*Status, error) {
	s, err := Brief(dir)
	if err != nil || s.PID == 0 {
		return s, err
	}
	paths := pathsOf(dir)
	if _, err := os.Stat(paths.Kubeconfig); err == nil {
		s.Kubeconfig = paths.Kubeconfig
		s.ask(ctx, paths.Kubeconfig)
	}
	if len(s.Parts) == 0 && s.Health == healthy {
		s.State = Running // of an older build, which writes no such file
	}
	ports := listening("/proc", s.PID)
	if s.NodePID != 0 {
		ports = append(ports, listening("/proc", s.NodePID)...)
	}
	s.Ports = named(ports, s.names(dir))
	s.judge()
	return s, nil
}

// Brief says what can be said without asking the API server.
func Brief(dir string) (*Status, error) {
	paths := pathsOf(dir)
	s := &Status{Name: site.Usual().Name(dir), DataDir: dir, State: Absent}
	if _, err := os.Stat(paths.Claim); errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if errors.Is(err, fs.ErrPermission) {
		s.State = Unknown
		return s, fmt.Errorf("look into %s: %w", dir, err)
	}
	s.State = Stopped
	pid, err := hold.Holder(paths)
	if err != nil {
		s.State = Unknown
		return s, fmt.Errorf("look who has %s: %w", dir, err)
	}
	if s.NodePID, err = hold.Holder(paths.Apart()); err == nil && s.NodePID != 0 {
		s.NodeLog = paths.Apart().Log
	}
	if pid == 0 {
		s.Server = serverOf(paths.Kubeconfig)
		if s.NodePID != 0 {
			s.Problems = append(s.Problems, fmt.Sprintf("its node goes on as process %d; 'sampan up' with the same flags brings the control plane back, 'sampan down' ends both", s.NodePID))
		}
		return s, nil
	}
	s.State, s.PID = Starting, pid
	s.Command, s.Since, s.Log = process("/proc", pid, paths.Log)
	f, err := parts.Read(paths, pid)
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("process %d does not say how its parts are: %v", pid, err))
		return s, nil
	}
	s.tell(f)
	if s.NodePID != 0 {
		s.tellNode(paths.Apart())
	}
	if s.Server == "" {
		s.Server = serverOf(paths.Kubeconfig)
	}
	return s, nil
}

// tell takes over what the process says of itself.
func (s *Status) tell(f parts.File) {
	s.Version, s.Kubernetes, s.Server, s.Pods, s.Services, s.Parts = f.Build, f.Kubernetes, f.Server, f.Pods, f.Services, f.Parts
	if f.Ready {
		s.State = Running
	}
}

// tellNode takes over what a node that is a process of its own says of itself.
func (s *Status) tellNode(paths config.Paths) {
	f, err := parts.Read(paths, s.NodePID)
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("process %d does not say how the node's parts are: %v", s.NodePID, err))
		return
	}
	s.Parts = append(s.Parts, f.Parts...)
	if !f.Ready {
		s.State = Starting
	}
}

// judge names what a person should look at.
func (s *Status) judge() {
	for _, p := range s.Parts {
		if !p.Running {
			s.Problems = append(s.Problems, fmt.Sprintf("%s has failed and is to be started again: %s", p.Name, p.Error))
		} else if p.Failures > 0 {
			s.Problems = append(s.Problems, fmt.Sprintf("%s was started again: %s", p.Name, p.Error))
		}
	}
	if s.Health != "" && s.Health != healthy {
		s.Problems = append(s.Problems, "the API server is not ready: "+s.Health)
	}
	for _, n := range s.Nodes {
		if !strings.HasPrefix(n.Status, "Ready") {
			s.Problems = append(s.Problems, fmt.Sprintf("node %s is %s", n.Name, n.Status))
		}
	}
}

func pathsOf(dir string) config.Paths {
	c := config.Config{DataDir: dir}
	return c.Paths()
}

// running counts the parts that run.
func running(all []daemon.State) (n int) {
	for _, p := range all {
		if p.Running {
			n++
		}
	}
	return n
}

// names says what is behind a port: by what the data directory says, else by the port that each of upstream's components usually has.
func (s *Status) names(dir string) map[uint16]string {
	names := map[uint16]string{
		53: "cluster DNS", 10250: "kubelet", 10248: "kubelet health", 10249: "proxy metrics", 10256: "proxy health",
		10257: "controller manager", 10259: "scheduler",
	}
	if at := portOf(s.Server); at != 0 && s.Command != "agent" {
		names[at] = "API server"
	}
	if data, err := os.ReadFile(filepath.Join(dir, "etcd.endpoint")); err == nil {
		names[portOf(strings.TrimSpace(string(data)))] = "etcd"
	}
	for port, what := range s.kubelets {
		names[port] = what
	}
	return names
}

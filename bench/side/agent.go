package side

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// For services, sampan's node is an agent apart from its server, so that it can be started alone as the peer's proxy can. Both
// run in a network namespace that has a bridge with two addresses and no way out.
const (
	netns    = "sampanbench"
	addressA = "10.201.0.2"
	addressB = "10.201.0.3"
)

func (s *Sampan) agentDir() string { return s.Dir + "-agent" }

// Inside is empty unless a proxy is wanted.
func (s *Sampan) Inside() []string {
	if !s.shape.Proxy {
		return nil
	}
	return []string{"nsenter", "--net=/run/netns/" + netns}
}

func (s *Sampan) Backends() string { return addressA + "," + addressB }

func (s *Sampan) makeNetwork(ctx context.Context) error {
	if exec.CommandContext(ctx, "test", "-e", "/run/netns/"+netns).Run() == nil {
		return nil
	}
	for _, line := range []string{
		"ip netns add " + netns,
		"ip -n NS link set lo up",
		"ip -n NS link add sb0 type bridge",
		"ip -n NS addr add " + addressA + "/24 dev sb0",
		"ip -n NS addr add " + addressB + "/24 dev sb0",
		"ip -n NS link set sb0 up",
		"ip -n NS route add default via 10.201.0.1 dev sb0", // so that there is an address to be reached at; nobody is there
	} {
		args := strings.Fields(strings.ReplaceAll(line, "NS", netns))
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return nil
}

func dropNetwork(ctx context.Context) error {
	if exec.CommandContext(ctx, "test", "-e", "/run/netns/"+netns).Run() != nil {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "ip", "netns", "del", netns).CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns del %s: %w: %s", netns, err, out)
	}
	return nil
}

// LaunchProxy starts the agent. The first time it joins, which a proxy's start is not to be measured with: call it twice.
func (s *Sampan) LaunchProxy(ctx context.Context) (time.Time, error) {
	if s.join == nil {
		out, err := exec.CommandContext(ctx, s.Inside()[0], append(s.Inside()[1:], s.Bin, "token", "--data-dir", s.Dir)...).Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("sampan token: %w", err)
		}
		command := strings.Replace(strings.TrimSpace(string(out)), "https://ADDRESS:", "https://127.0.0.1:", 1)
		s.join = append(strings.Fields(command)[1:], "--data-dir", s.agentDir(), "--node-name", "bench-agent", "--node-ip", addressA)
	}
	var err error
	s.agent, err = start(append(append(s.Inside(), s.Bin), s.join...), filepath.Join(s.Logs, "agent.log"))
	if err != nil {
		return time.Time{}, err
	}
	return s.agent.began, nil
}

// StopProxy stops the agent and has its rules, runtime and links taken away.
func (s *Sampan) StopProxy(ctx context.Context) error {
	err := s.agent.stop(ctx)
	s.agent = nil
	if err != nil {
		return err
	}
	inside := append(s.Inside(), s.Bin, "down", "--data-dir", s.agentDir())
	if out, err := exec.CommandContext(ctx, inside[0], inside[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("sampan down: %w: %s", err, out)
	}
	return nil
}

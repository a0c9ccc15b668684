package main

import (
	"errors"
	"log/slog"

	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
)

type machine struct{}

func startMachine(g *daemon.Group, cfg config.Config, paths config.Paths, show *steps, log *slog.Logger) *machine {
	return &machine{}
}

type seat struct{}

func (p *plane) nodeSeat() *seat { return nil }

func remoteSeat(g *daemon.Group, cfg config.Config, paths config.Paths, authority []byte, token string, log *slog.Logger) (*seat, error) {
	return nil, errors.New("todo")
}

func (m *machine) startNode(g *daemon.Group, s *seat, show *steps) error { return errors.New("todo") }

func startFurtherNodes(g *daemon.Group, cfg config.Config, p *plane, show *steps, log *slog.Logger) error {
	return nil
}

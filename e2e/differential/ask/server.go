package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Server is one API server.
type Server struct {
	Name   string
	host   string
	client *http.Client
}

// Open reads a kubeconfig.
func Open(name, kubeconfig string) (*Server, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	cfg.QPS = -1
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Server{name, strings.TrimSuffix(cfg.Host, "/"), client}, nil
}

// patience is how long a step waits for its condition.
const patience = 10 * time.Second

// Do carries out a step.
func (s *Server) Do(ctx context.Context, st Step) (Answer, error) {
	if st.Until == (Condition{}) {
		return s.once(ctx, st)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := s.once(ctx, st)
		if ctx.Err() != nil {
			return a, nil
		}
		if err != nil || st.Until.met(a) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, nil // what is compared next will tell
		case <-tick.C:
		}
	}
}

func (c Condition) met(a Answer) bool {
	if c.Code != 0 && a.Code != c.Code {
		return false
	}
	if c.Condition == "" {
		return true
	}
	body, _ := a.Body.(map[string]any)
	status, _ := body["status"].(map[string]any)
	list, _ := status["conditions"].([]any)
	for _, x := range list {
		if m, _ := x.(map[string]any); m["type"] == c.Condition && m["status"] == "True" {
			return true
		}
	}
	return false
}

func (s *Server) once(ctx context.Context, st Step) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, st.Method, s.host+st.Path, strings.NewReader(st.Body))
	if err != nil {
		return Answer{}, err
	}
	if st.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if st.Type != "" {
		req.Header.Set("Content-Type", st.Type)
	}
	req.Header.Set("Accept", "application/json")
	if st.Accept != "" {
		req.Header.Set("Accept", st.Accept)
	}
	req.Header.Set("User-Agent", "differential")
	res, err := s.client.Do(req)
	if aborted := (http2.StreamError{}); errors.As(err, &aborted) {
		return Answer{Body: "no answer"}, nil // the handler panicked
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	a := Answer{Code: res.StatusCode, Warnings: res.Header.Values("Warning"), Body: string(data)}
	var body any
	if json.Unmarshal(data, &body) == nil {
		a.Body = body
	}
	return a, nil
}

package ask

import (
	"context"
	"fmt"
	"sync"
)

// Outcome is a step with what both servers said of it.
type Outcome struct {
	Case   string
	Step   Step
	Peer   Answer
	Sampan Answer
}

// Differs reports whether the answers differ in what is compared.
func (o Outcome) Differs() bool {
	return o.Step.Until == (Condition{}) && !Equal(Normalize(o.Peer), Normalize(o.Sampan))
}

// String prints the request and what differs of the answers.
func (o Outcome) String() string {
	return fmt.Sprintf("%s: %s %s %s\n  %s\n  peer   %s\n  sampan %s", o.Case, o.Step.Method, o.Step.Path, o.Step.Type, o.Step.Body,
		encode(Normalize(o.Peer)), encode(Normalize(o.Sampan)))
}

// Run sends all cases to both servers, several cases at a time, and tells each outcome. sampan may be nil, to learn of the peer alone.
func Run(ctx context.Context, peer, sampan *Server, cases []Case, atOnce int, tell func(Outcome)) error {
	next := make(chan Case)
	var all sync.WaitGroup
	var mu sync.Mutex // tell is called by one worker at a time
	var failed error
	for range atOnce {
		all.Go(func() {
			for c := range next {
				outcomes, err := one(ctx, peer, sampan, c)
				mu.Lock()
				if err != nil && failed == nil {
					failed = fmt.Errorf("%s: %w", c.Name, err)
				}
				for _, o := range outcomes {
					tell(o)
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range cases {
		next <- c
	}
	close(next)
	all.Wait()
	return failed
}

func one(ctx context.Context, peer, sampan *Server, c Case) ([]Outcome, error) {
	answers := [2][]Answer{}
	errs := [2]error{}
	var both sync.WaitGroup
	for i, s := range []*Server{peer, sampan} {
		if s == nil {
			answers[i] = make([]Answer, len(c.Steps))
			continue
		}
		both.Go(func() {
			for n, st := range c.Steps {
				a, err := s.Do(ctx, st)
				if err != nil {
					errs[i] = err
					return
				}
				if answers[i] = append(answers[i], a); n == 0 && a.Code >= 400 {
					return // the rest is about what was not made
				}
			}
		})
	}
	both.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	var out []Outcome
	for i := range min(len(answers[0]), len(answers[1])) {
		out = append(out, Outcome{c.Name, c.Steps[i], answers[0][i], answers[1][i]})
	}
	return out, nil
}

// Recorded is a step with what the peer said of it.
type Recorded struct {
	Case string `json:"case"`
	Step
	Answer Answer `json:"answer"`
}

// Recorded returns the outcome as it is recorded.
func (o Outcome) Recorded() Recorded { return Recorded{o.Case, o.Step, Normalize(o.Peer)} }

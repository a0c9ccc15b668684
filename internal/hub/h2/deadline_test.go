package h2

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow sets deadlines as the path says, and tells what its reads and writes ended with.
func slow(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.SetReadDeadline(time.Now().Add(10 * time.Second))  //nolint:errcheck // both servers know it
		rc.SetWriteDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // as above
		_, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			w.WriteHeader(504)
			ended <- err
			return
		}
		for err == nil && r.URL.Path == "/big" {
			_, err = w.Write(make([]byte, 32<<10))
		}
		ended <- err
	}
}

// A handler that waits for the client does so until its deadline, and then is told; other streams go on. Both servers agree.
func TestDeadlines(t *testing.T) {
	for _, row := range []struct {
		name, want string
		do         func(p *tape)
		err        error
		in         time.Duration
	}{
		{"in time", "answer 200", func(p *tape) { p.post(1); time.Sleep(9 * time.Second); p.data(1, 5, true) }, nil, 9 * time.Second},
		{"no body", "answer 504", func(p *tape) { p.post(1) }, os.ErrDeadlineExceeded, 10 * time.Second},
		{"a body in drops", "answer 504", func(p *tape) {
			p.post(1)
			for range 6 {
				p.data(1, 1, false)
				time.Sleep(3 * time.Second)
			}
		}, os.ErrDeadlineExceeded, 10 * time.Second},
		{"closed window", "reset INTERNAL_ERROR", func(p *tape) { p.ask(1, true, "GET", "/big") }, os.ErrDeadlineExceeded, 20 * time.Second},
		{"window in drops", "reset INTERNAL_ERROR", func(p *tape) {
			p.ask(1, true, "GET", "/big")
			for range 12 {
				p.do(p.fr.WriteWindowUpdate(1, 10))
				p.do(p.fr.WriteWindowUpdate(0, 10))
				time.Sleep(2 * time.Second)
			}
		}, os.ErrDeadlineExceeded, 20 * time.Second},
	} {
		for _, who := range []string{"ours", "theirs"} {
			t.Run(row.name+"/"+who, func(t *testing.T) {
				ended := make(chan error, 1)
				synctest.Test(t, func(t *testing.T) {
					ended = make(chan error, 2)
					playHere(t, who == "ours", slow(ended), func(p *tape) {
						began := time.Now()
						p.begin()
						row.do(p)
						err := <-ended
						if took := time.Since(began); took < row.in || who == "ours" && !errors.Is(err, row.err) {
							t.Errorf("after %v: %v", took, err)
						}
						synctest.Wait()
						if got := p.outcome(1); got != row.want && (p.srv != nil || !strings.HasPrefix(got, row.want)) {
							t.Errorf("%s, want %s", got, row.want)
						}
						p.ask(9, true, "GET", "/")
						if got := p.outcome(9); got != "answer 200" {
							t.Errorf("the next stream: %s", got)
						}
					})
				})
			})
		}
	}
}

// A deadline that is moved or taken away while the handler waits counts from then on.
func TestDeadlinesMove(t *testing.T) {
	for name, to := range map[string]time.Time{"sooner": time.Unix(1, 0), "never": {}} {
		t.Run(name, func(t *testing.T) {
			var err error
			var took time.Duration
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc, began := http.NewResponseController(w), time.Now()
				rc.SetReadDeadline(began.Add(time.Minute)) //nolint:errcheck // ours knows it
				time.AfterFunc(time.Second, func() { rc.SetReadDeadline(to) })
				_, err = r.Body.Read(make([]byte, 1))
				took = time.Since(began)
			})
			play(t, true, h, func(p *tape) {
				p.begin()
				p.post(1)
				time.Sleep(2 * time.Minute)
				p.data(1, 1, true)
			})
			if sooner := name == "sooner"; sooner != errors.Is(err, os.ErrDeadlineExceeded) || sooner && took != time.Second || !sooner && took != 2*time.Minute {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
}

// A client whose side takes nothing more of what is being sent loses its connection, though it goes on talking.
func TestClientsThatTakeNothing(t *testing.T) {
	ended := make(chan error, 1)
	synctest.Test(t, func(t *testing.T) {
		ended = make(chan error, 1)
		playHere(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 32<<10))
				http.NewResponseController(w).Flush() //nolint:errcheck // the next write finds out
			}
			ended <- err
		}), func(p *tape) {
			p.begin()
			p.deaf()
			p.get(1)
			p.fr.WriteWindowUpdate(0, 1<<30) //nolint:errcheck // shows in what follows
			p.fr.WriteWindowUpdate(1, 1<<30) //nolint:errcheck // as above
			began := time.Now()
			for range 20 {
				time.Sleep(5 * time.Second)
				p.fr.WritePing(true, [8]byte{}) //nolint:errcheck // until it is broken
			}
			<-ended
			if took := time.Since(began); took > 101*time.Second {
				t.Error(took)
			}
		})
	})
}

package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// clients are those that read and write a few keys at the same time, and what they were told.
type clients struct {
	s     *server
	keys  int
	begun time.Time
	value atomic.Int64 // the next one to be written; none is written twice
	ids   atomic.Int64
	acks  atomic.Int64

	mu struct {
		sync.Mutex
		history []porcupine.Operation
		owners  map[int64]string // resource version → the write that got it
		stays   map[string]int64 // keys that are written once, and their resource version
		unknown int
		errors  []string
	}
}

func newClients(s *server, keys int) *clients {
	c := &clients{s: s, keys: keys, begun: time.Now()}
	c.mu.owners, c.mu.stays = map[int64]string{}, map[string]int64{}
	return c
}

func (c *clients) now() int64 { return int64(time.Since(c.begun)) }

// run is one client, until stop is closed.
func (c *clients) run(stop <-chan struct{}, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	id := int(c.ids.Add(1))
	seen := make([]int64, c.keys) // the version last seen of each key
	for {
		select {
		case <-stop:
			return
		default:
		}
		if r.IntN(5) == 0 {
			c.once()
			continue
		}
		in := input{key: r.IntN(c.keys), kind: kind(r.IntN(int(kinds)))}
		if in.kind != get && in.kind != del {
			in.value = int(c.value.Add(1))
		}
		if in.expect = seen[in.key]; in.kind == update && in.expect == 0 {
			in.kind, in.value = get, 0
		}
		call := c.now()
		out := c.do(in)
		c.note(id, in, out, call, c.now())
		switch {
		case out.unknown:
			id = int(c.ids.Add(1)) // this one may still be on its way: whoever goes on is another
			time.Sleep(5 * time.Millisecond)
		case out.code < 300:
			seen[in.key] = out.version
		case out.code == http.StatusNotFound:
			seen[in.key] = 0
		}
	}
}

// do makes one request.
func (c *clients) do(in input) output {
	name := fmt.Sprintf("key-%d", in.key)
	const body, merge = "application/json", "application/merge-patch+json"
	var code int
	var got configMap
	var err error
	switch in.kind {
	case create:
		code, got, err = c.s.call(http.MethodPost, collection, body, object(name, in.value, 0))
	case update:
		code, got, err = c.s.call(http.MethodPut, collection+"/"+name, body, object(name, in.value, in.expect))
	case patch:
		code, got, err = c.s.call(http.MethodPatch, collection+"/"+name, merge, object("", in.value, 0))
	case del:
		code, got, err = c.s.call(http.MethodDelete, collection+"/"+name, body, nil)
	default:
		code, got, err = c.s.call(http.MethodGet, collection+"/"+name, body, nil)
	}
	if err != nil || code == http.StatusTooManyRequests {
		return output{unknown: true}
	}
	return output{code: code, version: got.version(), value: got.value()}
}

// note keeps what came of a request.
func (c *clients) note(id int, in input, out output, call, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if out.unknown {
		c.mu.unknown++
		if in.kind == get {
			return // it says nothing and did nothing
		}
		end = never
	}
	c.mu.history = append(c.mu.history, porcupine.Operation{ClientId: id, Input: in, Output: out, Call: call, Return: end})
	if !out.unknown && out.code < 300 && in.kind != get && in.kind != del {
		c.acks.Add(1)
		c.ownLocked(out.version, fmt.Sprintf("%v", in))
	}
}

// never is the time of an answer that did not come.
const never = int64(1) << 62

func (c *clients) ownLocked(version int64, by string) {
	if other, ok := c.mu.owners[version]; ok {
		c.mu.errors = append(c.mu.errors, fmt.Sprintf("resource version %d was given to %s and to %s", version, other, by))
	}
	c.mu.owners[version] = by
}

// once writes a key that nobody ever changes: it must be there from then on.
func (c *clients) once() {
	name := fmt.Sprintf("once-%d", c.value.Add(1))
	code, got, err := c.s.call(http.MethodPost, collection, "application/json", object(name, 1, 0))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.mu.unknown++
	case code == http.StatusCreated:
		c.acks.Add(1)
		c.ownLocked(got.version(), name)
		c.mu.stays[name] = got.version()
	}
}

// lost compares what must be there with a list of it.
func (c *clients) lost() error {
	c.mu.Lock()
	stays := maps.Clone(c.mu.stays) // what is acknowledged later need not be in the list
	c.mu.Unlock()
	items, _, err := c.s.list()
	if err != nil {
		return err
	}
	have := map[string]int64{}
	for i := range items {
		have[items[i].Metadata.Name] = items[i].version()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, version := range stays {
		if have[name] != version {
			c.mu.errors = append(c.mu.errors, fmt.Sprintf("%s was acknowledged at %d and is at %d", name, version, have[name]))
		}
	}
	return nil
}

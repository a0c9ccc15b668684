package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// tally counts writes by resource: each is an event of a watch, which is read and not decoded, so that counting costs either side
// as good as nothing beside the writes themselves.
type tally struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		events map[string]int // by resource and kind of event: "pods ADDED"
		broken []string       // resources whose watch the server ended
	}
}

// collectionPath is where the objects of a resource are; the namespace "" is all of them.
func collectionPath(groupVersion, ns, resource string) string {
	base := "/apis/" + groupVersion
	if !strings.Contains(groupVersion, "/") {
		base = "/api/" + groupVersion
	}
	if ns != "" {
		base += "/namespaces/" + ns
	}
	return base + "/" + resource
}

// count begins to count the writes to resources, given as "group/version resource", in a namespace; "" is all of them.
func (r *run) count(ns string, resources ...string) (*tally, error) {
	hc, host, err := r.raw()
	if err != nil {
		return nil, err
	}
	t := &tally{}
	t.mu.events = map[string]int{}
	var ctx context.Context
	ctx, t.stop = context.WithCancel(r.ctx)
	for _, res := range resources {
		groupVersion, name, _ := strings.Cut(res, " ")
		u := host + collectionPath(groupVersion, ns, name)
		at, err := r.revision(hc, u)
		if err != nil {
			t.stop()
			return nil, fmt.Errorf("%s: %w", res, err)
		}
		body, err := openWatch(ctx, hc, u+"?watch=1&resourceVersion="+at)
		if err != nil {
			t.stop()
			return nil, fmt.Errorf("%s: %w", res, err)
		}
		t.wg.Go(func() {
			defer body.Close()
			if err := t.read(name, body); err != nil && ctx.Err() == nil {
				t.broke(name)
			}
		})
	}
	return t, nil
}

// revision returns the resource version of a collection.
func (r *run) revision(hc *http.Client, u string) (string, error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, u+"?limit=1", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var l struct {
		Metadata metav1.ListMeta `json:"metadata"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", u, resp.Status)
	}
	return l.Metadata.ResourceVersion, nil
}

func openWatch(ctx context.Context, hc *http.Client, u string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", protobuf+";stream=watch")
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", u, resp.Status)
	}
	return resp.Body, nil
}

// read counts the frames of a watch: four bytes of length, then a WatchEvent, whose first field is what kind of event it is.
func (t *tally) read(resource string, body io.Reader) error {
	in := bufio.NewReaderSize(body, 64<<10)
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		kind, err := frameKind(in, n)
		if err != nil {
			return err
		}
		if kind == "ERROR" {
			return fmt.Errorf("%s: the watch ended with an error", resource)
		}
		t.mu.Lock()
		t.mu.events[resource+" "+kind]++
		t.mu.Unlock()
	}
}

// frameKind reads a frame of n bytes and returns what kind of event it is.
func frameKind(in *bufio.Reader, n int) (string, error) {
	head, err := in.Peek(min(n, 16))
	if err != nil {
		return "", err
	}
	if len(head) < 2 || head[0] != 0x0a || len(head) < 2+int(head[1]) {
		return "", fmt.Errorf("a frame of a watch begins with % x", head)
	}
	kind := string(head[2 : 2+int(head[1])])
	_, err = in.Discard(n)
	return kind, err
}

func (t *tally) broke(resource string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.broken = append(t.mu.broken, resource)
}

// end stops counting and returns how many writes there were of which kind.
func (t *tally) end() (map[string]int, error) {
	t.stop()
	t.wg.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mu.broken) > 0 {
		return nil, fmt.Errorf("the server ended the watches of %v", t.mu.broken)
	}
	return maps.Clone(t.mu.events), nil
}

// putWrites ends a tally and keeps the writes to each of n objects, without those that the load did itself; the kinds go into a note.
func (r *run) putWrites(t *tally, own, n int) {
	r.pause(2 * statusDelay) // for what comes late
	events, err := t.end()
	if err != nil {
		r.note("writes are not counted: %v", err)
		return
	}
	sum := -own
	var each []string
	for _, kind := range slices.Sorted(maps.Keys(events)) {
		sum += events[kind]
		each = append(each, fmt.Sprintf("%s %d", kind, events[kind]))
	}
	r.put("writes", float64(sum)/float64(n))
	r.note("writes: %s; %d of them the load's", strings.Join(each, ", "), own)
}

func (r *run) note(format string, args ...any) {
	r.notes = append(r.notes, strings.TrimSpace(r.prefix+" "+fmt.Sprintf(format, args...)))
}

// watchable returns every resource that can be watched, as count takes them, one version each.
func watchable(cs kubernetes.Interface) ([]string, error) {
	lists, err := cs.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range lists {
		for _, res := range l.APIResources {
			if slices.Contains(res.Verbs, "watch") && !strings.Contains(res.Name, "/") {
				out = append(out, l.GroupVersion+" "+res.Name)
			}
		}
	}
	return out, nil
}

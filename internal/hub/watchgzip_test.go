package hub

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// linesOf is what a client without gzip of its own reads: members that follow each other, each line as soon as it is sent.
func linesOf(t *testing.T, c *http.Client, url string, packed bool) (*bufio.Reader, *http.Response, *wireBytes) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	if packed {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	resp, err := c.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	n := &wireBytes{r: resp.Body}
	if resp.Header.Get("Content-Encoding") == "" {
		return bufio.NewReaderSize(n, 1<<20), resp, n
	}
	z, err := gzip.NewReader(bufio.NewReader(n))
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReaderSize(z, 1<<20), resp, n
}

// wireBytes counts what came over the wire.
type wireBytes struct {
	r io.Reader
	n int
}

func (c *wireBytes) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// A watch that begins with all objects is compressed for who takes that, as no other is, and says what a plain one says, event
// by event, each as soon as it happens.
func TestCompressedWatches(t *testing.T) {
	addr, _ := served(t)
	c := &http.Client{Transport: &http2.Transport{TLSClientConfig: insecure, DisableCompression: true}}
	for i := range 30 {
		say(t, c, "POST", "https://"+addr+cms, fmt.Sprintf(`{"metadata":{"name":"c%02d","labels":{"a":"b"}},"data":{"k":%q}}`, i, strings.Repeat("text ", 500)))
	}
	const list = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
	for _, row := range []struct {
		query  string
		packed bool
	}{
		{"?watch=1" + list, true},
		{"?watch=1&allowWatchBookmarks=true", true}, // an old client's, which upstream's defaults make one of these
		{"?watch=1&allowWatchBookmarks=true&resourceVersion=0", true},
		{"?watch=1", false},
		{"?watch=1&resourceVersion=0", false},
		{"?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", false},
		{"?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", false},
	} {
		url := "https://" + addr + cms + row.query + "&labelSelector=a=b"
		got, resp, size := linesOf(t, c, url, true)
		want, plain, plainSize := linesOf(t, c, url, false)
		if packed := resp.Header.Get("Content-Encoding") == "gzip"; packed != row.packed || packed != (resp.Header.Get("Vary") == "Accept-Encoding") || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %v, %v", row.query, resp.Header, plain.Header)
		}
		same := func(n int) {
			t.Helper()
			for range n {
				a, err := got.ReadBytes('\n')
				b, err2 := want.ReadBytes('\n')
				if err != nil || err2 != nil || !bytes.Equal(a, b) {
					t.Fatalf("%s: %.100s %v, want %.100s %v", row.query, a, err, b, err2)
				}
			}
		}
		if !strings.Contains(row.query, "=false") {
			initial := 30
			if strings.Contains(row.query, "Bookmarks") {
				initial++
			}
			same(initial)
			if row.packed && size.n*10 > plainSize.n {
				t.Errorf("%s: %d bytes of %d", row.query, size.n, plainSize.n)
			}
		}
		// Small events, and one that is larger than what is sent as it is.
		for i, text := range []string{"a", "b", strings.Repeat("long ", 20_000), "c"} {
			say(t, c, "PATCH", "https://"+addr+cms+"/c00", fmt.Sprintf(`{"data":{"k":%q,"at":"%s %d"}}`, text, row.query, i))
			same(1)
		}
	}
}

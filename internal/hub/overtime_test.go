package hub

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/hub/audit"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var insecure = &tls.Config{InsecureSkipVerify: true}

// both runs a test over either protocol.
func both(t *testing.T, f func(t *testing.T, addr string, major int, c *http.Client)) {
	for major, tr := range map[int]http.RoundTripper{
		2: &http2.Transport{TLSClientConfig: insecure},
		1: &http.Transport{TLSClientConfig: insecure},
	} {
		t.Run(fmt.Sprint("HTTP/", major), func(t *testing.T) {
			addr, _ := served(t)
			f(t, addr, major, &http.Client{Transport: tr})
		})
	}
}

// A body that does not come ends its request in time, whoever waits for it, and the client is told.
func TestSlowBodies(t *testing.T) {
	both(t, func(t *testing.T, addr string, major int, c *http.Client) {
		for _, row := range []struct{ method, path, typ string }{
			{"POST", "/api/v1/namespaces/default/configmaps", "application/json"},
			{"PUT", "/api/v1/namespaces/default/configmaps/c", "application/json"},
			{"PATCH", "/api/v1/namespaces/default/configmaps/c", "application/merge-patch+json"},
			{"DELETE", "/api/v1/namespaces/default/configmaps/c", "application/json"},
		} {
			body, more := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), row.method, "https://"+addr+row.path+"?timeout=50ms", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", row.typ)
			go io.WriteString(more, `{"metadata":`) //nolint:errcheck // the rest never comes
			resp, err := c.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", row.method, err)
			}
			var st metav1.Status
			if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
				t.Fatalf("%s: %v", row.method, err)
			}
			resp.Body.Close()
			more.Close()
			if resp.StatusCode != 504 || st.Reason != metav1.StatusReasonTimeout || st.Message != "Timeout: request did not complete within the allotted timeout" {
				t.Errorf("%s: %d %+v", row.method, resp.StatusCode, st)
			}
		}
	})
}

// endings tells when requests with a time of their own have ended.
type endings chan struct{}

// Record implements audit.Sink.
func (e endings) Record(ev *audit.Event) bool {
	if strings.Contains(ev.URI, "timeout=") {
		e <- struct{}{}
	}
	return true
}

// An answer that nobody reads ends with its request's time too; over HTTP/1.1 the connection ends with it.
func TestSlowReaders(t *testing.T) {
	ended := make(endings, 100)
	addr, _ := served(t, ended)
	big := strings.Repeat("x", 900<<10)
	c := &http.Client{Transport: &http2.Transport{TLSClientConfig: insecure}}
	for i := range 12 { // more than the buffers between the two hold
		body := fmt.Sprintf(`{"metadata":{"name":"big%d"},"data":{"k":%q}}`, i, big)
		resp, err := c.Post("https://"+addr+"/api/v1/namespaces/default/configmaps", "application/json", strings.NewReader(body))
		if err != nil || resp.StatusCode != 201 {
			t.Fatal(err, resp)
		}
		resp.Body.Close()
	}
	// A busy machine may need longer than the request has before the answer begins: then it is refused, and asked for more time.
	begin := func(t *testing.T, ask func(path string) (status string)) {
		for timeout := 50 * time.Millisecond; ; timeout *= 2 {
			switch status := ask("/api/v1/namespaces/default/configmaps?timeout=" + timeout.String()); status {
			case "200":
				return
			case "504":
				<-ended
			default:
				t.Fatal(status)
			}
		}
	}
	t.Run("HTTP/2", func(t *testing.T) {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fr := http2.NewFramer(conn, conn)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		io.WriteString(conn, http2.ClientPreface) //nolint:errcheck // found out when reading
		fr.WriteSettings()                        //nolint:errcheck // as above
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		stream := uint32(0)
		begin(t, func(path string) string {
			block.Reset()
			for _, f := range [][2]string{{":method", "GET"}, {":path", path}, {":scheme", "https"}, {":authority", "a"}} {
				enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) //nolint:errcheck // into memory
			}
			stream = stream + 1 | 1
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}) //nolint:errcheck // found out when reading
			for {
				f, err := fr.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamID == stream {
					return h.PseudoValue("status")
				}
			}
		})
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if r, ok := f.(*http2.RSTStreamFrame); ok {
				if r.ErrCode != http2.ErrCodeInternal {
					t.Error(r.ErrCode)
				}
				<-ended
				return
			}
		}
	})
	t.Run("HTTP/1.1", func(t *testing.T) {
		var answer *bufio.Reader
		begin(t, func(path string) string {
			conn, err := tls.Dial("tcp", addr, insecure)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
			answer = bufio.NewReader(conn)
			line, err := answer.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(line)[1]
		})
		<-ended
		if n, err := io.Copy(io.Discard, answer); err == nil && n > 12*int64(len(big)) {
			t.Errorf("all of %d bytes came", n)
		}
	})
}

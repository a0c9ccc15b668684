package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	protocol "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/tools/remotecommand"
	clientspdy "k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// idleTimeout ends sessions on which nothing was said; upstream's.
const idleTimeout = 4 * time.Hour

// session is the client's side of a translated session.
type session struct {
	conn                         *wsstream.Conn
	stdin, stdout, stderr, fault io.ReadWriteCloser
	resize                       io.ReadWriteCloser
}

// translate serves a client that speaks WebSocket version 5 (which can half-close its input) from a hop that speaks SPDY.
func translate(w http.ResponseWriter, r *http.Request, to Hop, opts Options) {
	s, err := open(w, r, opts)
	if err != nil {
		return // the library has answered
	}
	defer s.conn.Close()
	s.finish(s.run(r.Context(), to, opts))
}

func open(w http.ResponseWriter, r *http.Request, opts Options) (*session, error) {
	read := map[bool]wsstream.ChannelType{true: wsstream.ReadChannel, false: wsstream.IgnoreChannel}
	write := map[bool]wsstream.ChannelType{true: wsstream.WriteChannel, false: wsstream.IgnoreChannel}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		protocol.StreamProtocolV5Name: {Binary: true, Channels: []wsstream.ChannelType{
			protocol.StreamStdIn: read[opts.Stdin], protocol.StreamStdOut: write[opts.Stdout], protocol.StreamStdErr: write[opts.Stderr],
			protocol.StreamErr: wsstream.WriteChannel, protocol.StreamResize: wsstream.ReadChannel,
		}},
	})
	conn.SetIdleTimeout(idleTimeout)
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, stdin: streams[protocol.StreamStdIn], stdout: streams[protocol.StreamStdOut],
		stderr: streams[protocol.StreamStdErr], fault: streams[protocol.StreamErr], resize: streams[protocol.StreamResize]}
	first := s.fault // an empty message on the lowest channel tells the client that the session stands
	switch {
	case opts.Stdout:
		first = s.stdout
	case opts.Stderr:
		first = s.stderr
	}
	if _, err := first.Write(nil); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *session) run(ctx context.Context, to Hop, opts Options) error {
	rt, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{UpgradeTransport: to.Transport, PingPeriod: 5 * time.Second})
	if err != nil {
		return err
	}
	ex, err := remotecommand.NewSPDYExecutorRejectRedirects(withHeader{rt, to.Header}, clientspdy.NewUpgraderForStreaming(rt), http.MethodPost, to.URL)
	if err != nil {
		return err
	}
	var o remotecommand.StreamOptions
	if opts.Stdin {
		o.Stdin = s.stdin
	}
	if opts.Stdout {
		o.Stdout = s.stdout
	}
	if opts.Stderr {
		o.Stderr = s.stderr
	}
	if opts.TTY {
		o.Tty = true
		o.TerminalSizeQueue = sizes{in: json.NewDecoder(s.resize)}
	}
	return ex.StreamWithContext(ctx, o)
}

// finish tells the client how the session ended.
func (s *session) finish(err error) {
	st := metav1.Status{Status: metav1.StatusSuccess}
	var known *apierrors.StatusError
	var exit exec.CodeExitError
	switch {
	case err == nil:
	case errors.As(err, &known):
		st = known.ErrStatus
	case errors.As(err, &exit) && exit.Exited():
		st = metav1.Status{
			Status: metav1.StatusFailure, Reason: protocol.NonZeroExitCodeReason,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: protocol.ExitCodeCauseType, Message: fmt.Sprint(exit.ExitStatus())}}},
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
		}
	default:
		st = apierrors.NewInternalError(err).ErrStatus
	}
	data, err := json.Marshal(st)
	if err != nil {
		return
	}
	s.conn.SetWriteDeadline(10 * time.Second)
	_, _ = s.fault.Write(data)
}

// sizes reads terminal sizes as the client sends them. When it sends no more, the queue ends with the session rather than
// before it.
type sizes struct {
	in *json.Decoder
}

// Next implements remotecommand.TerminalSizeQueue.
func (q sizes) Next() *remotecommand.TerminalSize {
	var s remotecommand.TerminalSize
	if q.in.Decode(&s) != nil {
		return nil
	}
	return &s
}

// withHeader adds headers to requests.
type withHeader struct {
	http.RoundTripper
	header http.Header
}

// RoundTrip implements http.RoundTripper.
func (t withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(t.header) > 0 {
		r = r.Clone(r.Context())
		addTo(r.Header, t.header)
	}
	return t.RoundTripper.RoundTrip(r)
}

package wire

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// sendElements sends a JSON document that ends in an empty list, with n elements in it, which are made one after another.
// empty is the document without them.
func (o Output) sendElements(w http.ResponseWriter, r *http.Request, empty []byte, n int, element func(i int) ([]byte, error)) error {
	end := len(empty) - len("]}")
	s := elements{w: w, r: r, contentType: types[o.Format], buf: append([]byte(nil), empty[:end]...)}
	for i := 0; i < n && s.err == nil; i++ {
		if err := s.add(i, element); err != nil {
			if !s.begun {
				return err
			}
			panic(http.ErrAbortHandler) // the client notices that it has no end
		}
	}
	s.buf = append(append(s.buf, empty[end:]...), '\n')
	s.finish()
	return nil
}

// elements is an answer on its way: gathered as long as it is small, then sent piece by piece.
type elements struct {
	w           http.ResponseWriter
	r           *http.Request
	contentType string
	buf         []byte
	begun       bool
	out         io.Writer
	zip         *gzip.Writer // nil: not compressed
	err         error        // of sending: the client has gone
}

func (s *elements) add(i int, element func(int) ([]byte, error)) error {
	if err := cancelled(s.r, i); err != nil {
		return err
	}
	data, err := element(i)
	if err != nil {
		return err
	}
	if i > 0 {
		s.buf = append(s.buf, ',')
	}
	s.buf = append(s.buf, data...)
	if len(s.buf) <= gzipFrom {
		return nil
	}
	if !s.begun {
		s.begin()
	}
	_, s.err = s.out.Write(s.buf)
	s.buf = s.buf[:0]
	return nil
}

func (s *elements) begin() {
	s.begun, s.out = true, s.w
	h := s.w.Header()
	h.Set("Content-Type", s.contentType)
	if AcceptsGzip(s.r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		s.zip = gzips.Get().(*gzip.Writer)
		s.zip.Reset(s.w)
		s.out = s.zip
	}
	s.w.WriteHeader(http.StatusOK)
}

// finish sends what is left. If it cannot be sent, the client has gone; there is nobody to tell.
func (s *elements) finish() {
	if !s.begun {
		h := s.w.Header()
		h.Set("Content-Type", s.contentType)
		h.Set("Content-Length", strconv.Itoa(len(s.buf)))
		s.w.WriteHeader(http.StatusOK)
		s.w.Write(s.buf) //nolint:errcheck // as above
		return
	}
	if s.err == nil {
		_, s.err = s.out.Write(s.buf)
	}
	if s.zip != nil {
		if s.err == nil {
			s.zip.Close()
		}
		gzips.Put(s.zip)
	}
}

// lookUp is how many elements are made between two looks at whether anybody still waits for them.
const lookUp = 64

// cancelled is the error of a request that nobody waits for any more, looked for at some of the elements.
func cancelled(r *http.Request, i int) error {
	if i%lookUp != lookUp-1 || r.Context().Err() == nil {
		return nil
	}
	if r.Context().Err() == context.DeadlineExceeded { //nolint:errorlint // a context returns it bare
		return apierrors.NewTimeoutError("request did not complete within the allowed duration", 0)
	}
	return apierrors.NewTimeoutError("request was canceled", 0)
}

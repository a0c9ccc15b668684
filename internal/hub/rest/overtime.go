package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// requestTimeout bounds everything that is not a watch or a stream.
const requestTimeout = 60 * time.Second

// lastWord is how long a request whose time is over may take to say so.
const lastWord = time.Second

// deadline bounds an ordinary request; the timeout parameter may shorten it.
func deadline(r *http.Request) (context.Context, context.CancelFunc, error) {
	limit := requestTimeout
	if strings.Contains(r.URL.RawQuery, "timeout=") {
		if v := r.URL.Query().Get("timeout"); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil {
				return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - time: %v", strings.TrimPrefix(err.Error(), "time: ")))
			}
			if d > 0 && d < limit {
				limit = d
			}
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return ctx, cancel, nil
}

// bound has the connection itself end what ctx bounds: a read of the body or a write of the answer that waits for the client
// does not look at ctx.
func bound(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	at, ok := ctx.Deadline()
	if !ok {
		return
	}
	boundBody(w, r, at)
	boundAnswer(w, at.Add(lastWord))
}

func boundBody(w http.ResponseWriter, r *http.Request, at time.Time) {
	if r.Body != nil && r.Body != http.NoBody {
		http.NewResponseController(w).SetReadDeadline(at) //nolint:errcheck // tests have writers that wait for nobody
	}
}

func boundAnswer(w http.ResponseWriter, at time.Time) {
	http.NewResponseController(w).SetWriteDeadline(at) //nolint:errcheck // as above
}

// late makes of what a request failed with when its time was over that its time was over.
func late(ctx context.Context, w http.ResponseWriter, r *http.Request, err error) error {
	at, ok := ctx.Deadline()
	if err == nil || !ok || time.Now().Before(at) {
		return err
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest of the body may still come
	}
	return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
}

// dismiss has the connection of a client who has not said who it is take no further requests: HTTP/2 makes too much of what
// one connection may ask for to let strangers keep theirs. That is upstream's UnauthenticatedHTTP2DOSMitigation.
func dismiss(w http.ResponseWriter, r *http.Request, user *api.User) {
	if r.ProtoMajor != 2 {
		return
	}
	if user == nil || user.Name == api.UserAnonymous || slices.Contains(user.Groups, api.GroupUnauthenticated) {
		w.Header().Set("Connection", "close")
	}
}

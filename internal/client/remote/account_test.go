package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/client"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// issuer gives tokens for a node that is registered after a while.
type issuer struct {
	client.Interface
	registered time.Time
	asked      int
	err        error
}

func (i *issuer) Get(context.Context, client.Ref, metav1.GetOptions) (runtime.Object, error) {
	if time.Now().Before(i.registered) {
		return nil, apierrors.NewNotFound(client.Nodes.GroupResource(), "n")
	}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}}, nil
}

func (i *issuer) Create(_ context.Context, _ client.Ref, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	i.asked++
	tr := obj.(*authenticationv1.TokenRequest)
	if ref := tr.Spec.BoundObjectRef; i.err != nil || ref.Kind != "Node" || ref.Name != "n" || ref.UID != "u" {
		return nil, errors.Join(i.err)
	}
	tr.Status.Token = fmt.Sprint("token-", i.asked)
	tr.Status.ExpirationTimestamp = metav1.NewTime(time.Now().Add(time.Duration(*tr.Spec.ExpirationSeconds) * time.Second))
	return tr, nil
}

// trip is a transport that says who was shown to it.
type trip struct {
	own  bool
	code int
}

func (t *trip) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Saw", fmt.Sprint(t.own, " ", r.Header.Get("Authorization")))
	rec.WriteHeader(t.code)
	return rec.Result(), nil
}

func TestAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &issuer{registered: time.Now().Add(300 * time.Millisecond)}
		bare := &trip{code: 200}
		a := &Account{Namespace: "kube-system", Name: "kube-proxy", Node: "n", Door: door, Bare: bare, Own: &trip{own: true, code: 200}, Log: slog.New(slog.DiscardHandler)}
		saw := func() string {
			t.Helper()
			r := httptest.NewRequest("GET", "/", nil)
			res, err := a.RoundTrip(r)
			if err != nil {
				return err.Error()
			}
			if r.Header.Get("Authorization") != "" {
				t.Error("the caller's request was changed")
			}
			return res.Header.Get("Saw")
		}
		step := func(what, want string) {
			t.Helper()
			if got := saw(); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		step("when the node has come", "false Bearer token-1")
		time.Sleep(47 * time.Minute)
		step("while it lasts", "false Bearer token-1")
		time.Sleep(2 * time.Minute)
		step("near its end", "false Bearer token-2")
		door.err = errors.New("the API server is away")
		time.Sleep(50 * time.Minute)
		step("the server is away, it still lasts", "false Bearer token-2")
		time.Sleep(15 * time.Minute)
		step("it has ended", "token of service account kube-system/kube-proxy: the API server is away")
		door.err = nil
		bare.code = http.StatusUnauthorized
		asked := door.asked
		step("refused", fmt.Sprint("false Bearer token-", asked+1))
		bare.code = 200
		step("another one", fmt.Sprint("false Bearer token-", asked+2))
		time.Sleep(2 * time.Hour)
		door.err = apierrors.NewForbidden(client.ServiceAccounts.GroupResource(), "kube-proxy", errors.New("not here"))
		step("a cluster that gives none", "true ")
		door.err = nil
		step("and it stays so", "true ")
	})
}

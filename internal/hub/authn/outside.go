package authn

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"sampan.dev/internal/api"

	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
)

// Outsiders vouch for tokens that are neither service accounts' nor of bootstrap.
type Outsiders struct {
	File map[string]api.User // users by their tokens; asked before the others
	JWT  interface {         // other issuers; nil: none. Asked after service accounts
		Authenticate(ctx context.Context, token string) (api.User, bool, error)
	}
	Webhook *Webhook // nil: none. Asked last
}

// ReadTokens reads a file of tokens (CSV): token, name, UID, and perhaps groups, comma separated.
func ReadTokens(path string) (map[string]api.User, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.FieldsPerRecord = -1
	out := map[string]api.User{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(record) < 3 {
			return nil, fmt.Errorf("token file '%s' must have at least 3 columns (token, user name, user uid), found %d", path, len(record))
		}
		if record[0] == "" {
			continue
		}
		u := api.User{Name: record[1], UID: record[2]}
		if len(record) >= 4 {
			u.Groups = strings.Split(record[3], ",")
		}
		out[record[0]] = u
	}
}

// poster asks a program elsewhere (hub/callout).
type poster interface {
	Post(ctx context.Context, in, out any) error
}

// Webhook asks a program elsewhere, by a TokenReview. Its answers are kept for a while, refusals too. Its fields do not change.
type Webhook struct {
	post    poster
	beta    bool // speaks authentication.k8s.io/v1beta1
	ttl     time.Duration
	answers *cache.LRUExpireCache
}

// NewWebhook makes one; version is v1 or v1beta1, ttl how long answers are kept.
func NewWebhook(post poster, version string, ttl time.Duration) (*Webhook, error) {
	if version != "v1" && version != "v1beta1" {
		return nil, fmt.Errorf("unsupported authentication webhook version %q, supported versions are %q, %q", version, "v1", "v1beta1")
	}
	return &Webhook{post: post, beta: version == "v1beta1", ttl: ttl, answers: cache.NewLRUExpireCache(4096)}, nil
}

// authenticate asks; audiences are those that the token has to be meant for, own those of this API server, which count where the
// program names none.
func (w *Webhook) authenticate(ctx context.Context, token string, audiences, own []string) (Response, bool, error) {
	key := sha256.Sum256([]byte(strings.Join(append([]string{token}, audiences...), "\x00")))
	status, known := authenticationv1.TokenReviewStatus{}, false
	if kept, ok := w.answers.Get(key); ok {
		status, known = kept.(authenticationv1.TokenReviewStatus), true
	}
	if !known {
		var err error
		if status, err = w.ask(ctx, authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}); err != nil {
			return Response{}, false, err
		}
		if w.ttl > 0 {
			w.answers.Add(key, status, w.ttl)
		}
	}
	if !status.Authenticated {
		if status.Error != "" {
			return Response{}, false, errors.New(status.Error)
		}
		return Response{}, false, nil
	}
	got := own
	if len(status.Audiences) > 0 {
		got = status.Audiences
	}
	auds := intersect(got, audiences)
	if len(auds) == 0 {
		return Response{}, false, nil
	}
	u := api.User{Name: status.User.Username, UID: status.User.UID, Groups: status.User.Groups}
	for k, v := range status.User.Extra {
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[k] = v
	}
	return Response{User: u, Audiences: auds}, true, nil
}

func (w *Webhook) ask(ctx context.Context, spec authenticationv1.TokenReviewSpec) (authenticationv1.TokenReviewStatus, error) {
	if !w.beta {
		in := authenticationv1.TokenReview{TypeMeta: metav1.TypeMeta{Kind: "TokenReview", APIVersion: "authentication.k8s.io/v1"}, Spec: spec}
		var out authenticationv1.TokenReview
		err := w.post.Post(ctx, &in, &out)
		return out.Status, err
	}
	in := authenticationv1beta1.TokenReview{
		TypeMeta: metav1.TypeMeta{Kind: "TokenReview", APIVersion: "authentication.k8s.io/v1beta1"},
		Spec:     authenticationv1beta1.TokenReviewSpec{Token: spec.Token, Audiences: spec.Audiences},
	}
	var out authenticationv1beta1.TokenReview
	err := w.post.Post(ctx, &in, &out)
	st := authenticationv1.TokenReviewStatus{Authenticated: out.Status.Authenticated, Audiences: out.Status.Audiences, Error: out.Status.Error,
		User: authenticationv1.UserInfo{Username: out.Status.User.Username, UID: out.Status.User.UID, Groups: out.Status.User.Groups}}
	for k, v := range out.Status.User.Extra {
		if st.User.Extra == nil {
			st.User.Extra = map[string]authenticationv1.ExtraValue{}
		}
		st.User.Extra[k] = authenticationv1.ExtraValue(v)
	}
	return st, err
}

// outside asks the outsiders that come after this server's own tokens.
func (t *Tokens) outside(ctx context.Context, token string, audiences []string) (Response, bool, error) {
	want := audiences
	if len(want) == 0 {
		want = t.audiences
	}
	var errs []error
	if o := t.outsiders; o.JWT != nil {
		u, ok, err := o.JWT.Authenticate(ctx, token)
		if ok {
			if auds := intersect(t.audiences, want); len(auds) > 0 {
				return Response{User: u, Audiences: auds}, true, nil
			}
		}
		errs = append(errs, err)
	}
	if o := t.outsiders; o.Webhook != nil {
		r, ok, err := o.Webhook.authenticate(ctx, token, want, t.audiences)
		if ok {
			return r, true, nil
		}
		errs = append(errs, err)
	}
	return Response{}, false, errors.Join(errs...)
}

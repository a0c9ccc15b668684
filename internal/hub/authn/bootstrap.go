package authn

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var (
	bootstrapToken = pattern.New(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)
	bootstrapGroup = pattern.New(`^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$`)
)

// bootstrap authenticates ID.SECRET against the Secret bootstrap-token-ID of kube-system. Whatever is wrong with it, the
// caller learns nothing but that it is no good.
func (t *Tokens) bootstrap(ctx context.Context, token string) (api.User, bool, error) {
	m := bootstrapToken.FindStringSubmatch(token)
	if m == nil {
		return api.User{}, false, nil
	}
	secret, err := client.Get[*corev1.Secret](ctx, t.door, client.Secrets, "kube-system", "bootstrap-token-"+m[1])
	if apierrors.IsNotFound(err) {
		return api.User{}, false, nil
	}
	if err != nil {
		return api.User{}, false, err
	}
	if secret.DeletionTimestamp != nil || secret.Type != "bootstrap.kubernetes.io/token" {
		return api.User{}, false, nil
	}
	if subtle.ConstantTimeCompare(secret.Data["token-secret"], []byte(m[2])) != 1 || string(secret.Data["token-id"]) != m[1] {
		return api.User{}, false, nil
	}
	if BootstrapTokenExpired(secret, time.Now()) || string(secret.Data["usage-bootstrap-authentication"]) != "true" {
		return api.User{}, false, nil
	}
	groups, ok := bootstrapGroups(string(secret.Data["auth-extra-groups"]))
	if !ok {
		return api.User{}, false, nil
	}
	return api.User{Name: "system:bootstrap:" + m[1], Groups: groups}, true, nil
}

func bootstrapGroups(extra string) ([]string, bool) {
	groups := []string{"system:bootstrappers"}
	if extra == "" {
		return groups, true
	}
	for g := range strings.SplitSeq(extra, ",") {
		if !bootstrapGroup.MatchString(g) {
			return nil, false
		}
		groups = append(groups, g)
	}
	return groups, true
}

// BootstrapTokenExpired tells whether a token's time is over; one whose expiration cannot be read is over too.
func BootstrapTokenExpired(secret *corev1.Secret, now time.Time) bool {
	s := string(secret.Data["expiration"])
	if s == "" {
		return false
	}
	at, err := time.Parse(time.RFC3339, s)
	return err != nil || !now.Before(at)
}

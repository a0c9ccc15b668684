package identity

import (
	"bytes"
	"context"
	"crypto"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/pki"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// secretIssuer is the issuer of tokens that Secrets hold.
const secretIssuer = "kubernetes/serviceaccount"

// OfToken reports whether an object is, by its metadata, a Secret for a service account's token.
func OfToken(obj api.Object) bool { return obj.GetAnnotations()[corev1.ServiceAccountNameKey] != "" }

// accountSecrets are the Secrets for tokens of service accounts, and none of the others.
func accountSecrets(env loop.Env) *cache.Informer[*corev1.Secret] {
	return cache.For[*corev1.Secret](env.Informers, client.Secrets, cache.Options{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
}

// tokens is the serviceaccount-token-controller. Keys of its queue are "namespace/name/uid" of accounts and, with the name and uid of
// the account behind that, of Secrets: what is gone can no longer be asked whose it was.
type tokens struct {
	loop.Env
	signer   jose.Signer
	bundle   []byte
	accounts *cache.Informer[*corev1.ServiceAccount]
	secrets  *cache.Informer[*corev1.Secret]
}

// NewTokens makes the serviceaccount-token-controller: a Secret of the type kubernetes.io/service-account-token gets a token of the
// account that it names, the namespace and the bundle (PEM) that verifies the hub; it goes with the account, and what the account says
// of it goes with it. It acts as the manager itself.
func NewTokens(env loop.Env, key crypto.Signer, bundle []byte) loop.Runner {
	signer, err := pki.TokenSigner(key)
	if err != nil {
		env.Log.Error("tokens of Secrets cannot be signed", "err", err)
		return nil
	}
	c := &tokens{Env: env, signer: signer, bundle: bundle, secrets: accountSecrets(env),
		accounts: cache.For[*corev1.ServiceAccount](env.Informers, client.ServiceAccounts, cache.Options{})}
	queue := loop.NewQueue()
	secret := func(s *corev1.Secret) {
		queue.Add(strings.Join([]string{s.Namespace, s.Name, string(s.UID), s.Annotations[corev1.ServiceAccountNameKey], s.Annotations[corev1.ServiceAccountUIDKey]}, "/"))
	}
	c.secrets.Handle(cache.Handler[*corev1.Secret]{Add: secret, Update: func(_, s *corev1.Secret) { secret(s) }, Delete: secret})
	c.accounts.Handle(cache.Handler[*corev1.ServiceAccount]{
		Delete: func(sa *corev1.ServiceAccount) {
			queue.Add(strings.Join([]string{sa.Namespace, sa.Name, string(sa.UID)}, "/"))
		},
	})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{c.accounts.Synced(), c.secrets.Synced()}, Reconcile: c.reconcile,
	}
}

func (c *tokens) reconcile(ctx context.Context, key string) (time.Duration, error) {
	p := strings.Split(key, "/")
	if len(p) == 3 {
		return 0, c.accountGone(ctx, p[0], p[1], types.UID(p[2]))
	}
	namespace, uid, account, accountUID := p[0], types.UID(p[2]), p[3], types.UID(p[4])
	if account == "" {
		return 0, nil
	}
	s, ok := c.secrets.Get(namespace, p[1])
	if !ok || s.UID != uid {
		return 0, c.forget(ctx, namespace, account, accountUID, p[1])
	}
	sa, err := c.account(ctx, namespace, account, accountUID)
	switch {
	case err != nil:
		return 0, err
	case sa == nil:
		return 0, c.remove(ctx, s)
	}
	return 0, c.fill(ctx, sa, s)
}

// accountGone deletes the tokens of an account.
func (c *tokens) accountGone(ctx context.Context, namespace, name string, uid types.UID) error {
	for _, s := range c.secrets.List(namespace) {
		if s.Annotations[corev1.ServiceAccountNameKey] != name || s.Annotations[corev1.ServiceAccountUIDKey] != string(uid) {
			continue
		}
		if err := c.remove(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// account returns the account of that name, if uid is "" or its own; nil when there is none. One that the view has not got is asked for.
func (c *tokens) account(ctx context.Context, namespace, name string, uid types.UID) (*corev1.ServiceAccount, error) {
	sa, ok := c.accounts.Get(namespace, name)
	if ok && (uid == "" || sa.UID == uid) {
		return sa, nil
	}
	sa, err := client.Get[*corev1.ServiceAccount](ctx, c.Door, client.ServiceAccounts, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case uid != "" && sa.UID != uid:
		return nil, nil
	}
	return sa, nil
}

func (c *tokens) remove(ctx context.Context, s *corev1.Secret) error {
	err := client.Delete(ctx, c.Door, client.Secrets, s.Namespace, s.Name, s.UID)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// fill puts in what a Secret lacks. It is written over the Secret as the view has it: of one that has changed, the change is looked at.
func (c *tokens) fill(ctx context.Context, sa *corev1.ServiceAccount, s *corev1.Secret) error {
	out := s.DeepCopy()
	if !lacking(out, c.bundle) {
		return nil
	}
	if len(out.Data[corev1.ServiceAccountTokenKey]) == 0 {
		token, err := c.sign(sa, out)
		if err != nil {
			return err
		}
		out.Data[corev1.ServiceAccountTokenKey] = []byte(token)
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[corev1.ServiceAccountNameKey], out.Annotations[corev1.ServiceAccountUIDKey] = sa.Name, string(sa.UID)
	_, err := client.Update(ctx, c.Door, client.Secrets, out)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // a change is told of, and leads here again
	}
	return err
}

// lacking puts bundle and namespace into a Secret and reports whether one of them, or the token, was not there.
func lacking(s *corev1.Secret, bundle []byte) bool {
	lacks := len(s.Data[corev1.ServiceAccountTokenKey]) == 0
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	if len(bundle) > 0 && !bytes.Equal(s.Data[corev1.ServiceAccountRootCAKey], bundle) {
		s.Data[corev1.ServiceAccountRootCAKey], lacks = bundle, true
	}
	if len(s.Data[corev1.ServiceAccountNamespaceKey]) == 0 {
		s.Data[corev1.ServiceAccountNamespaceKey], lacks = []byte(s.Namespace), true
	}
	return lacks
}

// sign makes a token that is good while the Secret holds it.
func (c *tokens) sign(sa *corev1.ServiceAccount, s *corev1.Secret) (string, error) {
	const prefix = "kubernetes.io/serviceaccount/"
	return pki.SignToken(c.signer, map[string]any{
		"iss": secretIssuer, "sub": "system:serviceaccount:" + sa.Namespace + ":" + sa.Name, prefix + "namespace": sa.Namespace,
		prefix + "service-account.name": sa.Name, prefix + "service-account.uid": string(sa.UID), prefix + "secret.name": s.Name,
	})
}

// forget takes a Secret that is gone out of what its account lists.
func (c *tokens) forget(ctx context.Context, namespace, account string, uid types.UID, secret string) error {
	if _, ok := c.accounts.Get(namespace, account); !ok {
		return nil
	}
	sa, err := client.Get[*corev1.ServiceAccount](ctx, c.Door, client.ServiceAccounts, namespace, account)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	names := func(r corev1.ObjectReference) bool { return r.Name == secret }
	if uid != "" && sa.UID != uid || !slices.ContainsFunc(sa.Secrets, names) {
		return nil
	}
	out := sa.DeepCopy()
	out.Secrets = slices.DeleteFunc(out.Secrets, names)
	_, err = client.Update(ctx, c.Door, client.ServiceAccounts, out)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// day is a day as labels have it.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// labelled is a patch that sets a label of the very object.
func labelled(uid types.UID, label, value string) any {
	return map[string]any{"metadata": metav1.ObjectMeta{UID: uid, Labels: map[string]string{label: value}}}
}

package encrypt

import (
	"context"
	"crypto/aes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/hub/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/apis/apiserver"
	kmsapi "k8s.io/kms/apis/v2"
	kmsutil "k8s.io/kms/pkg/util"
)

// plugin is a KMS plugin of version 2 as a transformer: values are encrypted under a seed of this process's, the seed by the plugin.
// Whoever runs [Config.Run] owns its pace; check may also be called by who asks for its health. Its methods are safe for concurrent
// use; now is replaced as a whole, and mu is held while the plugin is asked how it is.
type plugin struct {
	name    string
	timeout time.Duration
	conn    *grpc.ClientConn
	client  kmsapi.KeyManagementServiceClient
	now     atomic.Pointer[writing] // nil until the plugin has answered once
	opened  sync.Map                // wrapped.id -> transformer of what the plugin has decrypted

	mu      sync.Mutex
	version string // that it answered first
	asked   time.Time
	answer  error // to the question how it is, then
}

// writing is what values are written with now.
type writing struct {
	with transformer
	wrapped
	until time.Time // no longer than that: the plugin may long have another key
}

// Upstream's times: how long an answer about its health counts, how long one writes with a seed while the plugin does not answer.
const (
	goodFor  = 20 * time.Second
	badFor   = 3 * time.Second
	writeFor = 3 * time.Minute
	askEvery = time.Minute
	askAgain = 10 * time.Second
)

func newPlugin(c *apiserver.KMSConfiguration) (*plugin, error) {
	switch c.APIVersion {
	case "v2":
	case "v1":
		return nil, errors.New("KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.")
	default:
		return nil, fmt.Errorf("could not configure KMS plugin %q, unsupported KMS API version %q", c.Name, c.APIVersion)
	}
	path, err := kmsutil.ParseEndpoint(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("could not configure KMSv2-Plugin's probe %q, error: %w", c.Name, err)
	}
	conn, err := grpc.NewClient("passthrough:///"+path,
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return nil, fmt.Errorf("could not configure KMSv2-Plugin's probe %q, error: failed to create connection to %s, error: %w", c.Name, c.Endpoint, err)
	}
	return &plugin{name: c.Name, timeout: c.Timeout.Duration, conn: conn, client: kmsapi.NewKeyManagementServiceClient(conn)}, nil
}

func (p *plugin) close() { p.conn.Close() }

// run asks the plugin for its health, and so for its current key, until ctx ends.
func (p *plugin) run(ctx context.Context) {
	for {
		wait := askEvery
		if p.check(ctx) != nil {
			wait = askAgain
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

func (p *plugin) seal(ctx context.Context, value, about []byte) ([]byte, error) {
	w := p.now.Load()
	if w == nil {
		return nil, errNoSeed
	}
	if now := time.Now(); now.After(w.until) {
		return nil, fmt.Errorf("encryptedDEKSource with keyID hash %q expired at %s (current time is %s)", hash(w.keyID), w.until.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	data, err := w.with.seal(ctx, value, about)
	if err != nil {
		return nil, err
	}
	e := envelope{data: data, wrapped: w.wrapped}
	return e.marshal(), nil
}

var errNoSeed = errors.New("got unexpected nil transformer")

func (p *plugin) open(ctx context.Context, stored, about []byte) ([]byte, bool, error) {
	e, err := parseEnvelope(stored)
	if err != nil {
		return nil, false, err
	}
	w := p.now.Load()
	if w == nil {
		return nil, false, unready{errNoSeed}
	}
	with, err := p.unwrap(ctx, &e.wrapped)
	if err != nil {
		return nil, false, err
	}
	value, _, err := with.open(ctx, e.data, about)
	return value, e.keyID != w.keyID || e.kind != w.kind, err
}

// unwrap has the plugin decrypt a key or a seed, once.
func (p *plugin) unwrap(ctx context.Context, w *wrapped) (transformer, error) {
	id := w.id()
	if t, ok := p.opened.Load(id); ok {
		return t.(transformer), nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.client.Decrypt(ctx, &kmsapi.DecryptRequest{Ciphertext: w.source, Uid: string(uuid.NewUUID()), KeyId: w.keyID, Annotations: w.annotations})
	if err != nil {
		return nil, passing(fmt.Errorf("failed to decrypt DEK, error: %w", err))
	}
	t, err := newSeeded(r.Plaintext)
	if w.kind == sourceKey {
		block, cerr := aes.NewCipher(r.Plaintext)
		if cerr != nil {
			return nil, cerr
		}
		t, err = newGCM(block)
	}
	if err != nil {
		return nil, err
	}
	p.opened.Store(id, t)
	return t, nil
}

// check says why the plugin cannot be relied on; nil when it can. When its key has changed, a new seed is made.
func (p *plugin) check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := goodFor
	if p.answer != nil {
		counts = badFor
	}
	if !p.asked.IsZero() && time.Since(p.asked) < counts {
		return p.answer
	}
	p.answer = p.ask(ctx)
	p.asked = time.Now()
	return p.answer
}

func (p *plugin) ask(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	until := time.Now().Add(writeFor)
	r, err := p.client.Status(call, &kmsapi.StatusRequest{})
	if err != nil {
		return fmt.Errorf("failed to perform status section of the healthz check for KMS Provider %s, error: %w", p.name, err)
	}
	var errs []error
	if r.Healthz != "ok" {
		errs = append(errs, fmt.Errorf("got unexpected healthz status: %s", r.Healthz))
	}
	switch {
	case r.Version != "v2" && r.Version != "v2beta1":
		errs = append(errs, fmt.Errorf("expected KMSv2 API version v2, got %s", r.Version))
	case p.version != "" && p.version != r.Version:
		errs = append(errs, fmt.Errorf("KMSv2 API version should not change after the initial status response version %s, got %s", p.version, r.Version))
	default:
		p.version = r.Version
	}
	if err := validKeyID(r.KeyId); err != nil {
		errs = append(errs, fmt.Errorf("got invalid KMSv2 KeyID hash %q: %w", hash(r.KeyId), err))
	} else if err := p.renew(ctx, r.KeyId, until); err != nil {
		errs = append(errs, err)
	}
	if err := reduce(errs); err != nil {
		return fmt.Errorf("kmsv2 Provider %s is not healthy, error: %w", p.name, err)
	}
	return nil
}

// renew lets the seed count until then, or has another one made when the plugin's key is not the one that wrapped it.
func (p *plugin) renew(ctx context.Context, keyID string, until time.Time) error {
	if w := p.now.Load(); w != nil && w.keyID == keyID {
		next := *w
		next.until = until
		p.now.Store(&next)
		return nil
	}
	seed := make([]byte, seedSize)
	rand.Read(seed)
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.client.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: seed, Uid: string(uuid.NewUUID())})
	if err != nil {
		return fmt.Errorf("failed to rotate DEK: failed to encrypt DEK, error: %w", err)
	}
	w := &writing{with: seeded{seed}, wrapped: wrapped{keyID: r.KeyId, source: r.Ciphertext, annotations: r.Annotations, kind: sourceSeed}, until: until}
	if err := w.validate(); err != nil {
		return fmt.Errorf("failed to rotate DEK: %w", err)
	}
	if r.KeyId != keyID {
		return fmt.Errorf("failed to rotate DEK: statusKeyIDHash=%q, encryptKeyIDHash=%q", hash(keyID), hash(r.KeyId))
	}
	p.opened.Store(w.id(), w.with)
	p.now.Store(w)
	return nil
}

// unready is an error that will pass, in its own words.
type unready struct{ error }

func (e unready) Is(target error) bool { return target == store.ErrUnready }
func (e unready) Unwrap() error        { return e.error }

// passing marks the errors of a plugin that say nothing about the value.
func passing(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition, codes.DataLoss, codes.Unimplemented, codes.OutOfRange:
		return err
	}
	return unready{err}
}

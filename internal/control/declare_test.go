package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/local"
	"sampan.dev/internal/control/gc"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/pki"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

var update = flag.Bool("update", false, "write docs/controllers.md")

// recorder is a door that notes which resources are listed and has none of them.
type recorder struct {
	client.Interface
	mu   sync.Mutex
	read map[string]bool
}

func (r *recorder) List(_ context.Context, ref client.Ref, _ metav1.ListOptions) (*client.List, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read[ref.Resource.Resource] = true
	return nil, errors.New("nothing is read here")
}

// Each controller has informers of just the resources that it declares to read.
func TestControllersReadWhatTheyDeclare(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	door := func(api.User, string) client.Interface { return nil }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := identity.SignerConfig{Authority: &pki.Authority{Key: key}} // without a key nothing is signed
	m, err := New(Config{Doors: door, Signer: signer, Kinds: all.Grouped(), Log: log, RootCA: []byte("x"), TokenKey: key, NodeIPAM: nodes.IPAMConfig{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.128.0.0/9")}}, LocalPath: true})
	if err != nil {
		t.Fatal(err)
	}
	m.cfg.Cloud.Provider = local.New(local.Config{})
	m.cfg.Cloud.Provider.Instances, m.cfg.Cloud.Provider.Routes = struct{ cloud.InstancesV2 }{}, struct{ cloud.Routes }{}
	m.cfg.Cloud.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.128.0.0/9")}
	for _, d := range m.list() {
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{read: map[string]bool{}}
				m.informers = cache.NewSet(r, log)
				m.world = gc.NewWorld(all.Grouped(), r, log)
				if d.make(m.env(d)) == nil {
					t.Fatal("not made")
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _ = m.informers.Run(ctx) }()
				synctest.Wait()
				r.mu.Lock()
				defer r.mu.Unlock()
				declared := strings.Fields(d.reads)
				for name := range r.read {
					if !slices.Contains(declared, name) && d.reads != "*" {
						t.Errorf("reads %s, which it does not declare", name)
					}
				}
				for _, name := range declared {
					if !r.read[name] && name != "*" {
						t.Errorf("declares to read %s and does not", name)
					}
				}
			})
		})
	}
}

// Declared wraps the doors of controllers, so that a write of what its account's controllers do not declare is told to
// undeclared.
func Declared(doors client.Factory, undeclared func(string)) client.Factory {
	writes := map[string][]string{}
	m := &Manager{cfg: Config{LocalPath: true}}
	for _, d := range slices.Concat(m.cores(), m.own(), m.clouds()) {
		user := account(d.account).Name
		if d.account == "" {
			continue // the manager itself, as others act too
		}
		writes[user] = append(writes[user], append(strings.Fields(d.writes), "events")...)
	}
	return func(user api.User, agent string) client.Interface {
		door := doors(user, agent)
		may, known := writes[user.Name]
		if !known || slices.Contains(may, "*") {
			return door
		}
		return declaring(door, func(ref client.Ref) {
			name := ref.Resource.Resource
			if ref.Subresource != "" {
				name += "/" + ref.Subresource
			}
			if !slices.Contains(may, name) && !slices.Contains(may, "*/"+ref.Subresource) {
				undeclared(fmt.Sprintf("%s writes %s, which none of its controllers declares", user.Name, name))
			}
		})
	}
}

func declaring(door client.Interface, check func(client.Ref)) client.Interface {
	d := &declared{door, check}
	if client.IsNear(door) {
		return nearDeclared{d}
	}
	return d
}

type declared struct {
	client.Interface
	check func(client.Ref)
}

// nearDeclared keeps a wrapped door near, which changes what controllers send.
type nearDeclared struct{ *declared }

func (nearDeclared) Near() {}

func (d *declared) Fetch(ctx context.Context, ref client.Ref, query url.Values) ([]byte, error) {
	return d.Interface.(client.Fetcher).Fetch(ctx, ref, query)
}

func (d *declared) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	d.check(ref)
	return d.Interface.Create(ctx, ref, obj, opts)
}

func (d *declared) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	d.check(ref)
	return d.Interface.Update(ctx, ref, obj, opts)
}

func (d *declared) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	d.check(ref)
	return d.Interface.Patch(ctx, ref, pt, data, opts)
}

func (d *declared) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	d.check(ref)
	return d.Interface.Delete(ctx, ref, opts)
}

func (d *declared) DeleteCollection(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	d.check(ref)
	return d.Interface.DeleteCollection(ctx, ref, opts, list)
}

// docs/controllers.md says what the list says.
func TestControllersDocument(t *testing.T) {
	const file = "../../docs/controllers.md"
	var b strings.Builder
	b.WriteString(`# Controllers

What each controller has informers of, and what it writes beside events. Made from the list in ` + "`internal/control/list.go`" + `:
` + "`go test ./internal/control -run TestControllersDocument -update`" + `. Tests hold the list against what the controllers do.
\* stands for every resource there is; the service account is in kube-system.

| controller | service account | reads | writes |
|---|---|---|---|
`)
	m := &Manager{cfg: Config{LocalPath: true}}
	for _, d := range slices.Concat(m.cores(), m.own(), m.clouds()) {
		cell := func(s string) string { return strings.ReplaceAll(strings.Join(strings.Fields(s), ", "), "*", `\*`) }
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.name, d.account, cell(d.reads), cell(d.writes))
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is not what the list says; run this test with -update", file)
	}
}

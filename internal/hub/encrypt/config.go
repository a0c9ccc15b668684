package encrypt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/hub/reload"
	"sampan.dev/internal/hub/store/sealed"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
)

// Config is what an EncryptionConfiguration says, now: with reload its content may change while [Config.Run] runs.
type Config struct {
	path   string
	reload bool
	data   []byte // as it was read first
	log    *slog.Logger
	now    atomic.Pointer[table]
}

// table is one content of the file. It never changes; changed is closed when another one has taken its place.
type table struct {
	of      map[schema.GroupResource]transformer
	plugins []*plugin
	changed chan struct{}
}

// Load reads the file at path; whether it is followed is decided by follow. KMS plugins are asked when Run runs, not before.
func Load(path string, follow bool, log *slog.Logger) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("error while parsing file: error while loading file: error reading encryption provider configuration file %q: %w", path, err)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("error while parsing file: error while loading file: encryption provider configuration file %q is empty", path)
	}
	t, err := parse(path, data, follow)
	if err != nil {
		return nil, err
	}
	c := &Config{path: path, reload: follow, data: data, log: log}
	c.now.Store(t)
	return c, nil
}

func parse(path string, data []byte, follow bool) (*table, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(apiserver.AddToScheme(scheme), apiserverv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	obj, gvk, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("error while parsing file: error decoding encryption provider configuration file %q: %w", path, err)
	}
	c, ok := obj.(*apiserver.EncryptionConfiguration)
	if !ok {
		return nil, fmt.Errorf("error while parsing file: got unexpected config type: %v", gvk)
	}
	if err := validation.ValidateEncryptionConfiguration(c, follow).ToAggregate(); err != nil {
		return nil, fmt.Errorf("error while parsing file: %w", err)
	}
	t, err := newTable(c)
	if err != nil {
		return nil, fmt.Errorf("error while building transformers: %w", err)
	}
	return t, nil
}

var everything = schema.GroupResource{Group: "*", Resource: "*"}

func newTable(c *apiserver.EncryptionConfiguration) (*table, error) {
	t := &table{of: map[schema.GroupResource]transformer{}, changed: make(chan struct{})}
	chains := map[schema.GroupResource]*chain{}
	for _, rc := range c.Resources {
		var providers []prefixed
		for _, p := range rc.Providers {
			made, plugin, err := provider(p)
			if err != nil {
				t.close()
				return nil, err
			}
			if plugin != nil {
				t.plugins = append(t.plugins, plugin)
			}
			providers = append(providers, made)
		}
		for _, name := range rc.Resources {
			gr := schema.ParseGroupResource(name)
			for _, wide := range []schema.GroupResource{{Group: gr.Group, Resource: "*"}, everything} {
				if chains[wide] != nil {
					t.close()
					return nil, fmt.Errorf("resource %q is masked by earlier rule %q", inFile(gr), inFile(wide))
				}
			}
			if chains[gr] == nil {
				chains[gr] = &chain{none: errors.New("no matching prefix found")}
			}
			chains[gr].of = append(chains[gr].of, providers...)
		}
	}
	for gr, ch := range chains {
		t.of[gr] = ch
	}
	return t, nil
}

// inFile is how the file names a resource.
func inFile(gr schema.GroupResource) string {
	if gr.Group == "" && gr.Resource == "*" {
		return "*."
	}
	return gr.String()
}

func (t *table) close() {
	for _, p := range t.plugins {
		p.close()
	}
}

// find is the transformer of a resource; nil for none.
func (t *table) find(gr schema.GroupResource) transformer {
	for _, key := range []schema.GroupResource{gr, {Group: gr.Group, Resource: "*"}, everything} {
		if tr := t.of[key]; tr != nil {
			return tr
		}
	}
	return nil
}

// Sealer is what encrypts the values of a resource, by the group under which they are stored; nil when nothing ever will. root is the
// prefix of all keys, "/registry" for "".
func (c *Config) Sealer(gr schema.GroupResource, root string) sealed.Sealer {
	if !c.reload && c.now.Load().find(gr) == nil {
		return nil
	}
	if root == "" {
		root = registry
	}
	return &sealer{of: c, gr: gr, root: "/" + strings.Trim(root, "/")}
}

// registry is what keys begin with where the hub sees them, whatever they begin with in etcd.
const registry = "/registry"

type sealer struct {
	of   *Config
	gr   schema.GroupResource
	root string
}

func (s *sealer) about(key string) []byte { return []byte(s.root + strings.TrimPrefix(key, registry)) }

// On implements sealed.Sealer.
func (s *sealer) On() bool { return s.of.now.Load().find(s.gr) != nil }

// Seal implements sealed.Sealer.
func (s *sealer) Seal(ctx context.Context, key string, value []byte) ([]byte, error) {
	t := s.of.now.Load().find(s.gr)
	if t == nil {
		return value, nil
	}
	return t.seal(ctx, value, s.about(key))
}

// Open implements sealed.Sealer.
func (s *sealer) Open(ctx context.Context, key string, stored []byte) ([]byte, bool, error) {
	t := s.of.now.Load().find(s.gr)
	if t == nil {
		return stored, false, nil
	}
	return t.open(ctx, stored, s.about(key))
}

// Changed implements sealed.Sealer.
func (s *sealer) Changed() <-chan struct{} {
	if !s.of.reload {
		return nil
	}
	return s.of.now.Load().changed
}

// Prime asks KMS plugins for their keys once, so that the first reads find them. A plugin that does not answer is asked again by Run.
func (c *Config) Prime(ctx context.Context) { c.now.Load().prime(ctx, c.log) }

func (t *table) prime(ctx context.Context, log *slog.Logger) (err error) {
	for _, p := range t.plugins {
		if e := p.check(ctx); e != nil {
			log.Warn("a KMS plugin is not ready", "name", p.name, "error", e)
			err = e
		}
	}
	return err
}

// Idle reports that Run has nothing to do: keys of the file only, and that is not followed.
func (c *Config) Idle() bool { return !c.reload && len(c.now.Load().plugins) == 0 }

// Run follows the file, if that was asked for, and keeps the plugins' keys up to date until ctx ends, then closes what is open.
func (c *Config) Run(ctx context.Context) error {
	defer func() { c.now.Load().close() }()
	end := c.tend(ctx, c.now.Load())
	if !c.reload {
		<-ctx.Done()
		end()
		return nil
	}
	reload.Follow(ctx, c.path, c.data, func(data []byte) {
		next, err := parse(c.path, data, true)
		if err == nil {
			err = next.healthy(ctx, c.log)
		}
		if err != nil {
			c.log.Error("error processing encryption config file; the one before still counts", "file", c.path, "error", err)
			return
		}
		before, endBefore := c.now.Swap(next), end
		end = c.tend(ctx, next)
		close(before.changed)
		// Requests that are under way have their minute.
		time.AfterFunc(time.Minute, func() { endBefore(); before.close() })
		c.log.Info("encryption config has been read anew", "file", c.path, "hash", fmt.Sprintf("sha256:%x", sha256.Sum256(data)))
	})
	end()
	return nil
}

// healthy waits a while for the plugins of a table that is to be used.
func (t *table) healthy(ctx context.Context, log *slog.Logger) error {
	var err error
	for range 3 {
		if err = t.prime(ctx, log); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(badFor):
		case <-ctx.Done():
		}
	}
	t.close()
	return fmt.Errorf("health check for new transformers failed, polling error: %w", err)
}

// tend runs the plugins of a table until the function that it returns is called, which waits for them.
func (c *Config) tend(ctx context.Context, t *table) func() {
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, p := range t.plugins {
		wg.Go(func() { p.run(ctx) })
	}
	return func() { end(); wg.Wait() }
}

// Close closes what is open of a Config that is not run.
func (c *Config) Close() { c.now.Load().close() }

// Check says which KMS plugins cannot be relied on.
func (c *Config) Check(ctx context.Context) error {
	var errs []error
	for i, p := range c.now.Load().plugins {
		if err := p.check(ctx); err != nil {
			errs = append(errs, fmt.Errorf("kms-provider-%d: %w", i, err))
		}
	}
	return reduce(errs)
}

func reduce(errs []error) error { return utilerrors.Reduce(utilerrors.NewAggregate(errs)) }

// hash stands for a plugin's key in messages; "" for none.
func hash(id string) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(id)))
}

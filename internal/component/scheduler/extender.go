package scheduler

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"sampan.dev/internal/control/scheduler/extend"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"
)

// Extender is one entry of extenders, with the file's names.
type Extender struct {
	URLPrefix        string            `json:"urlPrefix"`
	FilterVerb       string            `json:"filterVerb,omitempty"`
	PreemptVerb      string            `json:"preemptVerb,omitempty"`
	PrioritizeVerb   string            `json:"prioritizeVerb,omitempty"`
	Weight           int64             `json:"weight,omitempty"`
	BindVerb         string            `json:"bindVerb,omitempty"`
	EnableHTTPS      bool              `json:"enableHTTPS,omitempty"`
	TLSConfig        *ExtenderTLS      `json:"tlsConfig,omitempty"`
	HTTPTimeout      metav1.Duration   `json:"httpTimeout,omitempty"`
	NodeCacheCapable bool              `json:"nodeCacheCapable,omitempty"`
	ManagedResources []ManagedResource `json:"managedResources,omitempty"`
	Ignorable        bool              `json:"ignorable,omitempty"`
}

// ExtenderTLS is how an extender is known, and how it knows the scheduler.
type ExtenderTLS struct {
	Insecure   bool   `json:"insecure,omitempty"`
	ServerName string `json:"serverName,omitempty"`
	CertFile   string `json:"certFile,omitempty"`
	KeyFile    string `json:"keyFile,omitempty"`
	CAFile     string `json:"caFile,omitempty"`
	CertData   []byte `json:"certData,omitempty"`
	KeyData    []byte `json:"keyData,omitempty"`
	CAData     []byte `json:"caData,omitempty"`
}

// ManagedResource is an extended resource that an extender manages.
type ManagedResource struct {
	Name               string `json:"name"`
	IgnoredByScheduler bool   `json:"ignoredByScheduler,omitempty"`
}

// checkExtenders says what is wrong with them, in upstream's words.
func checkExtenders(list []Extender) error {
	var errs []error
	path, binders, managed := field.NewPath("extenders"), 0, map[string]bool{}
	for i, e := range list {
		at := path.Index(i)
		if e.PrioritizeVerb != "" && e.Weight <= 0 {
			errs = append(errs, field.Invalid(at.Child("weight"), e.Weight, "must have a positive weight applied to it"))
		}
		if e.BindVerb != "" {
			binders++
		}
		for j, r := range e.ManagedResources {
			at := at.Child("managedResources").Index(j).Child("name")
			errs = append(errs, checkExtendedResource(at, r.Name)...)
			if managed[r.Name] {
				errs = append(errs, field.Invalid(at, r.Name, "duplicate extender managed resource name"))
			}
			managed[r.Name] = true
		}
	}
	if binders > 1 {
		errs = append(errs, field.Invalid(path, fmt.Sprintf("found %d extenders implementing bind", binders), "only one extender can implement bind"))
	}
	return utilerrors.NewAggregate(errs)
}

// checkExtendedResource says what keeps a name from being that of an extended resource.
func checkExtendedResource(at *field.Path, name string) (errs []error) {
	for _, said := range validation.IsQualifiedName(name) {
		errs = append(errs, field.Invalid(at, corev1.ResourceName(name), said))
	}
	native := !strings.Contains(name, "/") || strings.Contains(name, corev1.ResourceDefaultNamespacePrefix)
	quota := validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix + name)
	if len(errs) == 0 && (native || strings.HasPrefix(name, corev1.DefaultResourceRequestsPrefix) || len(quota) > 0) {
		errs = append(errs, field.Invalid(at, name, "is an invalid extended resource name"))
	}
	return errs
}

// ignored are the resources that extenders manage and the scheduler is not to count.
func ignored(list []Extender) []string {
	var out []string
	for _, e := range list {
		for _, r := range e.ManagedResources {
			if r.IgnoredByScheduler && !slices.Contains(out, r.Name) {
				out = append(out, r.Name)
			}
		}
	}
	return out
}

// chain makes what the scheduler asks.
func chain(list []Extender, log *slog.Logger) (*extend.Chain, error) {
	var made []*extend.Extender
	for i, e := range list {
		cfg := extend.Config{URLPrefix: e.URLPrefix, FilterVerb: e.FilterVerb, PreemptVerb: e.PreemptVerb, PrioritizeVerb: e.PrioritizeVerb, Weight: e.Weight,
			BindVerb: e.BindVerb, EnableHTTPS: e.EnableHTTPS, Timeout: e.HTTPTimeout.Duration, NodeCacheCapable: e.NodeCacheCapable, Ignorable: e.Ignorable}
		if t := e.TLSConfig; t != nil {
			cfg.TLS = rest.TLSClientConfig{Insecure: t.Insecure, ServerName: t.ServerName, CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile,
				CertData: t.CertData, KeyData: t.KeyData, CAData: t.CAData}
		}
		for _, r := range e.ManagedResources {
			cfg.ManagedResources = append(cfg.ManagedResources, r.Name)
		}
		one, err := extend.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("extenders[%d]: %w", i, err)
		}
		made = append(made, one)
	}
	return extend.NewChain(log, made...), nil
}

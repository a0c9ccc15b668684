package stock

import (
	"errors"
	"fmt"

	"sampan.dev/internal/cloud"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cloudprovider "k8s.io/cloud-provider"
)

// Contact is how a provider's own clients reach the API server; name is for their user agent.
type Contact func(name string) (*rest.Config, error)

// Open makes a registered provider from its configuration file, which may be "".
func Open(name, file string, contact Contact) (*cloud.Provider, error) {
	p, err := cloudprovider.InitCloudProvider(name, file)
	if err != nil {
		return nil, err
	}
	return Of(p, contact), nil
}

// Of makes a cloud of a provider.
func Of(p cloudprovider.Interface, contact Contact) *cloud.Provider {
	out := &cloud.Provider{Name: p.ProviderName(), ClusterID: p.HasClusterID,
		Initialize: func(stop <-chan struct{}) { p.Initialize(builder{contact}, stop) }}
	if b, ok := p.LoadBalancer(); ok {
		out.Balancers = balancers{b}
	}
	if i, ok := p.InstancesV2(); ok {
		out.Instances = instances{i}
	} else if i, ok := p.Instances(); ok {
		zones, _ := p.Zones()
		out.Instances = older{p, i, zones}
	}
	if r, ok := p.Routes(); ok {
		out.Routes = routes{r}
	}
	return out
}

// same are errors that the loops know, and upstream's of the same meaning.
var same = map[error]error{
	cloudprovider.InstanceNotFound:     cloud.ErrInstanceNotFound,
	cloudprovider.ImplementedElsewhere: cloud.ErrImplementedElsewhere,
	cloudprovider.NotImplemented:       cloud.ErrNotImplemented,
}

// known lets the loops recognise an error; its text stays.
func known(err error) error {
	for theirs, ours := range same {
		if errors.Is(err, theirs) {
			return recognised{err, ours}
		}
	}
	return err
}

type recognised struct{ error, is error }

func (r recognised) Error() string   { return r.error.Error() }
func (r recognised) Unwrap() []error { return []error{r.error, r.is} }

// builder implements cloudprovider.ControllerClientBuilder.
type builder struct{ contact Contact }

func (b builder) Config(name string) (*rest.Config, error) {
	c, err := b.contact(name)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", name, err)
	}
	return rest.AddUserAgent(c, name), nil
}

func (b builder) Client(name string) (kubernetes.Interface, error) {
	c, err := b.Config(name)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(c)
}

// ConfigOrDie panics without a way to the API server: the interface has no error, and upstream's ends the process.
func (b builder) ConfigOrDie(name string) *rest.Config {
	c, err := b.Config(name)
	if err != nil {
		panic(err)
	}
	return c
}

// ClientOrDie panics as ConfigOrDie does.
func (b builder) ClientOrDie(name string) kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(b.ConfigOrDie(name))
}

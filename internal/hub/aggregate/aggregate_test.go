package aggregate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiregistration"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
)

// The plan is upstream's table: what is kept on start is made, put right or taken away once, what is kept always always, and what has no
// label never.
func TestPlan(t *testing.T) {
	apps, crd, gone := schema.GroupVersion{Group: "apps", Version: "v1"}, schema.GroupVersion{Group: "crd.example.com", Version: "v1"}, schema.GroupVersion{Group: "gone.example.com", Version: "v1"}
	served := map[schema.GroupVersion]bool{apps: true, crd: true, {Group: "apiregistration.k8s.io", Version: "v1"}: true, {Group: "metrics.k8s.io", Version: "v1beta1"}: true}
	made := func(gv schema.GroupVersion, label string, priority int32) *apiregistrationv1.APIService {
		s := &apiregistrationv1.APIService{Spec: apiregistrationv1.APIServiceSpec{Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: priority, VersionPriority: 15}}
		if want := apiregistration.Local(gv); want != nil {
			s.Spec.VersionPriority = want.Spec.VersionPriority
		}
		s.Name = gv.Version + "." + gv.Group
		if label != "" {
			s.Labels = map[string]string{apiregistration.Managed: label}
		}
		return s
	}
	for name, c := range map[string]struct {
		have, later []*apiregistrationv1.APIService // later: what there is when it is looked at again
		want, then  string
	}{
		"nothing":         {nil, []*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000)}, "make v1.apps, make v1.crd.example.com", ""},
		"deleted since":   {[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000)}, nil, "", "make v1.crd.example.com"},
		"wrong":           {[]*apiregistrationv1.APIService{made(apps, "onstart", 1), made(crd, "true", 1)}, []*apiregistrationv1.APIService{made(apps, "onstart", 1), made(crd, "true", 1)}, "change v1.apps, change v1.crd.example.com", "change v1.crd.example.com"},
		"somebody else's": {[]*apiregistrationv1.APIService{made(apps, "", 1), made(crd, "", 1), made(gone, "", 1)}, []*apiregistrationv1.APIService{made(apps, "", 1), made(crd, "", 1), made(gone, "", 1)}, "", ""},
		"spurious": {[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000), made(gone, "true", 1000)},
			[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000)}, "delete v1.gone.example.com", ""},
		"spurious on start": {[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000), made(gone, "onstart", 1000)},
			[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000)}, "delete v1.gone.example.com", ""},
		"labelled after the start": {[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000)},
			[]*apiregistrationv1.APIService{made(apps, "onstart", 17800), made(crd, "true", 1000), made(gone, "onstart", 1)}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var k keeper
			k.begin(c.have)
			if got := told(k.plan(served, c.have)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := told(k.plan(served, c.later)); got != c.then {
				t.Errorf("then %q, want %q", got, c.then)
			}
		})
	}
}

func told(changes []change) string {
	var out []string
	for _, c := range changes {
		switch {
		case c.have == nil:
			out = append(out, "make "+c.want.Name)
		case c.want == nil:
			out = append(out, "delete "+c.have.Name)
		default:
			out = append(out, "change "+c.want.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestAnyEndpoint(t *testing.T) {
	slice := func(family discoveryv1.AddressType, port string, ready *bool, addresses ...string) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{AddressType: family, Ports: []discoveryv1.EndpointPort{{Name: &port, Port: ptr.To[int32](443)}, {}}}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: ready}})
		}
		return s
	}
	for _, c := range []struct {
		slices []*discoveryv1.EndpointSlice
		want   string
	}{
		{nil, ""},
		{[]*discoveryv1.EndpointSlice{slice("IPv4", "https", ptr.To(false), "192.0.2.1"), slice("IPv4", "http", nil, "192.0.2.2")}, ""},
		{[]*discoveryv1.EndpointSlice{slice("IPv6", "https", nil, "2001:db8::1"), slice("IPv4", "https", ptr.To(true), "192.0.2.3")}, "192.0.2.3:443"},
		{[]*discoveryv1.EndpointSlice{slice("IPv6", "https", nil, "2001:db8::1")}, "[2001:db8::1]:443"},
	} {
		if got := anyEndpoint(c.slices, "https", discoveryv1.AddressTypeIPv4); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Who asks is told by the hub alone, whatever the client writes and however it writes it.
func TestIdentify(t *testing.T) {
	h := http.Header{"X-Remote-User": {"root"}, "x-remote-group": {"system:masters"}, "X-Remote-Extra-A": {"b"}, "X-Remote-Uid": {"1"}, "Other": {"kept"}}
	identify(h, api.User{Name: "ann", Groups: []string{"a", "b"}, Extra: map[string][]string{"example.com/Key%": {"v"}}})
	want := http.Header{"X-Remote-User": {"ann"}, "X-Remote-Group": {"a", "b"}, "X-Remote-Extra-Example.com%2fkey%25": {"v"}, "Other": {"kept"}}
	if fmt.Sprint(h) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", h, want)
	}
}

func TestFromLegacy(t *testing.T) {
	d := fromLegacy(schema.GroupVersion{Group: "g", Version: "v1"}, []metav1.APIResource{
		{Name: "things/status", Namespaced: true, Kind: "Thing", Verbs: metav1.Verbs{"get"}}, // before its parent
		{Name: "things", SingularName: "thing", Namespaced: true, Kind: "Thing", Verbs: metav1.Verbs{"list"}, ShortNames: []string{"th"}},
		{Name: "wide", Kind: "Wide", Group: "other", Version: "v2"},
	})
	if len(d.Resources) != 2 || d.Resources[0].Scope != "Namespaced" || d.Resources[0].ResponseKind.Kind != "Thing" || len(d.Resources[0].Subresources) != 1 ||
		d.Resources[0].SingularResource != "thing" || d.Resources[1].Scope != "Cluster" || d.Resources[1].ResponseKind.Group != "other" {
		t.Errorf("%+v", d)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"9", "10", true}, {"10", "9", false}, {"10", "10", false}, {"1", "", false}} {
		if older(c.a, c.b) != c.want {
			t.Errorf("%q before %q: %v", c.a, c.b, !c.want)
		}
	}
}

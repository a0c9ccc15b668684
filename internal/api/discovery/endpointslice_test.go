package discovery

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func slice() *discoveryv1.EndpointSlice {
	port := int32(80)
	s := &discoveryv1.EndpointSlice{
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}
	k := EndpointSlices()
	k.Default(s)
	k.PrepareCreate(s)
	return s
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*discoveryv1.EndpointSlice)
		want string
	}{
		{"good", func(*discoveryv1.EndpointSlice) {}, ""},
		{"no type", func(s *discoveryv1.EndpointSlice) { s.AddressType = "" }, "addressType: Required value"},
		{"family", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses[0] = "fd00::1" }, `endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address`},
		{"loopback", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses[0] = "127.0.0.1" }, `endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`},
		{"no address", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses = nil }, "endpoints[0].addresses: Required value"},
		{"port twice", func(s *discoveryv1.EndpointSlice) { s.Ports = append(s.Ports, s.Ports[0]) }, `ports[1].name: Duplicate value: ""`},
		{"too many", func(s *discoveryv1.EndpointSlice) { s.Endpoints = make([]discoveryv1.Endpoint, 1001) }, "endpoints: Too many: 1001: must have at most 1000 items"},
	} {
		s := slice()
		tc.edit(s)
		if got := apitest.Text(EndpointSlices().Validate(s)); got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
}

func TestUpdate(t *testing.T) {
	k := EndpointSlices()
	old := slice()
	same, moved := slice(), slice()
	same.Annotations = map[string]string{"a": "b"}
	k.PrepareUpdate(same, old)
	moved.Endpoints[0].Addresses[0] = "10.0.0.2"
	k.PrepareUpdate(moved, old)
	if same.Generation != 1 || moved.Generation != 2 {
		t.Errorf("generations %d and %d", same.Generation, moved.Generation)
	}
	moved.AddressType = discoveryv1.AddressTypeFQDN
	moved.Endpoints[0].Addresses[0] = "a.example.com"
	if got, want := apitest.Text(k.ValidateUpdate(moved, old)), `addressType: Invalid value: "FQDN": field is immutable`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTopology(t *testing.T) {
	old := slice()
	old.Endpoints[0].DeprecatedTopology = map[string]string{corev1.LabelHostname: "n1"}
	s := old.DeepCopy()
	s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.2"}, DeprecatedTopology: map[string]string{corev1.LabelHostname: "n2"}})
	EndpointSlices().PrepareUpdate(s, old)
	if n := s.Endpoints[0].NodeName; n == nil || *n != "n1" || s.Endpoints[1].NodeName != nil || s.Endpoints[1].DeprecatedTopology != nil {
		t.Errorf("%+v", s.Endpoints)
	}
}

func TestRow(t *testing.T) {
	s := slice()
	s.Name = "web-1"
	for i := range 4 {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.1.%d", i)}})
	}
	row := fmt.Sprint(EndpointSlices().Row(s)[:4]...)
	if want := fmt.Sprint("web-1", "IPv4", "80", "10.0.0.1,10.0.1.0,10.0.1.1 + 2 more..."); row != want {
		t.Errorf("%s, want %s", row, want)
	}
}

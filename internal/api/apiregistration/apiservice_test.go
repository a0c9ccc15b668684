package apiregistration

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
)

func apiService(change func(*service)) *service {
	s := &service{ObjectMeta: metav1.ObjectMeta{Name: "v1.example.com"}, Spec: apiregistrationv1.APIServiceSpec{
		Group: "example.com", Version: "v1", GroupPriorityMinimum: 2000, VersionPriority: 15,
		Service: &apiregistrationv1.ServiceReference{Namespace: "n", Name: "s", Port: ptr.To[int32](443)},
	}}
	if change != nil {
		change(s)
	}
	return s
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*service)
		want   string
	}{
		{nil, ""},
		{func(s *service) { s.Spec.Service = nil }, ""},
		{func(s *service) { s.Name = "v2.example.com" }, "metadata.name: Invalid value: \"v2.example.com\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\""},
		{func(s *service) { s.Name, s.Spec.Group, s.Spec.Version = "v2.", "", "v2" }, "spec.group: Required value: only v1 may have an empty group and it better be legacy kube"},
		{func(s *service) { s.Name, s.Spec.Group = "v1.Ex", "Ex" }, `spec.group: Invalid value: "Ex": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
		{func(s *service) { s.Name, s.Spec.Version = "1.example.com", "1" }, `spec.version: Invalid value: "1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`},
		{func(s *service) { s.Spec.GroupPriorityMinimum, s.Spec.VersionPriority = 0, 1001 }, `[spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000, spec.versionPriority: Invalid value: 1001: must be positive and less than 1000]`},
		{func(s *service) {
			s.Spec.Service, s.Spec.CABundle, s.Spec.InsecureSkipTLSVerify = nil, []byte("abc"), true
		}, `[spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle, spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify]`},
		{func(s *service) { *s.Spec.Service = apiregistrationv1.ServiceReference{Port: ptr.To[int32](0)} }, `[spec.service.namespace: Required value, spec.service.name: Required value, spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive]`},
		{func(s *service) { s.Spec.CABundle, s.Spec.InsecureSkipTLSVerify = []byte("abc"), true }, `spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present`},
	} {
		s, got := apiService(c.change), ""
		if errs := APIServices().Validate(s); len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestDefaultAndPrepare(t *testing.T) {
	k := APIServices()
	s := apiService(func(s *service) { s.Spec.Service.Port = nil })
	if k.Default(s); *s.Spec.Service.Port != 443 {
		t.Error(*s.Spec.Service.Port)
	}
	s.Status.Conditions = []apiregistrationv1.APIServiceCondition{{Type: "x"}}
	if k.PrepareCreate(s); len(s.Status.Conditions) != 0 {
		t.Error("a client's status is kept")
	}
	local := apiService(func(s *service) { s.Spec.Service = nil })
	if k.PrepareCreate(local); !Available(local) {
		t.Error("a local one is not available")
	}
	next := apiService(func(s *service) { s.Spec.VersionPriority = 1; s.Labels = map[string]string{"a": "b"} })
	SetCondition(next, LocallyAvailable())
	k.Sub("status").PrepareUpdate(next, s)
	if next.Spec.VersionPriority != 15 || next.Labels != nil || !Available(next) {
		t.Errorf("%+v", next)
	}
	next.Status.Conditions[0].Status = "maybe"
	if errs := k.Sub("status").ValidateUpdate(next, s); len(errs) != 1 || errs[0].Error() != `status.conditions[0].status: Unsupported value: "maybe": supported values: "True", "False", "Unknown"` {
		t.Error(errs)
	}
}

func TestRow(t *testing.T) {
	for _, c := range []struct {
		change func(*service)
		want   string
	}{
		{func(s *service) { s.Spec.Service = nil }, "Local Unknown"},
		{func(s *service) { SetCondition(s, LocallyAvailable()) }, "n/s True"},
		{func(s *service) {
			SetCondition(s, apiregistrationv1.APIServiceCondition{Type: "Available", Status: "False", Reason: "ServiceNotFound"})
		}, "n/s False (ServiceNotFound)"},
		{func(s *service) {
			SetCondition(s, apiregistrationv1.APIServiceCondition{Type: "Available", Status: "False"})
		}, "n/s False"},
	} {
		cells := APIServices().Row(apiService(c.change))
		if got := fmt.Sprint(cells[1], " ", cells[2]); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// What is stored is JSON, as upstream's aggregator stores it, and is read back.
func TestStored(t *testing.T) {
	k, s := APIServices(), apiService(nil)
	data, err := api.CodecOf(k).Encode(s)
	if err != nil || data[0] != '{' {
		t.Fatalf("%s %v", data, err)
	}
	back, err := api.CodecOf(k).Decode(data, k.New())
	if err != nil || back.(*service).Spec.Service.Name != "s" {
		t.Error(back, err)
	}
}

func TestLocal(t *testing.T) {
	for gv, want := range map[schema.GroupVersion]string{
		{Version: "v1"}:                                  "v1. 18000 1 onstart",
		{Group: "autoscaling", Version: "v2"}:            "v2.autoscaling 17500 30 onstart",
		{Group: "storage.k8s.io", Version: "v1beta1"}:    "v1beta1.storage.k8s.io 16800 9 onstart",
		{Group: "example.com", Version: "v1"}:            "v1.example.com 1000 100 true",
		{Group: "metrics.k8s.io", Version: "v1beta1"}:    "",
		{Group: "apiregistration.k8s.io", Version: "v1"}: "",
	} {
		got := ""
		if s := Local(gv); s != nil {
			got = fmt.Sprint(s.Name, " ", s.Spec.GroupPriorityMinimum, " ", s.Spec.VersionPriority, " ", s.Labels[Managed])
		}
		if got != want {
			t.Errorf("%s: %q, want %q", gv, got, want)
		}
	}
}

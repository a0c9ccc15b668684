package components

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestComponentsSayHowTheyAre(t *testing.T) {
	c := New(Config{
		Store: func(context.Context) error { return nil },
		Here: func(name string) (error, bool) {
			if name == "scheduler" {
				return errors.New("it has failed"), true
			}
			return nil, true
		},
	})
	list, err := c.read(t.Context(), "", "", labels.Everything())
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	want := map[string]corev1.ComponentCondition{
		"controller-manager": {Type: "Healthy", Status: "True", Message: "ok"},
		"etcd-0":             {Type: "Healthy", Status: "True", Message: "ok"},
		"scheduler":          {Type: "Healthy", Status: "False", Error: "it has failed"},
	}
	for _, o := range list {
		if got := o.(*corev1.ComponentStatus).Conditions[0]; got != want[o.GetName()] {
			t.Errorf("%s: %+v", o.GetName(), got)
		}
	}
	if one, _ := c.read(t.Context(), "", "etcd-0", labels.Everything()); len(one) != 1 {
		t.Errorf("by name: %v", one)
	}
	if none, _ := c.read(t.Context(), "", "", labels.SelectorFromSet(labels.Set{"a": "b"})); len(none) != 0 {
		t.Errorf("by label: %v", none)
	}
}

// A component of another process is asked at its port.
func TestLook(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("ok"))
	}))
	for code, want := range map[int]string{200: "ok", 500: "HTTP probe failed with statuscode: 500"} {
		status = code
		if healthy, said := look(t.Context(), s.URL); healthy != (code == 200) || said != want {
			t.Errorf("%d: %v %q", code, healthy, said)
		}
	}
	s.Close()
	if healthy, said := look(t.Context(), s.URL); healthy || said == "" {
		t.Errorf("nobody there: %v %q", healthy, said)
	}
}

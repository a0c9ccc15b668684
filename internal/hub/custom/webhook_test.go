package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kschema "k8s.io/apimachinery/pkg/runtime/schema"
)

const original = `{"apiVersion":"fruit.example/v1","kind":"Pear","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7","labels":{"a":"b"},"managedFields":[{"manager":"m"}]},"spec":{"color":"red"}}`

func TestConversionByWebhook(t *testing.T) {
	const good = `{"apiVersion":"fruit.example/v2","kind":"Pear","metadata":{"name":"a","namespace":"n","uid":"u","labels":{"c":"d"}},"spec":{"colour":"red"}}`
	success := func(objects ...string) string {
		return fmt.Sprintf(`{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":"ASKED","result":{"status":"Success"},"convertedObjects":[%s]}}`, strings.Join(objects, ","))
	}
	change := func(from, to string) string { return success(strings.Replace(good, from, to, 1)) }
	const for_ = "conversion webhook for fruit.example/v1, Kind=Pear "
	for _, c := range []struct{ name, answer, want string }{
		{"converted", success(good), ""},
		{"without a response", `{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1"}`, for_ + "failed: no response provided"},
		{"another version of the review", strings.Replace(success(good), "k8s.io/v1", "k8s.io/v1beta1", 1), for_ + "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1beta1, Kind=ConversionReview"},
		{"another uid", strings.Replace(success(good), "ASKED", "other", 1), for_ + `failed: expected response.uid="ASKED", got "other"`},
		{"a failure", strings.Replace(success(good), `"Success"`, `"Failure","message":"no pears"`, 1), for_ + "failed: no pears"},
		{"a failure without a word", strings.Replace(success(good), `"Success"`, `"Failure"`, 1), for_ + "failed: response.result.status was 'Failure', not 'Success'"},
		{"nothing converted", success(), for_ + "returned 0 objects, expected 1"},
		{"too much converted", success(good, good), for_ + "returned 2 objects, expected 1"},
		{"not converted", change("/v2", "/v1"), for_ + "returned invalid object at index 0: invalid groupVersion (expected fruit.example/v2, received fruit.example/v1)"},
		{"another kind", change("Pear", "Apple"), for_ + "returned invalid object at index 0: invalid kind (expected Pear, received Apple)"},
		{"another name", change(`"a"`, `"b"`), for_ + "returned invalid object: must have the same name: a != b"},
		{"another uid of the object", change(`"uid":"u"`, `"uid":"v"`), for_ + "returned invalid object: must have the same UID: u != v"},
		{"a label that is none", change(`"c":"d"`, `"c":"?"`), for_ + `returned invalid metadata: metadata.labels: Invalid value: "?": a valid label must be`},
		{"a label that is no text", change(`"c":"d"`, `"c":1`), for_ + "returned invalid metadata: metadata.labels[c] must be a string, but is int64 in converted object"},
	} {
		w := webhook{client: &apiextensionsv1.WebhookClientConfig{}, reviews: []string{"v9", "v1"}}
		var asked review
		w.call = func(_ context.Context, _ *apiextensionsv1.WebhookClientConfig, body []byte) ([]byte, error) {
			if err := json.Unmarshal(body, &asked); err != nil {
				t.Fatal(err)
			}
			return []byte(strings.ReplaceAll(c.answer, "ASKED", string(asked.Request.UID))), nil
		}
		in := &unstructured.Unstructured{}
		if err := in.UnmarshalJSON([]byte(original)); err != nil {
			t.Fatal(err)
		}
		out, err := w.convert(t.Context(), in, kschema.GroupVersion{Group: "fruit.example", Version: "v2"})
		if asked.APIVersion != "apiextensions.k8s.io/v1" || asked.Request.DesiredAPIVersion != "fruit.example/v2" || len(asked.Request.Objects) != 1 {
			t.Errorf("%s: asked %+v", c.name, asked)
		}
		want := strings.ReplaceAll(c.want, "ASKED", string(asked.Request.UID))
		if want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, _ := out.MarshalJSON()
		const expect = `{"apiVersion":"fruit.example/v2","kind":"Pear","metadata":{"labels":{"c":"d"},"managedFields":[{"manager":"m"}],"name":"a","namespace":"n","resourceVersion":"7","uid":"u"},"spec":{"colour":"red"}}`
		if strings.TrimSpace(string(got)) != expect {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, expect)
		}
	}
}

func TestNoConversionByWebhook(t *testing.T) {
	in := &unstructured.Unstructured{}
	if err := in.UnmarshalJSON([]byte(original)); err != nil {
		t.Fatal(err)
	}
	to := kschema.GroupVersion{Group: "fruit.example", Version: "v2"}
	refused := func(context.Context, *apiextensionsv1.WebhookClientConfig, []byte) ([]byte, error) {
		return nil, errors.New("refused")
	}
	if _, err := (webhook{call: refused, reviews: []string{"v9"}}).convert(t.Context(), in, to); err == nil || err.Error() != "no supported conversion review versions" {
		t.Error(err)
	}
	if _, err := (webhook{call: refused, reviews: []string{"v1"}}).convert(t.Context(), in, to); err == nil || err.Error() != "conversion webhook for fruit.example/v1, Kind=Pear failed: refused" {
		t.Error(err)
	}
	empty := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "fruit.example/v1", "kind": "Pear"}}
	if out, err := (webhook{call: refused, reviews: []string{"v1"}}).convert(t.Context(), empty, to); err != nil || out.GetAPIVersion() != "fruit.example/v2" {
		t.Error(out, err)
	}
}

package hub

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

const cms = "/api/v1/namespaces/default/configmaps"

func makeMaps(t *testing.T, h *Hub, n int) {
	t.Helper()
	for i := range n {
		body := fmt.Sprintf(`{"metadata":{"name":"m%02d","labels":{"odd":"%v"}},"data":{"i":"%d"}}`, i, i%2 == 1, i)
		if a := do(h, "POST", cms, body); a.code != 201 {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
}

func names(t *testing.T, a answer) (out []string, l metav1.ListMeta) {
	t.Helper()
	var list corev1.ConfigMapList
	if err := json.Unmarshal(a.body, &list); err != nil || a.code != 200 {
		t.Fatalf("%d %v %s", a.code, err, a.body)
	}
	for _, i := range list.Items {
		out = append(out, i.Name)
	}
	return out, list.ListMeta
}

func TestPaging(t *testing.T) {
	h := start(t, nil)
	makeMaps(t, h, 5)
	got, meta := names(t, do(h, "GET", cms+"?limit=2", ""))
	if fmt.Sprint(got) != "[m00 m01]" || meta.Continue == "" || meta.RemainingItemCount == nil || *meta.RemainingItemCount != 3 {
		t.Fatalf("%v %+v", got, meta)
	}
	first := meta.ResourceVersion
	do(h, "DELETE", cms+"/m03", "")
	do(h, "POST", cms, `{"metadata":{"name":"m02a"}}`)
	got, meta = names(t, do(h, "GET", cms+"?limit=2&continue="+meta.Continue, ""))
	if fmt.Sprint(got) != "[m02 m03]" || meta.ResourceVersion != first {
		t.Fatalf("the second page is not of the state of the first: %v %+v", got, meta)
	}
	got, meta = names(t, do(h, "GET", cms+"?continue="+meta.Continue, ""))
	if fmt.Sprint(got) != "[m04]" || meta.Continue != "" {
		t.Fatalf("%v %+v", got, meta)
	}
	// Selectors: no count of what remains.
	got, meta = names(t, do(h, "GET", cms+"?limit=1&labelSelector=odd%3Dtrue", ""))
	if fmt.Sprint(got) != "[m01]" || meta.Continue == "" && meta.RemainingItemCount != nil {
		t.Fatalf("%v %+v", got, meta)
	}
	// Exactly as it was, by resourceVersion.
	got, _ = names(t, do(h, "GET", cms+"?resourceVersionMatch=Exact&resourceVersion="+first, ""))
	if fmt.Sprint(got) != "[m00 m01 m02 m03 m04]" {
		t.Fatalf("exact: %v", got)
	}
	got, _ = names(t, do(h, "GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Dm02,metadata.namespace%3Ddefault", ""))
	if fmt.Sprint(got) != "[m02]" {
		t.Fatalf("by name: %v", got)
	}
	got, _ = names(t, do(h, "GET", cms+"?fieldSelector=metadata.name!%3Dm02&labelSelector=odd%3Dfalse", ""))
	if fmt.Sprint(got) != "[m00 m04]" {
		t.Fatalf("by not name: %v", got)
	}
}

// TestExpiredToken loses the state of a page: the client is told, with a token to go on inconsistently.
func TestExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		makeMaps(t, h, 4)
		_, meta := names(t, do(h, "GET", cms+"?limit=2", ""))
		var rev int64
		fmt.Sscan(meta.ResourceVersion, &rev)
		for i := range 3000 { // push the page's state out of what the cache retains
			do(h, "PUT", cms+"/m00", fmt.Sprintf(`{"metadata":{"name":"m00"},"data":{"i":"%d"}}`, i))
		}
		if err := h.cfg.Store.Compact(t.Context(), rev+2500); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		a := do(h, "GET", cms+"?limit=2&continue="+meta.Continue, "")
		s := a.status(t)
		if a.code == 200 {
			t.Skip("the cache still has it")
		}
		if a.code != 410 || s.Reason != "Expired" || s.Continue == "" || !strings.Contains(s.Message, "inconsistent list") {
			t.Fatalf("%d %s", a.code, a.body)
		}
		got, _ := names(t, do(h, "GET", cms+"?limit=9&continue="+s.Continue, ""))
		if fmt.Sprint(got) != "[m02 m03]" {
			t.Fatalf("%v", got)
		}
	})
}

func TestEncodings(t *testing.T) {
	h := start(t, nil)
	makeMaps(t, h, 3)
	plain := do(h, "GET", cms, "")
	if !strings.HasPrefix(string(plain.body), `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"`) || strings.Contains(string(plain.body), `"kind":"ConfigMap"`) {
		t.Errorf("list: %.200s", plain.body)
	}
	codec := protobuf.NewSerializer(api.Scheme, api.Scheme)
	for path, into := range map[string]interface {
		metav1.ListInterface
	}{cms: &corev1.ConfigMapList{}} {
		a := do(h, "GET", path, "", "Accept: application/vnd.kubernetes.protobuf")
		obj, gvk, err := codec.Decode(a.body, nil, into.(*corev1.ConfigMapList))
		if err != nil || gvk.Kind != "ConfigMapList" || a.header.Get("Content-Type") != "application/vnd.kubernetes.protobuf" {
			t.Fatalf("%v %v %s", err, gvk, a.header)
		}
		l := obj.(*corev1.ConfigMapList)
		if len(l.Items) != 3 || l.Items[2].Data["i"] != "2" || l.Items[0].ResourceVersion == "" || l.ResourceVersion == "" {
			t.Errorf("%+v", l)
		}
		// What protobuf says is what JSON says.
		var j corev1.ConfigMapList
		json.Unmarshal(plain.body, &j)
		l.TypeMeta, j.TypeMeta = metav1.TypeMeta{}, metav1.TypeMeta{}
		lb, _ := json.Marshal(l)
		jb, _ := json.Marshal(j)
		if !bytes.Equal(lb, jb) {
			t.Errorf("protobuf and JSON differ:\n%s\n%s", lb, jb)
		}
	}
	one := do(h, "GET", cms+"/m01", "", "Accept: application/vnd.kubernetes.protobuf;q=0.9,application/json;q=0.1")
	if obj, _, err := codec.Decode(one.body, nil, nil); err != nil || obj.(*corev1.ConfigMap).Data["i"] != "1" {
		t.Errorf("%v %v", obj, err)
	}
	if y := do(h, "GET", cms+"/m01", "", "Accept: application/yaml"); !strings.HasPrefix(string(y.body), "apiVersion: v1\ndata:\n  i: \"1\"\nkind: ConfigMap\n") {
		t.Errorf("%s", y.body)
	}
	if p := do(h, "GET", cms+"/m01?pretty=true", ""); !strings.HasPrefix(string(p.body), "{\n  \"kind\"") {
		t.Errorf("%s", p.body)
	}
	st := do(h, "GET", cms+"/none", "", "Accept: application/vnd.kubernetes.protobuf")
	if obj, _, err := codec.Decode(st.body, nil, nil); err != nil || obj.(*metav1.Status).Code != 404 {
		t.Errorf("%v %v", obj, err)
	}
	// A body in protobuf.
	var b bytes.Buffer
	codec.Encode(&corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "pb"}, Data: map[string]string{"k": "v"}}, &b)
	if a := do(h, "POST", cms, b.String(), "Content-Type: application/vnd.kubernetes.protobuf"); a.code != 201 || dig(a.object(t), "data.k") != "v" {
		t.Errorf("%d %s", a.code, a.body)
	}
	big := do(h, "POST", cms, `{"metadata":{"name":"big"},"data":{"x":"`+strings.Repeat("abcdefgh", 20<<10)+`"}}`, "Accept-Encoding: gzip")
	if big.code != 201 || big.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%d %v", big.code, big.header)
	}
	z, err := gzip.NewReader(bytes.NewReader(big.body))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(z); err != nil || len(data) < 160<<10 {
		t.Errorf("%d %v", len(data), err)
	}
}

func TestTables(t *testing.T) {
	h := start(t, nil)
	makeMaps(t, h, 2)
	const accept = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
	var table metav1.Table
	a := do(h, "GET", cms, "", accept)
	if err := json.Unmarshal(a.body, &table); err != nil || table.Kind != "Table" || table.APIVersion != "meta.k8s.io/v1" {
		t.Fatalf("%v %s", err, a.body)
	}
	if len(table.Rows) != 2 || table.ColumnDefinitions[0].Name != "Name" || table.Rows[0].Cells[0] != "m00" || table.ResourceVersion == "" {
		t.Errorf("%s", a.body)
	}
	if age := table.Rows[0].Cells[len(table.Rows[0].Cells)-1].(string); !strings.HasSuffix(age, "s") {
		t.Errorf("age %q", age)
	}
	if !bytes.Contains(table.Rows[0].Object.Raw, []byte(`"kind":"PartialObjectMetadata"`)) {
		t.Errorf("%s", table.Rows[0].Object.Raw)
	}
	a = do(h, "GET", cms+"/m01?includeObject=Object", "", accept)
	table = metav1.Table{}
	if err := json.Unmarshal(a.body, &table); err != nil || len(table.Rows) != 1 || !bytes.Contains(table.Rows[0].Object.Raw, []byte(`"kind":"ConfigMap"`)) {
		t.Errorf("%v %s", err, a.body)
	}
	a = do(h, "GET", cms, "", "Accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
	var p metav1.PartialObjectMetadataList
	if err := json.Unmarshal(a.body, &p); err != nil || p.Kind != "PartialObjectMetadataList" || len(p.Items) != 2 || p.Items[1].Labels["odd"] != "true" {
		t.Errorf("%v %s", err, a.body)
	}
	// Errors are never tables.
	if s := do(h, "GET", cms+"/none", "", accept).status(t); s.Kind != "Status" {
		t.Errorf("%+v", s)
	}
}

// TestReadsOwnWrites: what a write has answered, any read shows, and no-op writes keep the resourceVersion.
func TestReadsOwnWrites(t *testing.T) {
	h := start(t, nil)
	makeMaps(t, h, 1)
	for i := range 50 {
		a := do(h, "PUT", cms+"/m00", fmt.Sprintf(`{"metadata":{"name":"m00"},"data":{"i":"%d"}}`, i))
		rv := dig(a.object(t), "metadata.resourceVersion")
		again := do(h, "PUT", cms+"/m00", fmt.Sprintf(`{"metadata":{"name":"m00"},"data":{"i":"%d"}}`, i))
		if dig(again.object(t), "metadata.resourceVersion") != rv {
			t.Fatalf("an update that changes nothing was written")
		}
		got := do(h, "GET", cms+"/m00", "").object(t)
		if dig(got, "metadata.resourceVersion") != rv || dig(got, "data.i") != fmt.Sprint(i) {
			t.Fatalf("%v, wanted %v", got, rv)
		}
		if l, _ := names(t, do(h, "GET", cms+"?resourceVersion="+url.QueryEscape(rv.(string))+"&resourceVersionMatch=NotOlderThan", "")); len(l) == 0 {
			t.Fatal("empty list")
		}
	}
}

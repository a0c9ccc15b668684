package hub

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"

	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/hub/wire"
)

const (
	asJSON  = "application/json"
	asYAML  = "application/yaml"
	asProto = "application/vnd.kubernetes.protobuf"
	asOps   = "application/json-patch+json"
	asMerge = "application/merge-patch+json"
	asSMP   = "application/strategic-merge-patch+json"
	asApply = "application/apply-patch+yaml"
)

// list is n times text, which may have a %d for the number, with commas between.
func list(n int, text string) string {
	var b strings.Builder
	b.Grow(n * (len(text) + 4))
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.Contains(text, "%d") {
			fmt.Fprintf(&b, text, i)
		} else {
			b.WriteString(text)
		}
	}
	return b.String()
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

// enveloped is a message as clients send it.
func enveloped(apiVersion, kind string, msg []byte) string {
	meta := pbField(pbField(nil, 1, []byte(apiVersion)), 2, []byte(kind))
	return "k8s\x00" + string(pbField(pbField(nil, 1, meta), 2, msg))
}

func pbField(b []byte, num int, value []byte) []byte {
	b = binary.AppendUvarint(b, uint64(num<<3|2))
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// pod is one whose only container has what is given.
func podOf(more string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"` + more + `}]}}`
}

func limitOf(quantity string) string {
	return podOf(`,"resources":{"limits":{"cpu":` + quantity + `}}`)
}

// A request that would cost much more than it is large is refused by the stage that would have paid: within a moment, by a
// client's error, without making much. Each input is just over its bound; a number of those just under are taken.
func TestNoRequestIsTooDear(t *testing.T) {
	h := start(t, func(c *Config) { withoutAccounts(c); c.MaxWrites = 1000 })
	const pods, maps, deployments = "/api/v1/namespaces/default/pods", cms, "/apis/apps/v1/namespaces/default/deployments"
	must := func(path, body string) {
		t.Helper()
		if a := do(h, "POST", path, body); a.code != 201 {
			t.Fatal(a.code, string(a.body[:min(len(a.body), 500)]))
		}
	}
	must(maps, `{"metadata":{"name":"big"},"data":{"k":"`+strings.Repeat("x", 400_000)+`"}}`)
	must(maps, `{"metadata":{"name":"small"},"data":{"k":"v"}}`)
	must(pods, `{"metadata":{"name":"args"},"spec":{"containers":[{"name":"c","image":"i","args":[`+list(20_000, `"a"`)+`]}]}}`)
	must(pods, `{"metadata":{"name":"env"},"spec":{"containers":[{"name":"c","image":"i","env":[`+list(3000, `{"name":"A%d"}`)+`]}]}}`)
	ops := func(n int, op string) string { return "[" + list(n, op) + "]" }
	const taken = 0 // any answer but the refusals below
	for _, row := range []struct {
		what, method, path, media, body string
		code                            int
		says                            string
	}{
		{"a body of 3 MiB and a byte", "POST", maps, asJSON, strings.Repeat(" ", wire.MaxBody+1), 413, "Request entity too large: limit is 3145728"},
		{"the same, to be patched", "PATCH", maps + "/small", asMerge, strings.Repeat(" ", wire.MaxBody+1), 413, "limit is 3145728"},
		{"the same, options of a deletion", "DELETE", maps + "/none", asJSON, strings.Repeat(" ", wire.MaxBody+1), 413, "limit is 3145728"},
		{"a gzipped body, which nobody unpacks", "POST", maps, asJSON, zipped(strings.Repeat(" ", 3<<20)), 400, ""},

		{"JSON that is too deep", "POST", maps, asJSON, `{"a":` + strings.Repeat("[", 10_001), 400, "exceeded max depth"},
		{"JSON as deep as a body is long", "POST", maps, asJSON, `{"a":` + strings.Repeat("[", 3_000_000), 400, "exceeded max depth"},
		{"a merge patch that is too deep", "PATCH", maps + "/small", asMerge, `{"a":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`, 400, ""},
		{"YAML that is too deep", "POST", maps, asYAML, "a: " + strings.Repeat("[", 10_001), 400, "exceeded max depth"},
		{"an applied YAML that is too deep", "PATCH", maps + "/small?fieldManager=m", asApply, "a: " + strings.Repeat("{a: ", 10_001), 400, ""},
		{"groups of protobuf, nested", "POST", maps, asProto, enveloped("v1", "ConfigMap", bytes.Repeat([]byte{0x7b}, 1<<20)), 400, ""},

		{"keys", "POST", maps, asJSON, `{"metadata":{"name":"x"},"data":{` + list(200_000, `"%d":""`) + `}}`, 413, "fields and elements"},
		{"keys, in YAML", "POST", maps, asYAML, "data: {" + list(200_001, `"%d": a`) + "}", 413, "fields and elements"},
		{"keys, a line each", "POST", maps, asYAML, "data:\n" + strings.ReplaceAll(list(120_000, " k%d: a\n"), ",", ""), 413, "fields and elements"},
		{"keys, in protobuf", "POST", maps, asProto, enveloped("v1", "ConfigMap", bytes.Repeat([]byte{2<<3 | 2, 0}, 200_001)), 413, "fields and elements"},
		{"keys of managed fields", "POST", maps, asJSON, `{"metadata":{"managedFields":[{"fieldsV1":{` + list(200_001, `"%d":{}`) + `}}]}}`, 413, "fields and elements"},
		{"keys of a merge patch", "PATCH", maps + "/small", asMerge, `{"data":{` + list(200_001, `"%d":""`) + `}}`, 413, "fields and elements"},
		{"keys of a strategic patch", "PATCH", maps + "/small", asSMP, `{"data":{` + list(200_001, `"%d":""`) + `}}`, 413, "fields and elements"},
		{"keys that are applied", "PATCH", maps + "/small?fieldManager=m", asApply, `{"data":{` + list(200_001, `"%d":""`) + `}}`, 413, "fields and elements"},

		{"small elements that become large", "POST", pods, asJSON, `{"spec":{"containers":[` + list(120_000, `{}`) + `]}}`, 413, "bytes when decoded"},
		{"the same in YAML", "POST", pods, asYAML, `spec: {containers: [` + list(120_000, `{}`) + `]}`, 413, "Request entity too large"},
		{"the same in protobuf", "POST", pods, asProto, enveloped("v1", "Pod", pbField(nil, 2, bytes.Repeat([]byte{2<<3 | 2, 0}, 120_000))), 413, "bytes when decoded"},
		{"the same in a merge patch", "PATCH", pods + "/args", asMerge, `{"spec":{"containers":[` + list(120_000, `{}`) + `]}}`, 413, "bytes when decoded"},
		{"the same in a JSON patch", "PATCH", pods + "/args", asOps, `[{"op":"replace","path":"/spec/containers","value":[` + list(120_000, `{}`) + `]}]`, 413, "bytes when decoded"},
		{"the same in a template", "POST", deployments, asJSON, `{"spec":{"template":{"spec":{"initContainers":[` + list(120_000, `{}`) + `]}}}}`, 413, "bytes when decoded"},

		{"more errors than anybody reads", "POST", pods, asJSON, `{"spec":{"containers":[` + list(5_000, `{}`) + `]}}`, 422, "more errors"},

		{"names that stand for a long text", "POST", maps, asYAML, "data: {a: &a " + strings.Repeat("x", 100_000) + "}\nb: [" + list(400, "*a") + "]", 400, "excessive aliasing"},
		{"names that stand for names", "POST", maps, asYAML, aliases(12), 400, "excessive aliasing"},
		{"applied names", "PATCH", maps + "/small?fieldManager=m", asApply, "data: {a: &a " + strings.Repeat("x", 100_000) + "}\nb: [" + list(400, "*a") + "]", 400, "excessive aliasing"},

		{"operations", "PATCH", maps + "/small", asOps, ops(10_001, `{"op":"test","path":"/data/k","value":"v"}`), 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{"copies", "PATCH", maps + "/big", asOps, ops(8, `{"op":"copy","from":"/data/k","path":"/data/k%d"}`), 422, "the server rejected our request due to an error in our request"},
		{"copies of copies", "PATCH", maps + "/small", asOps, `[{"op":"add","path":"/metadata/annotations","value":{"a":"` + strings.Repeat("x", 1000) + `"}},` + list(100, `{"op":"copy","from":"/metadata","path":"/metadata/annotations/x%d"}`) + `]`, 422, "the server rejected our request"},
		{"insertions into a long list", "PATCH", pods + "/args", asOps, ops(8000, `{"op":"add","path":"/spec/containers/0/args/0","value":"b"}`), 413, "elements may be moved"},
		{"removals from one", "PATCH", pods + "/args", asOps, ops(8000, `{"op":"remove","path":"/spec/containers/0/args/0"}`), 413, "elements may be moved"},
		{"long lists that are merged", "PATCH", pods + "/env", asSMP, `{"spec":{"containers":[{"name":"c","env":[` + list(1500, `{"name":"B%d"}`) + `]}]}}`, 413, "pairs may be compared"},
		{"a long order of merging", "PATCH", pods + "/env", asSMP, `{"spec":{"containers":[{"name":"c","$setElementOrder/env":[` + list(1500, `{"name":"B%d"}`) + `]}]}}`, 413, "pairs may be compared"},

		{"an exponent", "POST", pods, asJSON, limitOf(`"1e309"`), 400, "unable to parse quantity's suffix"},
		{"an exponent without quotes", "POST", pods, asJSON, limitOf(`1E99999999`), 400, "unable to parse quantity's suffix"},
		{"an exponent below", "POST", pods, asJSON, limitOf(`"1e-999999999"`), 400, "unable to parse quantity's suffix"},
		{"an exponent that wraps", "POST", pods, asJSON, limitOf(`"1e4294967295"`), 400, "unable to parse quantity's suffix"},
		{"an exponent beyond 64 bits", "POST", pods, asJSON, limitOf(`"1e99999999999999999999"`), 400, "unable to parse quantity's suffix"},
		{"a long number", "POST", pods, asJSON, limitOf(`"1` + strings.Repeat("0", 128) + `"`), 400, "unable to parse numeric part of quantity"},
		{"a very long number", "POST", pods, asJSON, limitOf(`"0.` + strings.Repeat("1", 1_000_000) + `"`), 400, "unable to parse numeric part of quantity"},
		{"an exponent in YAML", "POST", pods, asYAML, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":1e309}}}]}}`, 400, ""},
		{"an exponent in plain YAML", "POST", pods, asYAML, "spec:\n  containers:\n  - resources:\n      limits:\n        cpu: \"1e309\"\n", 400, "unable to parse quantity's suffix"},
		{"an exponent in protobuf", "POST", pods, asProto, enveloped("v1", "Pod", protoLimit("1e-999999999")), 400, "unable to parse quantity's suffix"},
		{"an exponent in a merge patch", "PATCH", pods + "/args", asMerge, `{"spec":{"overhead":{"cpu":"1e-999999999"}}}`, 422, "unable to parse quantity's suffix"},
		{"an exponent in a strategic patch", "PATCH", pods + "/args", asSMP, `{"spec":{"overhead":{"cpu":"1e-999999999"}}}`, 422, "unable to parse quantity's suffix"},
		{"an exponent in a JSON patch", "PATCH", pods + "/args", asOps, `[{"op":"add","path":"/spec/overhead","value":{"cpu":"1e-999999999"}}]`, 422, "unable to parse quantity's suffix"},
		{"an exponent that is applied", "PATCH", pods + "/args?fieldManager=m", asApply, `{"apiVersion":"v1","kind":"Pod","spec":{"overhead":{"cpu":"1e-999999999"}}}`, 422, "unable to parse quantity's suffix"},
		{"an exponent in a status", "PATCH", "/api/v1/nodes/n/status", asMerge, `{"status":{"capacity":{"cpu":"1e-999999999"}}}`, 404, ""},

		{"a label selector", "GET", maps + "?labelSelector=" + url.QueryEscape(list(14_000, "a!=%d")), "", "", 413, "limit is 65536"},
		{"a field selector", "GET", maps + "?fieldSelector=" + url.QueryEscape(list(3_000, "metadata.name!=x%d")+strings.Repeat(" ", 5000)), "", "", 413, "limit is 65536"},
		{"a selector of a watch", "GET", maps + "?watch=1&labelSelector=" + url.QueryEscape(list(14_000, "a!=%d")), "", "", 413, "limit is 65536"},
		{"a selector of a deletion", "DELETE", maps + "?labelSelector=" + url.QueryEscape(list(14_000, "a!=%d")), "", "", 413, "limit is 65536"},

		{"many keys, but not too many", "POST", maps, asJSON, `{"metadata":{"name":"many"},"data":{` + list(20_000, `"%d":""`) + `}}`, taken, ""},
		{"text with many commas in YAML", "POST", maps, asYAML, "metadata: {name: csv}\ndata:\n  a: |\n" + strings.Repeat("    1,2,3,4,5,6,7,8,9,{,[\n", 40_000), taken, ""},
		{"10,000 operations", "PATCH", maps + "/small", asOps, ops(10_000, `{"op":"test","path":"/data/k","value":"v"}`), taken, ""},
		{"a copy", "PATCH", maps + "/big", asOps, ops(1, `{"op":"copy","from":"/data/k","path":"/data/k%d"}`), taken, ""},
		{"some insertions", "PATCH", pods + "/args", asOps, ops(2000, `{"op":"test","path":"/spec/containers/0/args/0","value":"a"}`), taken, ""},
		{"what looks like a large exponent, in text", "POST", maps, asJSON, `{"metadata":{"name":"e"},"data":{"k":"1e999999999"}}`, taken, ""},
		{"a quantity as large as they come", "POST", pods, asJSON, limitOf(`"1e18"`), taken, ""},
		{"names in YAML", "POST", maps, asYAML, "metadata: {name: named}\ndata: {a: &a x, b: *a}", taken, ""},
	} {
		r := httptest.NewRequest(row.method, row.path, strings.NewReader(row.body))
		if row.media != "" {
			r.Header.Set("Content-Type", row.media)
		}
		w := httptest.NewRecorder()
		made := allocated(func() { h.ServeHTTP(w, r) })
		refusal := slices.Contains([]int{400, 413, 422}, w.Code)
		text := w.Body.String()
		switch {
		case row.code == taken && (refusal || w.Code >= 500), row.code != taken && w.Code != row.code, !strings.Contains(text, row.says):
			t.Errorf("%s: %d %.300s", row.what, w.Code, text)
		case row.code != taken && made > 50<<20 && !raceEnabled:
			t.Errorf("%s: %d MB were made before it was refused with %d", row.what, made>>20, w.Code)
		}
		t.Logf("%-45s %d, %5d KB", row.what, w.Code, made>>10)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// aliases is a document of n levels, each naming the one before nine times.
func aliases(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range n {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, list(9, fmt.Sprintf("*a%d", i)))
	}
	return b.String()
}

// protoLimit is a pod's message with the quantity as a limit of its container.
func protoLimit(quantity string) []byte {
	entry := pbField(pbField(nil, 1, []byte("cpu")), 2, pbField(nil, 1, []byte(quantity)))
	return pbField(nil, 2, pbField(nil, 2, pbField(nil, 8, pbField(nil, 1, entry))))
}

package hub

import (
	"fmt"
	"testing"
)

const benchMap = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","labels":{"app":"x"}},"data":{"a":"1","b":"2"}}`

func benchWrite(b *testing.B, method, path, header string, body func(i int) string) {
	h := benchHub(b)
	if a := do(h, "POST", "/api/v1/namespaces/default/configmaps", benchMap, "User-Agent: bench/1"); a.code != 201 {
		b.Fatalf("%d %s", a.code, a.body)
	}
	do(h, "POST", "/api/v1/namespaces/default/pods", `{"metadata":{"name":"p","labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"busybox","command":["sleep","3600"],"resources":{"requests":{"cpu":"10m"}}}]}}`, "User-Agent: bench/1")
	i := 0
	for b.Loop() {
		i++
		if a := do(h, method, path, body(i), "Content-Type: "+header, "User-Agent: bench/1"); a.code > 201 {
			b.Fatalf("%d %s", a.code, a.body)
		}
	}
}

func BenchmarkStrategicMap(b *testing.B) {
	benchWrite(b, "PATCH", "/api/v1/namespaces/default/configmaps/m", "application/strategic-merge-patch+json", func(i int) string { return fmt.Sprintf(`{"data":{"a":"%d"}}`, i) })
}

func BenchmarkStrategicPodStatus(b *testing.B) {
	benchWrite(b, "PATCH", "/api/v1/namespaces/default/pods/p/status", "application/strategic-merge-patch+json", func(i int) string {
		return fmt.Sprintf(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","message":"%d"}],"podIP":"10.0.0.%d","containerStatuses":[{"name":"c","ready":true,"image":"busybox","imageID":"x","restartCount":%d,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}`, i, i%250+1, i)
	})
}

func BenchmarkMergeMap(b *testing.B) {
	benchWrite(b, "PATCH", "/api/v1/namespaces/default/configmaps/m", "application/merge-patch+json", func(i int) string { return fmt.Sprintf(`{"data":{"a":"%d"}}`, i) })
}

func BenchmarkApplyMap(b *testing.B) {
	benchWrite(b, "PATCH", "/api/v1/namespaces/default/configmaps/m?fieldManager=me&force=true", "application/apply-patch+yaml", func(i int) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"data":{"a":"%d"}}`, i)
	})
}

func BenchmarkUpdateMap(b *testing.B) {
	benchWrite(b, "PUT", "/api/v1/namespaces/default/configmaps/m", "application/json", func(i int) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","labels":{"app":"x"}},"data":{"a":"%d","b":"2"}}`, i)
	})
}

func BenchmarkUpdatePodLabel(b *testing.B) {
	benchWrite(b, "PATCH", "/api/v1/namespaces/default/pods/p", "application/merge-patch+json", func(i int) string { return fmt.Sprintf(`{"metadata":{"labels":{"n":"%d"}}}`, i) })
}

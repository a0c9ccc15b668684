package load

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// event is one event as a server sends it, without what stands around it.
func event(t *testing.T, content, kind, version string) []byte {
	t.Helper()
	m := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "c", ResourceVersion: version}, Data: map[string]string{"data": "bench-at=1700000000000000001 xxx"}}
	must := func(data []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	e := metav1.WatchEvent{Type: kind}
	if content != "protobuf" {
		e.Object.Raw = must(json.Marshal(m))
		return append(must(json.Marshal(e)), '\n')
	}
	u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Raw: must(m.Marshal())}
	e.Object.Raw = append([]byte("k8s\x00"), must(u.Marshal())...)
	return must(e.Marshal())
}

func TestEvents(t *testing.T) {
	for _, content := range []string{"protobuf", "json"} {
		var stream bytes.Buffer
		for _, version := range []string{"41", "42"} {
			data := event(t, content, "MODIFIED", version)
			if content == "protobuf" {
				stream.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
			}
			stream.Write(data)
		}
		stream.WriteString("\x00\x00") // the server ends within a frame
		f := &fan{r: &run{options: options{content: content}}}
		lags, frame := f.read(&stream, nil)
		if len(lags) != 2 || f.got.Load() != 2 {
			t.Errorf("%s: %d events read, want 2", content, len(lags))
		}
		if v, err := versionOf(frame, content); v != "42" || err != nil {
			t.Errorf("%s: the last version is %q (%v), want 42", content, v, err)
		}
		if at, ok := sentAt(frame); !ok || !at.Equal(time.Unix(0, 1700000000000000001)) {
			t.Errorf("%s: sent at %v", content, at)
		}
		if _, err := versionOf(event(t, content, "ERROR", ""), content); err == nil {
			t.Errorf("%s: an error is no error", content)
		}
	}
	if v, err := versionOf(nil, "protobuf"); v != "" || err != nil {
		t.Error("a watch that saw nothing has no version")
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		ms   []float64
		q    float64
		want float64
	}{{nil, .5, 0}, {[]float64{7}, .99, 7}, {[]float64{3, 1, 2}, .5, 2}, {[]float64{4, 3, 2, 1}, 1, 4}} {
		if got := quantile(c.ms, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.ms, c.q, got, c.want)
		}
	}
}

func TestRound(t *testing.T) {
	for _, c := range []struct{ v, want float64 }{{0, 0}, {1234567, 1235000}, {0.00123456, 0.001235}, {-12.3456, -12.35}} {
		if got := round(c.v); got != c.want {
			t.Errorf("round(%v) = %v, want %v", c.v, got, c.want)
		}
	}
}

package etcd

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"sampan.dev/internal/hub/store"
)

// BenchmarkRestart opens a store of 100,000 values of 1.5 KB and reads all of them, as a start of the hub does.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	s, err := Embedded(context.Background(), EmbeddedConfig{Dir: dir, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	value := bytes.Repeat([]byte("0123456789abcdef"), 96)
	for i := 0; i < 100_000; i += 100 {
		var writes []store.Write
		for j := range 100 {
			writes = append(writes, store.Write{Key: fmt.Sprintf("/registry/pods/namespace-%d/some-deployment-5d8f-%06d", i%97, i+j), Value: value})
		}
		if err := s.Apply(context.Background(), writes); err != nil {
			b.Fatal(err)
		}
	}
	s.Close()
	for b.Loop() {
		s, err := Embedded(context.Background(), EmbeddedConfig{Dir: dir, Log: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		_, err = s.Scan(context.Background(), "/registry/pods/", func(kvs []store.KV) error { n += len(kvs); return nil })
		if err != nil || n != 100_000 {
			b.Fatalf("%d values, %v", n, err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

// BenchmarkPut is one value after the other.
func BenchmarkPut(b *testing.B) {
	s := embedded(b, EmbeddedConfig{Dir: b.TempDir()})
	value := bytes.Repeat([]byte("0123456789abcdef"), 96)
	for i := 0; b.Loop(); i++ {
		if _, err := s.Create(context.Background(), fmt.Sprintf("/registry/pods/d/%d", i), value, 0); err != nil {
			b.Fatal(err)
		}
	}
}

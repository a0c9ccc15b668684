package main

import (
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A monitor stays while somebody was promised it, and goes after its last container.
func TestLeave(t *testing.T) {
	dir := t.TempDir()
	control, err := listen(filepath.Join(dir, "ctl"))
	if err != nil {
		t.Fatal(err)
	}
	containers := 1
	var mu sync.Mutex
	m := &monitor{control: control, gone: make(chan struct{}), containers: func() int {
		mu.Lock()
		defer mu.Unlock()
		return containers
	}}
	go m.answer()
	ask := func() error {
		c, err := net.Dial("unix", filepath.Join(dir, "ctl"))
		if err != nil {
			return err
		}
		defer c.Close()
		if n, _ := c.Read(make([]byte, 1)); n != 1 {
			return errors.New("refused")
		}
		return nil
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	m.took()
	m.idle() // there is one
	mu.Lock()
	containers = 0
	mu.Unlock()
	if err := ask(); err != nil { // another is announced
		t.Fatal(err)
	}
	m.idle()
	select {
	case <-m.gone:
		t.Fatal("left although a container was announced")
	case <-time.After(100 * time.Millisecond):
	}
	m.took() // it came, and went
	select {
	case <-m.gone:
	case <-time.After(10 * time.Second):
		t.Fatal("still there")
	}
	if err := ask(); err == nil {
		t.Error("promised after it had left")
	}
}

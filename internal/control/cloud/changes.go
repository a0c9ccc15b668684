package cloud

import "sync"

// Changes tells loops that something in the cloud is no longer as it was. A nil one tells nobody.
type Changes struct {
	mu struct {
		sync.Mutex
		tell []func()
	}
}

func (c *Changes) add(f func()) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.tell = append(c.mu.tell, f)
}

// Tell has the loops look at everything again.
func (c *Changes) Tell() {
	c.mu.Lock()
	tell := c.mu.tell
	c.mu.Unlock()
	for _, f := range tell {
		f()
	}
}

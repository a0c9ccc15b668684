package cloud

import (
	loops "sampan.dev/internal/control/cloud"
)

// Config of a cloud controller manager. Make one with New.
type Config struct {
	Provider string // by name; see providers
	APIPort  uint16 // of the API server where it is on a node; 0: it is on none
}

// New returns the defaults.
func New() *Config { return &Config{} }

// Loops makes what control runs of the flags. Errors are of the command line.
func (c *Config) Loops() (loops.Config, error) {
	p, err := c.open()
	return loops.Config{Provider: p}, err
}

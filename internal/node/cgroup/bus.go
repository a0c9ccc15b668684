package cgroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// busWait bounds what is asked of systemd: a machine under load takes seconds for a unit.
const busWait = 30 * time.Second

// bus is systemd on the system's bus, or on its own socket where there is no bus. It is connected when first asked, and anew when the
// connection has broken, as it does when the bus is restarted. mu guards conn alone; calls run side by side.
type bus struct {
	mu   sync.Mutex
	conn *systemd.Conn
}

// connected is the connection that lasts.
func (b *bus) connected() (*systemd.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.conn, nil
	}
	if b.conn != nil {
		b.conn.Close()
	}
	var err error
	if b.conn, err = systemd.NewWithContext(context.Background()); err != nil {
		b.conn = nil
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	return b.conn, nil
}

func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
}

// ask calls systemd, and once more where the connection broke meanwhile: what is asked here may be asked twice.
func (b *bus) ask(call func(ctx context.Context, c *systemd.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	for again := true; ; again = false {
		c, err := b.connected()
		if err != nil {
			return err
		}
		if err = call(ctx, c); !again || !errors.Is(err, dbus.ErrClosed) {
			return err
		}
	}
}

// job runs a job of systemd's to its end.
func (b *bus) job(name string, begin func(ctx context.Context, c *systemd.Conn, done chan<- string) error) error {
	return b.ask(func(ctx context.Context, c *systemd.Conn) error {
		done := make(chan string, 1)
		if err := begin(ctx, c, done); err != nil {
			return err
		}
		select {
		case result := <-done:
			if result == "done" {
				return nil
			}
			_ = c.ResetFailedUnitContext(ctx, name)
			return fmt.Errorf("the job ended as %q", result)
		case <-ctx.Done():
			return errors.New("systemd did not answer in time")
		}
	})
}

// Start implements units.
func (b *bus) Start(name string, properties []systemd.Property) error {
	err := b.job(name, func(ctx context.Context, c *systemd.Conn, done chan<- string) error {
		_, err := c.StartTransientUnitContext(ctx, name, "replace", properties, done)
		return err
	})
	if err != nil && !named(err, "org.freedesktop.systemd1.UnitExists") {
		return fmt.Errorf("create systemd unit %s: %w", name, err)
	}
	return nil
}

// Set implements units.
func (b *bus) Set(name string, properties []systemd.Property) error {
	err := b.ask(func(ctx context.Context, c *systemd.Conn) error {
		return c.SetUnitPropertiesContext(ctx, name, true, properties...)
	})
	if err != nil {
		return fmt.Errorf("set properties of systemd unit %s: %w", name, err)
	}
	return nil
}

// Stop implements units.
func (b *bus) Stop(name string) error {
	err := b.job(name, func(ctx context.Context, c *systemd.Conn, done chan<- string) error {
		_, err := c.StopUnitContext(ctx, name, "replace", done)
		return err
	})
	if err != nil && !named(err, "org.freedesktop.systemd1.NoSuchUnit") {
		return fmt.Errorf("stop systemd unit %s: %w", name, err)
	}
	return nil
}

// named reports whether systemd answered with that error.
func named(err error, name string) bool {
	var answer dbus.Error
	return errors.As(err, &answer) && answer.Name == name
}

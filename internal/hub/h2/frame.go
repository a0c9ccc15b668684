package h2

import (
	"encoding/binary"
	"time"

	"golang.org/x/net/http2"
)

func (c *conn) frame(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.headers(f)
	case *http2.DataFrame:
		return c.data(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		return c.ping(f)
	case *http2.RSTStreamFrame:
		return c.reset(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
		return c.trifle(1)
	case *http2.GoAwayFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.leaving = true // it opens no more streams; what it has open goes on
		return c.trifleLocked(1)
	}
	return c.trifle(1) // of a kind that is not known, which is to be ignored
}

// idle reports whether the client has not opened a stream yet; nobody ever opens those of even numbers.
func (c *conn) idle(id uint32) bool { return id%2 != 1 || id > c.last.Load() }

func (c *conn) settings(f *http2.SettingsFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.trifleLocked(1 + f.NumSettings()); err != nil {
		return err
	}
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.mu.encoder.SetMaxDynamicTableSizeLimit(min(s.Val, 4096))
		case http2.SettingMaxFrameSize:
			c.mu.maxFrame = int(min(s.Val, sendFrame))
		case http2.SettingInitialWindowSize:
			grown := int64(s.Val) - c.mu.initial
			c.mu.initial = int64(s.Val)
			for _, st := range c.mu.streams {
				if st.window += grown; st.window > maxWindow {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.changed.Broadcast()
	c.frameLocked(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	c.nudgeLocked()
	return nil
}

func (c *conn) ping(f *http2.PingFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.trifleLocked(1); err != nil {
		return err
	}
	if f.IsAck() {
		c.mu.pinged = time.Time{}
		return nil
	}
	c.frameLocked(http2.FramePing, http2.FlagPingAck, 0, len(f.Data))
	c.mu.out = append(c.mu.out, f.Data[:]...)
	c.nudgeLocked()
	return nil
}

const maxWindow = 1<<31 - 1

func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.credit >= bytesATrifle {
		c.mu.credit -= bytesATrifle
	} else if err := c.trifleLocked(1); err != nil {
		return err
	}
	if f.StreamID == 0 {
		if c.mu.window += int64(f.Increment); c.mu.window > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.changed.Broadcast()
		return nil
	}
	s := c.mu.streams[f.StreamID]
	if s == nil {
		if c.idle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return nil
	}
	if s.window += int64(f.Increment); s.window > maxWindow {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	c.changed.Broadcast()
	return nil
}

// trifle is trifleLocked for who does not hold the lock.
func (c *conn) trifle(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trifleLocked(n)
}

// windowLocked lets the client send n bytes more, on a stream or (0) on all together.
func (c *conn) windowLocked(id, n uint32) {
	c.frameLocked(http2.FrameWindowUpdate, 0, id, 4)
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, n)
}

func (c *conn) reset(f *http2.RSTStreamFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	s := c.mu.streams[f.StreamID]
	if s == nil {
		return c.trifleLocked(1)
	}
	answered := !s.restBy.IsZero()
	c.closeLocked(s, false)
	if answered {
		return nil
	}
	return c.cancelledLocked()
}

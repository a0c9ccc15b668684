package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc/mem"
)

// end is one end of a stream in memory. A message is encoded when it is sent; few wait, as in gRPC.
type end struct {
	ctx    context.Context
	cancel context.CancelFunc
	in     <-chan []byte
	out    chan<- []byte
	kinds  *counter
}

// counter counts packets by kind.
type counter struct {
	sync.Mutex
	of map[wire.Kind]int
}

func (c *counter) get(k wire.Kind) int {
	c.Lock()
	defer c.Unlock()
	return c.of[k]
}

func (e *end) Context() context.Context { return e.ctx }

func (e *end) SendMsg(m any) error {
	e.kinds.Lock()
	e.kinds.of[m.(*wire.Packet).Kind]++
	e.kinds.Unlock()
	b, err := wire.Codec{}.Marshal(m)
	if err != nil {
		return err
	}
	bytes := b.Materialize()
	b.Free()
	select {
	case e.out <- bytes:
		return nil
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

func (e *end) RecvMsg(m any) error {
	select {
	case b := <-e.in:
		return wire.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

// pair is two links that are joined; dial is what the far one does. They end with the test.
func pair(t *testing.T, credit int64, dial DialFunc) (near *Link, kinds *counter) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a, b := make(chan []byte, 4), make(chan []byte, 4)
	kinds = &counter{of: map[wire.Kind]int{}}
	near = New(Config{Stream: &end{ctx, cancel, a, b, kinds}, Credit: credit})
	far := New(Config{Stream: &end{ctx, cancel, b, a, kinds}, Credit: credit, Dial: dial})
	var wg sync.WaitGroup
	wg.Go(func() { _ = near.Run() })
	wg.Go(func() { _ = far.Run() })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if n := near.Len() + far.Len(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return near, kinds
}

// echo dials what sends back what it gets.
func echo(context.Context, string, string) (net.Conn, error) {
	a, b := net.Pipe()
	go func() {
		_, _ = io.Copy(b, b)
		b.Close()
	}()
	return a, nil
}

// held dials what does what its address says: "source" sends without end, "sink" takes all, "stuck" takes nothing.
func held(_ context.Context, _, address string) (net.Conn, error) {
	a, b := net.Pipe()
	switch address {
	case "source":
		go func() {
			buf := make([]byte, 16<<10)
			for {
				if _, err := b.Write(buf); err != nil {
					b.Close()
					return
				}
			}
		}()
	case "sink":
		go func() {
			_, _ = io.Copy(io.Discard, b)
			b.Close()
		}()
	case "echo":
		return echo(nil, "", "")
	}
	return a, nil
}

func both(t *testing.T, f func(t *testing.T, credit int64)) {
	for _, credit := range []int64{0, Room} {
		t.Run(fmt.Sprintf("credit %d", credit), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, credit) }) })
	}
}

func TestBytesArriveAsTheyWereSent(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		l, _ := pair(t, credit, echo)
		c, err := l.Dial(t.Context(), "tcp", "192.0.2.7:80")
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr().String() != "192.0.2.7:80" {
			t.Errorf("it is connected to %s", c.RemoteAddr())
		}
		want := make([]byte, 5<<20)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		go func() { _, _ = c.Write(want) }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, other bytes", err)
		}
		c.Close()
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after it was closed: %v", err)
		}
	})
}

// What was sent before the far end closed is read, then the end.
func TestFarEndCloses(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		l, kinds := pair(t, credit, func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			go func() {
				_, _ = b.Write([]byte("last words"))
				b.Close()
			}()
			return a, nil
		})
		c, err := l.Dial(t.Context(), "tcp", "x:1")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "last words" {
			t.Errorf("%q, %v", got, err)
		}
		c.Close()
		synctest.Wait()
		if n := kinds.get(wire.CloseRequest); n != 0 {
			t.Errorf("the far end is asked %d times to close what it has closed", n)
		}
	})
}

func TestRefusalIsTold(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		l, _ := pair(t, credit, func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route to host") })
		if _, err := l.Dial(t.Context(), "tcp", "192.0.2.7:80"); err == nil || err.Error() != "dial tcp 192.0.2.7:80: no route to host" {
			t.Error(err)
		}
	})
}

// A connection that nobody reads does not hold up the others: with credit at once, without it after a while, by being closed.
func TestASlowConnectionDoesNotStopTheOthers(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		l, _ := pair(t, credit, held)
		slow, err := l.Dial(t.Context(), "tcp", "source")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // its room is full
		begun := time.Now()
		other, err := l.Dial(t.Context(), "tcp", "echo")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = other.Write([]byte("hello")) }()
		if _, err := io.ReadFull(other, make([]byte, 5)); err != nil {
			t.Error(err)
		}
		took := time.Since(begun)
		if credit > 0 {
			if took != 0 {
				t.Errorf("the other one waited for %v", took)
			}
			if n, err := slow.Read(make([]byte, 100)); n == 0 {
				t.Errorf("the slow one has ended: %v", err)
			}
		} else if took > stalled+time.Second {
			t.Errorf("the other one waited for %v", took)
		}
		other.Close()
		slow.Close()
	})
}

// The same the other way: what the far end's connection does not take.
func TestASlowReceiverDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := pair(t, Room, held)
		slow, err := l.Dial(t.Context(), "tcp", "stuck")
		if err != nil {
			t.Fatal(err)
		}
		wrote := make(chan int, 1)
		go func() {
			n, _ := slow.Write(make([]byte, 3*Room))
			wrote <- n
		}()
		synctest.Wait()
		select {
		case n := <-wrote:
			t.Errorf("%d bytes were taken that nobody reads", n)
		default:
		}
		other, err := l.Dial(t.Context(), "tcp", "echo")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = other.Write([]byte("hello")) }()
		if _, err := io.ReadFull(other, make([]byte, 5)); err != nil {
			t.Error(err)
		}
		other.Close()
		slow.Close()
		if n := <-wrote; n > Room {
			t.Errorf("%d bytes were sent, there is room for %d", n, Room)
		}
	})
}

// A far end that sends more than it was allowed loses the connection.
func TestCreditIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		in, out := make(chan []byte, 4), make(chan []byte, 100)
		kinds := &counter{of: map[wire.Kind]int{}}
		l := New(Config{Stream: &end{ctx, cancel, in, out, kinds}, Credit: Room})
		go func() { _ = l.Run() }()
		far := &end{ctx, cancel, out, in, kinds}
		go func() {
			var p wire.Packet
			_ = far.RecvMsg(&p)
			_ = far.SendMsg(&wire.Packet{Kind: wire.DialResponse, Random: p.Random, Conn: 9})
			for range Room/piece + 2 {
				_ = far.SendMsg(&wire.Packet{Kind: wire.Data, Conn: 9, Bytes: mem.SliceBuffer(make([]byte, piece))})
			}
		}()
		c, err := l.Dial(ctx, "tcp", "x:1")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := io.Copy(io.Discard, c); err == nil || !strings.Contains(err.Error(), errFlow.Error()) {
			t.Error(err)
		}
		if kinds.get(wire.CloseRequest) != 1 {
			t.Error("the far end is not told")
		}
	})
}

// A dial that is taken back leaves nothing, whenever that is: before it is sent, while it is being made, when its answer is on
// the way.
func TestCancelledDialsLeaveNothing(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		var mu sync.Mutex
		open := 0
		l, _ := pair(t, credit, func(ctx context.Context, _, address string) (net.Conn, error) {
			wait, _ := time.ParseDuration(address)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				if address == "5ms" { // one that does not notice
					break
				}
				return nil, ctx.Err()
			}
			a, b := net.Pipe()
			mu.Lock()
			open++
			mu.Unlock()
			go func() {
				_, _ = io.Copy(io.Discard, b)
				mu.Lock()
				open--
				mu.Unlock()
				b.Close()
			}()
			return a, nil
		})
		var wg sync.WaitGroup
		for i := range 3000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%11)*time.Millisecond)
				defer cancel()
				c, err := l.Dial(ctx, "tcp", []string{"0s", "3ms", "5ms", "1h"}[i%4])
				if err == nil {
					c.Close()
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second) // of the test's own time
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if open != 0 || l.Len() != 0 {
			t.Errorf("%d connections are open, %d known", open, l.Len())
		}
	})
}

// Ten thousand connections, one after the other and many at a time, leave neither goroutines nor memory.
func TestManyConnectionsLeaveNothing(t *testing.T) {
	for _, credit := range []int64{0, Room} {
		l, _ := pair(t, credit, echo)
		round := func(times int) {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					for range times / 20 {
						c, err := l.Dial(context.Background(), "tcp", "x:1")
						if err != nil {
							t.Error(err)
							return
						}
						_, _ = c.Write([]byte("hello"))
						if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
							t.Error(err)
						}
						c.Close()
					}
				})
			}
			wg.Wait()
		}
		round(1000) // pools and maps have their size
		before, had := settled(l)
		round(10_000)
		after, has := settled(l)
		if has > had {
			t.Errorf("%d goroutines, %d before", has, had)
		}
		if after > before+1<<20 {
			t.Errorf("%d bytes of memory, %d before", after, before)
		}
	}
}

// settled waits until all that was closed has gone, and measures.
func settled(l *Link) (heap uint64, goroutines int) {
	for least, same := 1<<30, 0; same < 50; {
		runtime.Gosched()
		time.Sleep(time.Millisecond)
		if n := runtime.NumGoroutine(); n < least || l.Len() > 0 {
			least, same = n, 0
		} else {
			same++
		}
		goroutines = runtime.NumGoroutine()
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, goroutines
}

func TestDeadlines(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		l, _ := pair(t, credit, held)
		c, err := l.Dial(t.Context(), "tcp", "stuck")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		_ = c.SetReadDeadline(begun.Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if credit == 0 {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write(make([]byte, 4*Room)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// When the stream ends, all that waits learns it.
func TestEndOfTheLink(t *testing.T) {
	both(t, func(t *testing.T, credit int64) {
		ctx, cancel := context.WithCancel(context.Background())
		a, b := make(chan []byte, 4), make(chan []byte, 4)
		kinds := &counter{of: map[wire.Kind]int{}}
		l := New(Config{Stream: &end{ctx, cancel, a, b, kinds}, Credit: credit})
		far := New(Config{Stream: &end{ctx, cancel, b, a, kinds}, Credit: credit, Dial: func(ctx context.Context, n, address string) (net.Conn, error) {
			if address == "never" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return held(ctx, n, address)
		}})
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Run() })
		wg.Go(func() { _ = far.Run() })
		c, err := l.Dial(t.Context(), "tcp", "stuck")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("a read ends with %v", err)
			}
		})
		wg.Go(func() {
			if _, err := l.Dial(context.Background(), "tcp", "never"); !errors.Is(err, ErrEnded) {
				t.Errorf("a dial ends with %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if _, err := l.Dial(t.Context(), "tcp", "x:1"); !errors.Is(err, ErrEnded) {
			t.Error(err)
		}
	})
}

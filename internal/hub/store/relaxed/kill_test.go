package relaxed

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd"
)

// TestKill writes from a child process over a real etcd and kills it in the middle, several times over: no acknowledged
// revision is used again, every acknowledged holder of a lease is there.
func TestKill(t *testing.T) {
	if dir := os.Getenv("SAMPAN_RELAXED_CHILD"); dir != "" {
		child(t, dir)
	}
	dir := t.TempDir()
	var last int64
	holders := map[string]int{} // the newest holder's number; the next may have been written and not acknowledged
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "SAMPAN_RELAXED_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		hang := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		n := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var rev int64
			var key string
			var who int
			switch k, _ := fmt.Sscanf(lines.Text(), "wrote %d %s %d", &rev, &key, &who); k {
			case 3:
				if who > 0 {
					holders[key] = who
				}
			default:
				t.Log(lines.Text())
				continue
			}
			if rev <= last {
				t.Fatalf("round %d: acknowledged %d after %d", round, rev, last)
			}
			last = rev
			if n++; n == 300+111*round {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		hang.Stop()
		if n < 300 {
			t.Fatalf("round %d: %d writes", round, n)
		}
	}
	s, e := overEtcd(t, dir)
	defer e.Close()
	defer s.Close()
	if rev, err := s.Revision(t.Context(), ""); err != nil || rev <= last {
		t.Errorf("begins at %d, acknowledged %d; %v", rev, last, err)
	}
	for key, who := range holders {
		kv, _, err := s.Get(t.Context(), key)
		got := number(kv.Value)
		if err != nil || got != who && got != who+1 {
			t.Errorf("%s holds %q, want %d; %v", key, kv.Value, who, err)
		}
	}
}

func overEtcd(t *testing.T, dir string) (*Store, store.Store) {
	e, err := etcd.Embedded(context.Background(), etcd.EmbeddedConfig{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, e), e
}

// number is the holder's in a lease of the child.
func number(value []byte) (n int) {
	fmt.Sscanf(string(value), "w%d ", &n)
	return n
}

// child writes until it is killed: mostly events, now and then a renewal, at times another holder.
func child(t *testing.T, dir string) {
	ctx := context.Background()
	s, _ := overEtcd(t, dir)
	kv, _, _ := s.Get(ctx, leases+"l")
	holder, held := number(kv.Value), kv.Revision
	for i := 0; ; i++ {
		var err error
		var rev int64
		key, who := fmt.Sprintf("%s%d-%d", events, os.Getpid(), i), 0
		switch {
		case i%10 != 0:
			rev, err = s.Create(ctx, key, []byte("x"), 3600)
		default:
			if key = leases + "l"; i%50 == 0 {
				holder++
			}
			who = holder
			value := fmt.Appendf(nil, "w%d %d", holder, i)
			if held == 0 {
				rev, err = s.Create(ctx, key, value, 0)
			} else {
				rev, err = s.Update(ctx, key, value, held, 0)
			}
			held = rev
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("wrote", rev, key, who)
	}
}

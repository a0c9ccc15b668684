package etcd

import (
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// fate is how a member of etcd ends that cannot go on. etcd knows one answer to a disk that refuses a write: it logs at the
// level Fatal, which ends the process, and in other places at Panic. Here that ends the member alone. Its caller finds it
// failed, lets go of it, and opens another on the same directory when the disk is well again.
//
// A failed member still runs for a moment, and what it says then is not to be believed: it would acknowledge what is on no
// disk. So the failure is noted, and its files are taken away from it (ended), before etcd's code goes on; and whoever asked
// it something looks here before passing the answer on.
type fate struct {
	ended func() // called once, before the failing goroutine goes on

	once   sync.Once
	failed chan struct{} // closed when the member has failed
	why    error         // set before failed is closed
}

func newFate(ended func()) *fate { return &fate{ended: ended, failed: make(chan struct{})} }

// err is why the member failed; nil while it is well.
func (f *fate) err() error {
	select {
	case <-f.failed:
		return f.why
	default:
		return nil
	}
}

// fail notes the first failure.
func (f *fate) fail(why error) {
	f.once.Do(func() {
		f.why = why
		close(f.failed)
		f.ended()
	})
}

// passable are the complaints after which etcd's code may run on, so that the member can be stopped in order: it finds its
// files gone and nobody believes it any more. After any other the goroutine must not go on, since it may hold what is only
// half made.
var passable = map[string]bool{
	"failed to save Raft hard state and entries": true,
	"failed to save Raft snapshot":               true,
	"failed to sync Raft snapshot":               true,
	"failed to release Raft wal":                 true,
	"failed to save snapshot":                    true,
	"failed to release wal":                      true,
	"failed to close Raft storage":               true,
	"failed to commit tx":                        true,
	"failed to rollback tx":                      true,
	"failed to purge wal file":                   true,
	"failed to purge snap file":                  true,
	"failed to purge snap db file":               true,
}

// OnWrite implements zapcore.CheckWriteHook, for the levels Fatal and Panic.
func (f *fate) OnWrite(ce *zapcore.CheckedEntry, fields []zap.Field) {
	f.fail(complaint(ce.Message, fields))
	if !passable[ce.Message] {
		select {}
	}
}

// complaint is what etcd logged, as an error.
func complaint(message string, fields []zap.Field) error {
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			return fmt.Errorf("%s: %w", message, err)
		}
	}
	said := message
	for _, field := range fields {
		if field.Key == "panic" {
			said = fmt.Sprintf("%s: %v", message, field.Interface)
		}
	}
	return errors.New(said)
}

package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/hold"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// A join token must not stand in the list of processes, which everybody on a machine reads: for as long as the agent runs, and it
// is good for a day. So it can be given in a file or an inherited descriptor, and an agent that finds it among its arguments
// starts itself again without.

// TokenSource is where an agent's token comes from.
type TokenSource struct {
	file string // "-" is standard input
	fd   int    // 0: none
}

func (t *TokenSource) Flags(f *pflag.FlagSet, cfg *config.Config) {
	f.StringVar(&cfg.Token, "token", "", "what 'sampan token' on the server printed; needed only to join")
	f.StringVar(&t.file, "token-file", "", "file that holds the token; - is standard input")
	f.IntVar(&t.fd, "token-fd", 0, "descriptor that the token is read from")
	_ = f.MarkHidden("token-fd") // for ourselves
}

// Settle reads the token from where it is.
func (t *TokenSource) Settle(cfg *config.Config) error {
	in := os.Stdin
	switch {
	case t.file == "" && t.fd == 0:
		return nil
	case cfg.Token != "":
		return flag.Usage{Err: errors.New("--token and --token-file: want one of them")}
	case t.fd != 0:
		in = os.NewFile(uintptr(t.fd), "token")
	case t.file != "-":
		f, err := os.Open(t.file)
		if err != nil {
			return flag.Usage{Err: fmt.Errorf("--token-file: %w", err)}
		}
		in = f
	}
	if in != os.Stdin {
		defer in.Close()
	}
	data, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return flag.Usage{Err: fmt.Errorf("--token-file: %w", err)}
	}
	if cfg.Token = strings.TrimSpace(string(data)); cfg.Token == "" {
		return flag.Usage{Err: errors.New("--token-file: it is empty")}
	}
	return nil
}

// HideToken starts this program again, as the same process, with the token in a pipe instead of among its arguments. It returns
// only when there is nothing to hide or that fails, in which case things go on as they are.
func HideToken(args []string) error {
	rest, token := withoutToken(args)
	if token == "" {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	r, err := hold.SecretPipe(token)
	if err != nil {
		return err
	}
	defer r.Close()
	// What is passed on must stay open over the exec; the agent closes it when it has read it.
	if _, err := unix.FcntlInt(r.Fd(), unix.F_SETFD, 0); err != nil {
		return err
	}
	rest = append(rest, "--token-fd", strconv.Itoa(int(r.Fd())))
	return syscall.Exec(exe, append([]string{os.Args[0]}, rest...), os.Environ())
}

// withoutToken takes the token out of a command line.
func withoutToken(args []string) (rest []string, token string) {
	for i := 0; i < len(args); i++ {
		if value, ok := strings.CutPrefix(args[i], "--token="); ok {
			token = value
			continue
		}
		if args[i] == "--token" && i+1 < len(args) {
			i++
			token = args[i]
			continue
		}
		rest = append(rest, args[i])
	}
	return rest, token
}

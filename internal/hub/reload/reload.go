package reload

import (
	"bytes"
	"context"
	"os"
	"time"
)

// Every is how often a file is looked at. A look is one stat; the file is read when that differs.
const Every = 2 * time.Second

// Follow calls changed with a file's content each time that this differs from what it was last, first from have; it returns when ctx
// ends. A file that cannot be read, or is empty, is one that somebody is writing: it is looked at again. What changed cannot use is
// offered again only when it changes once more.
func Follow(ctx context.Context, path string, have []byte, changed func(data []byte)) {
	t := time.NewTicker(Every)
	defer t.Stop()
	var seen os.FileInfo
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now, err := os.Stat(path)
		if err != nil || seen != nil && os.SameFile(seen, now) && seen.ModTime().Equal(now.ModTime()) && seen.Size() == now.Size() {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			continue
		}
		seen = now
		if !bytes.Equal(data, have) {
			have = data
			changed(data)
		}
	}
}

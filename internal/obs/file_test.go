package obs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// However much is logged, the files stay few and small, the newest records are there in their order, and none is divided.
func TestFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, []byte("of an earlier run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFile(path, false, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const records = 1000
	for i := range records {
		if _, err := fmt.Fprintf(f, "record %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(path + "*")
	if len(files) != logKept+1 {
		t.Errorf("files: %v", files)
	}
	var all string
	for n := logKept; n >= 0; n-- {
		name := path
		if n > 0 {
			name = numbered(path, n)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 1000 {
			t.Errorf("%s has %d bytes", name, len(data))
		}
		all += string(data)
	}
	lines := strings.Split(strings.TrimSpace(all), "\n")
	for i, line := range lines {
		if want := fmt.Sprintf("record %d", records-len(lines)+i); line != want {
			t.Fatalf("line %d is %q, want %q", i, line, want)
		}
	}
	if len(lines) < 200 {
		t.Errorf("only %d records are kept", len(lines))
	}
}

// A record that is larger than a file has one of its own.
func TestLargeRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	f, err := openFile(path, false, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{10, 5000, 10} {
		if _, err := f.Write([]byte(strings.Repeat("x", n))); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int64{path: 10, numbered(path, 1): 5000, numbered(path, 2): 10} {
		if info, err := os.Stat(name); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// What a process says as it dies is in the newest file, also when the log was turned over before.
func TestLastWordsAreInTheLog(t *testing.T) {
	if path := os.Getenv("SAMPAN_TEST_LOG"); path != "" {
		f, err := openFile(path, true, 100)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			fmt.Fprintf(f, "record %d\n", i)
		}
		go panic("the end")
		select {}
	}
	path := filepath.Join(t.TempDir(), "x.log")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestLastWordsAreInTheLog$")
	cmd.Env = append(os.Environ(), "SAMPAN_TEST_LOG="+path)
	if err := cmd.Run(); err == nil {
		t.Fatal("it did not die")
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "record 49\n") || !strings.Contains(string(data), "panic: the end") {
		t.Errorf("%v: %s", err, data)
	}
}

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// place makes a container where containerd and the monitor keep theirs below the state directory, its root mounted.
func (r *rig) place(id string, change func(*specs.Spec), args ...string) {
	r.Helper()
	bundle := filepath.Join(r.dir, "io.containerd.runtime.v2.task", "test", id)
	r.must(os.MkdirAll(filepath.Dir(bundle), 0o755))
	r.must(os.Rename(r.bundle(id, args...), bundle))
	root := filepath.Join(bundle, "rootfs")
	r.must(mount.All([]mount.Mount{{Type: "bind", Source: root, Options: []string{"rbind"}}}, root))
	if change != nil {
		file := filepath.Join(bundle, "config.json")
		body, err := os.ReadFile(file)
		r.must(err)
		var spec specs.Spec
		r.must(json.Unmarshal(body, &spec))
		change(&spec)
		body, err = json.Marshal(spec)
		r.must(err)
		r.must(os.WriteFile(file, body, 0o600))
	}
	opts, err := typeurl.MarshalAnyToProto(&runcoptions.Options{Root: filepath.Join(r.dir, "runc")})
	r.must(err)
	_, err = r.svc.Create(r.ctx, &taskAPI.CreateTaskRequest{ID: id, Bundle: bundle, Options: opts})
	r.must(err)
}

// remains is what there is of a container: processes, control groups, runc's state, a mounted root.
func (r *rig) remains(id string) (out []string) {
	r.Helper()
	groups := groupsOf(filepath.Join(r.dir, "io.containerd.runtime.v2.task", "test", id))
	for _, dir := range groups {
		for _, pid := range processesIn(dir) {
			out = append(out, "process "+strconv.Itoa(pid))
		}
	}
	if len(groups) > 0 {
		out = append(out, "control groups")
	}
	if isDir(filepath.Join(r.dir, "runc", "test", id)) {
		out = append(out, "state")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	r.must(err)
	if strings.Contains(string(mounts), filepath.Join("test", id, "rootfs")+" ") {
		out = append(out, "root")
	}
	return out
}

// What a dead monitor has left is gone before the next one serves, whatever state it was in.
func TestSweep(t *testing.T) {
	hostPIDs := func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	}
	for _, row := range []struct {
		name   string
		change func(*specs.Spec)
		args   []string
		before func(r *rig, id string)
	}{
		{"runs", nil, []string{"sleep", "1000"}, func(r *rig, id string) { r.start(id, "") }},
		{"deaf", nil, []string{"sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"}, func(r *rig, id string) { r.start(id, "") }},
		{"made", nil, []string{"sleep", "1000"}, func(*rig, string) {}},
		{"frozen", nil, []string{"sleep", "1000"}, func(r *rig, id string) {
			r.start(id, "")
			_, err := r.svc.Pause(r.ctx, &taskAPI.PauseRequest{ID: id})
			r.must(err)
		}},
		{"beside", nil, []string{"sleep", "1000"}, func(r *rig, id string) {
			r.start(id, "")
			_, err := r.svc.Exec(r.ctx, &taskAPI.ExecProcessRequest{ID: id, ExecID: "e", Spec: processSpec(r.T, "sleep", "1000")})
			r.must(err)
			r.start(id, "e")
		}},
		{"shared", hostPIDs, []string{"sh", "-c", "sleep 1000 & sleep 1001"}, func(r *rig, id string) { r.start(id, "") }},
		{"orphans", hostPIDs, []string{"sleep", "1000"}, func(r *rig, id string) { // the first process ended when nobody was there to end the rest
			r.start(id, "")
			c, err := r.svc.find(r.ctx, id)
			r.must(err)
			cmd := exec.Command("sleep", "1000")
			r.must(cmd.Start())
			r.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			for _, dir := range groupsOf(c.bundle.dir) {
				r.must(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0))
			}
		}},
		{"unwritten", nil, []string{"sleep", "1000"}, func(r *rig, id string) { // killed before runc's state was written
			r.start(id, "")
			r.must(os.Remove(filepath.Join(r.dir, "runc", "test", id, "state.json")))
		}},
		{"unbundled", nil, []string{"sleep", "1000"}, func(r *rig, id string) { // containerd gave up and removed the bundle
			r.start(id, "")
			bundle := filepath.Join(r.dir, "io.containerd.runtime.v2.task", "test", id)
			r.must(mount.UnmountRecursive(filepath.Join(bundle, "rootfs"), 0))
			r.must(os.Rename(bundle, filepath.Join(r.dir, "gone")))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			id := row.name
			r.place(id, row.change, row.args...)
			row.before(r, id)
			c, err := r.svc.find(r.ctx, id)
			r.must(err)
			pid := int(c.first.pid.Load())
			begun := time.Now()
			sweep(r.dir, nil, r.svc.log)
			if took := time.Since(begun); took > sweepLimit {
				t.Errorf("it took %v", took)
			}
			if left := r.remains(id); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			<-c.first.done // its parent, which lives in this test, sees the end
			if isDir(filepath.Join("/proc", strconv.Itoa(pid))) {
				t.Errorf("process %d is there", pid)
			}
		})
	}
}

// A container whose monitor lives is left alone by another one.
func TestSweepLeavesOwned(t *testing.T) {
	r := newRig(t)
	r.place("owned", nil, "sleep", "1000")
	r.start("owned", "")
	r.place("made", nil, "sleep", "1000")
	before := r.remains("owned")
	sweep(r.dir, []int{os.Getpid()}, r.svc.log)
	if after := r.remains("owned"); !slices.Equal(after, before) {
		t.Errorf("before %v, after %v", before, after)
	}
	if len(r.remains("made")) < 3 {
		t.Errorf("left of what was just made: %v", r.remains("made"))
	}
	sweep(r.dir, []int{1 << 22}, r.svc.log) // there is a monitor, but not theirs
	for _, id := range []string{"owned", "made"} {
		if left := r.remains(id); len(left) > 0 {
			t.Errorf("left of %s: %v", id, left)
		}
	}
}

// A monitor is known by what it was started with.
func TestMonitorsOf(t *testing.T) {
	dir := t.TempDir()
	begin := func(args ...string) int {
		cmd := exec.Command("/bin/sh")
		cmd.Args = args
		in, err := cmd.StdinPipe() // it reads until this is closed
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
		return cmd.Process.Pid
	}
	want := begin("/opt/bin/sampan-monitor", "-c", "read x", "-dir", dir, "-events", "e")
	begin("sampan-monitor", "-c", "read x", "-dir", dir+"2")
	begin("sampan-shim", "-c", "read x", "-dir", dir)
	if got := monitorsOf(dir); !slices.Equal(got, []int{want}) {
		t.Errorf("%v, want %d", got, want)
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is the process that is killed, and what belongs to it on this machine.
type cluster struct {
	bin, dir, log string
	args          []string
	cmd           *exec.Cmd
}

// start starts the cluster and returns when its API server and its node are ready, with the time that took.
func (c *cluster) start() (time.Duration, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	begun := time.Now()
	c.cmd = exec.Command(filepath.Join(c.bin, "sampan"), append([]string{"up", "--no-merge", "--data-dir", c.dir}, c.args...)...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(begun) < 2*time.Minute {
		if _, err := c.kubectl(nil, "get", "--raw", "/readyz"); err == nil {
			if out, _ := c.kubectl(nil, "get", "nodes", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`); out == "True" {
				return time.Since(begun), nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, fmt.Errorf("the cluster is not ready within two minutes; see %s", c.log)
}

// kill ends the cluster's process as a crash would, and its container runtime with it when asked. Containers live on.
func (c *cluster) kill(runtime bool) {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	if runtime {
		for _, pid := range c.containerd() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// containerd is the cluster's container runtime, known by its configuration file.
func (c *cluster) containerd() (out []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		line, _ := os.ReadFile(file)
		args := bytes.Split(line, []byte{0})
		if filepath.Base(string(args[0])) == "containerd" && bytes.Contains(line, []byte(filepath.Join(c.dir, "containerd", "config.toml"))) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			out = append(out, pid)
		}
	}
	return out
}

// purge takes the cluster away, but for the log of its process.
func (c *cluster) purge() error {
	if c.cmd != nil {
		c.kill(false)
	}
	if out, err := exec.Command(filepath.Join(c.bin, "sampan"), "purge", "--yes", "--data-dir", c.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("purge: %w: %s", err, out)
	}
	return nil
}

// kubectl runs kubectl as the administrator.
func (c *cluster) kubectl(in []byte, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", filepath.Join(c.dir, "admin.kubeconfig"), "--request-timeout", "20s"}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// mounts are the places below the cluster's directories that something is mounted at, each as often as it is.
func (c *cluster) mounts() (out []string) {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], c.dir+"/kubelet/pods/") {
			out = append(out, f[4])
		}
	}
	return out
}

// left says what is left of pods and volumes on the machine.
func (c *cluster) left() error {
	var errs []error
	for _, at := range c.mounts() {
		errs = append(errs, fmt.Errorf("%s is mounted", at))
	}
	for _, pattern := range []string{"kubelet/pods/*", "kubelet/local-volumes/*"} {
		found, _ := filepath.Glob(filepath.Join(c.dir, pattern))
		for _, f := range found {
			if strings.HasPrefix(filepath.Base(f), ".") {
				continue
			}
			errs = append(errs, fmt.Errorf("%s is there", f))
		}
	}
	return errors.Join(errs...)
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pod is what must stay as it is.
type pod struct {
	container, address, ready string
	restarts                  int
	milli                     string // the CPU limit that its status shows
}

// object is what kubectl prints of a pod, as far as it is read.
type object struct {
	Metadata struct{ Name string }
	Status   struct {
		PodIP      string
		Conditions []struct {
			Type, Status, LastTransitionTime string
		}
		ContainerStatuses []struct {
			ContainerID  string
			RestartCount int
			Resources    struct{ Limits map[string]string }
		}
	}
}

// manifest is a pod with what its volumes are of; NAME stands for its name.
const manifest = `
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data: {key: value}
---
apiVersion: v1
kind: Secret
metadata: {name: NAME}
stringData: {key: value}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: sampan.dev/demo:1
    imagePullPolicy: IfNotPresent
    resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 100m, memory: 64Mi}}
    volumeMounts:
    - {name: disk, mountPath: /v/disk}
    - {name: memory, mountPath: /v/memory}
    - {name: config, mountPath: /v/config}
    - {name: secret, mountPath: /v/secret}
    - {name: token, mountPath: /v/token}
    - {name: claim, mountPath: /v/claim}
    - {name: claim, mountPath: /v/part, subPath: part}
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: config, configMap: {name: NAME}}
  - {name: secret, secret: {secretName: NAME}}
  - {name: token, projected: {sources: [{serviceAccountToken: {path: token, audience: chaos}}]}}
  - {name: claim, persistentVolumeClaim: {claimName: NAME}}
`

// create makes pods of these names with what their volumes are of.
func (c *cluster) create(names []string) error {
	var text bytes.Buffer
	for _, name := range names {
		text.WriteString(strings.ReplaceAll(manifest, "NAME", name))
	}
	_, err := c.kubectl(text.Bytes(), "apply", "-f", "-")
	return err
}

// remove deletes pods with what their volumes are of, and does not wait.
func (c *cluster) remove(names ...string) error {
	_, err := c.kubectl(nil, append([]string{"delete", "--wait=false", "--ignore-not-found", "pod,pvc,configmap,secret"}, names...)...)
	return err
}

func (c *cluster) resize(name string, milli int) error {
	patch := fmt.Sprintf(`{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"%dm"}}}]}}`, milli)
	_, err := c.kubectl(nil, "patch", "pod", name, "--subresource", "resize", "-p", patch)
	return err
}

// list are the pods that there are. A time of becoming Ready is "" for one that is not.
func (c *cluster) list() (map[string]pod, error) {
	text, err := c.kubectl(nil, "get", "pods", "-o", "json")
	if err != nil {
		return nil, err
	}
	var got struct{ Items []object }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return nil, err
	}
	out := map[string]pod{}
	for _, o := range got.Items {
		p := pod{address: o.Status.PodIP}
		for _, s := range o.Status.ContainerStatuses {
			p.container, p.restarts, p.milli = s.ContainerID, s.RestartCount, s.Resources.Limits["cpu"]
		}
		for _, cond := range o.Status.Conditions {
			if cond.Type == "Ready" && cond.Status == "True" {
				p.ready = cond.LastTransitionTime
			}
		}
		out[o.Metadata.Name] = p
	}
	return out, nil
}

// settled waits until all these pods are Ready.
func (c *cluster) settled(names []string, most time.Duration) (pods map[string]pod, err error) {
	return pods, soon(most, func() error {
		if pods, err = c.list(); err != nil {
			return err
		}
		if i := slices.IndexFunc(names, func(n string) bool { return pods[n].ready == "" }); i >= 0 {
			return fmt.Errorf("pod %s is not ready", names[i])
		}
		return nil
	})
}

// resized waits until the pods' statuses show what was asked for last.
func (c *campaign) resized(names []string, most time.Duration) error {
	return soon(most, func() error {
		pods, err := c.list()
		if err != nil {
			return err
		}
		for _, name := range names {
			if milli, ok := c.want[name]; ok && pods[name].milli != fmt.Sprintf("%dm", milli) {
				return fmt.Errorf("pod %s has %s of CPU, asked were %dm", name, pods[name].milli, milli)
			}
		}
		return nil
	})
}

// empty deletes everything and waits until nothing is left of it.
func (c *campaign) empty(most time.Duration) error {
	if _, err := c.kubectl(nil, "delete", "--all", "--wait=false", "pods,pvc"); err != nil {
		return err
	}
	return soon(most, func() error {
		out, err := c.kubectl(nil, "get", "pods,pvc,pv", "-o", "name")
		if err == nil && out != "" {
			err = errors.New("there are still: " + strings.ReplaceAll(out, "\n", " "))
		}
		return errors.Join(err, c.left())
	})
}

// soon tries until it succeeds.
func soon(most time.Duration, try func() error) error {
	for end := time.Now().Add(most); ; time.Sleep(200 * time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %w", most, err)
		}
	}
}

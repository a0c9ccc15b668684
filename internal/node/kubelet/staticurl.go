package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	urlEvery = 20 * time.Second // upstream's httpCheckFrequency
	urlMax   = 10 << 20         // a longer manifest is refused rather than cut
)

// runStaticURL keeps the pods that a URL serves, a Pod or a PodList, running: it asks every 20 s until ctx ends. An answer
// that cannot be had or understood changes nothing; last is what was taken before.
func (k *Kubelet) runStaticURL(ctx context.Context, last []byte) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(urlEvery):
		}
		last = k.fetchStatic(ctx, last)
	}
}

// fetchStatic asks once and takes the answer if it differs from last. It returns what was taken last.
func (k *Kubelet) fetchStatic(ctx context.Context, last []byte) []byte {
	data, err := fetchManifest(ctx, k.cfg.ManifestURL)
	if err == nil && bytes.Equal(data, last) {
		return last
	}
	var pods []*corev1.Pod
	if err == nil {
		pods, err = k.parseServed(data)
	}
	if err != nil {
		if ctx.Err() == nil {
			k.cfg.Log.Warn("static pods not fetched", "url", k.cfg.ManifestURL, "error", err)
		}
		return last
	}
	k.reading.Lock()
	k.served = pods
	k.reading.Unlock()
	k.source(func(s *sources) { s.url = true })
	k.readStatic(ctx)
	return data
}

func fetchManifest(ctx context.Context, url string) ([]byte, error) {
	hc := &http.Client{Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, urlMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > urlMax:
		return nil, fmt.Errorf("%s: more than %d bytes", url, urlMax)
	case len(data) == 0:
		return nil, fmt.Errorf("zero-length data received from %s", url)
	}
	return data, nil
}

// parseServed reads a Pod or a list of them.
func (k *Kubelet) parseServed(data []byte) ([]*corev1.Pod, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return nil, err
	}
	var list corev1.PodList
	if kind.Kind == "PodList" || kind.Kind == "List" {
		if err := yaml.Unmarshal(data, &list); err != nil {
			return nil, err
		}
	} else {
		list.Items = make([]corev1.Pod, 1)
		if err := yaml.Unmarshal(data, &list.Items[0]); err != nil {
			return nil, err
		}
	}
	var pods []*corev1.Pod
	var errs []error
	for i := range list.Items {
		pod := &list.Items[i]
		if kind.Kind != "Pod" {
			pod.Kind, pod.APIVersion = "Pod", "v1" // items of a list need not say it
		}
		own, err := yaml.Marshal(pod) // so that a change of one pod leaves the others alone
		if err == nil {
			err = k.takeStatic(pod, "http", k.cfg.ManifestURL, own)
		}
		errs = append(errs, err)
		pods = append(pods, pod)
	}
	return pods, errors.Join(errs...)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// configMap is what of a ConfigMap is of interest.
type configMap struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data,omitempty"`
}

type metadata struct {
	Name            string `json:"name,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

func (c *configMap) version() int64 {
	v, _ := strconv.ParseInt(c.Metadata.ResourceVersion, 10, 64)
	return v
}

func (c *configMap) value() int {
	v, _ := strconv.Atoi(c.Data["v"])
	return v
}

func object(name string, value int, version int64) *configMap {
	c := &configMap{APIVersion: "v1", Kind: "ConfigMap", Metadata: metadata{Name: name}, Data: map[string]string{"v": strconv.Itoa(value)}}
	if version > 0 {
		c.Metadata.ResourceVersion = strconv.FormatInt(version, 10)
	}
	return c
}

const (
	collection = "/api/v1/namespaces/default/configmaps"
	// answerIn is how long a client waits for an answer.
	answerIn = 5 * time.Second
)

// call makes one request. An error means that nobody answered: it may or may not have been carried out.
func (s *server) call(method, path, kind string, body any) (code int, got configMap, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerIn)
	defer cancel()
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, got, err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, in)
	if err != nil {
		return 0, got, err
	}
	req.Header.Set("Content-Type", kind)
	r, err := s.client.Do(req)
	if err != nil {
		return 0, got, err
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, got, err
	}
	if r.StatusCode >= 500 {
		return 0, got, fmt.Errorf("%d: %s", r.StatusCode, data) // a write may have been made all the same
	}
	if r.StatusCode < 300 {
		if err := json.Unmarshal(data, &got); err != nil {
			return 0, got, err
		}
	}
	return r.StatusCode, got, nil
}

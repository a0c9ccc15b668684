package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sampan.dev/e2e/differential/ask"
)

type object = map[string]any

// lab is the API server and what a case needs of it.
type lab struct {
	server *ask.Server
	ctx    context.Context
}

// spaces are the namespaces of all cases.
var spaces = []string{"place-a", "place-b"}

// classes are the priorities of pods, by name.
var classes = map[string]int{"low": 10, "middle": 20, "high": 30}

// do sends a request and fails when it is answered otherwise than by success or one of the codes.
func (l *lab) do(st ask.Step, codes ...int) (object, error) {
	a, err := l.server.Do(l.ctx, st)
	if err != nil {
		return nil, err
	}
	if a.Code >= 300 && !slices.Contains(codes, a.Code) {
		return nil, fmt.Errorf("%s %s: %d %v", st.Method, st.Path, a.Code, a.Body)
	}
	body, _ := a.Body.(object)
	return body, nil
}

// prepare makes what all cases share.
func (l *lab) prepare() error {
	for i, name := range spaces {
		team := []string{"x", "y"}[i]
		steps := []ask.Step{
			ask.Post("/api/v1/namespaces", object{"metadata": object{"name": name, "labels": object{"team": team}}}),
			ask.Post("/api/v1/namespaces/"+name+"/serviceaccounts", object{"metadata": object{"name": "default"}}),
		}
		for _, st := range steps {
			if _, err := l.do(st, 409); err != nil {
				return err
			}
		}
	}
	for name, value := range classes {
		if _, err := l.do(ask.Post("/apis/scheduling.k8s.io/v1/priorityclasses", object{"metadata": object{"name": name}, "value": value}), 409); err != nil {
			return err
		}
	}
	return nil
}

// reset removes what a case has made.
func (l *lab) reset() error {
	for _, name := range spaces {
		for _, path := range []string{"/api/v1/namespaces/" + name + "/pods", "/apis/policy/v1/namespaces/" + name + "/poddisruptionbudgets"} {
			if _, err := l.do(ask.Step{Method: "DELETE", Path: path, Body: `{"gracePeriodSeconds":0}`}); err != nil {
				return err
			}
		}
	}
	_, err := l.do(ask.Step{Method: "DELETE", Path: "/api/v1/nodes"})
	return err
}

// node makes a node with exactly the taints that it says.
func (l *lab) node(n object) error {
	if _, err := l.do(ask.Post("/api/v1/nodes", n)); err != nil {
		return err
	}
	path := "/api/v1/nodes/" + n["metadata"].(object)["name"].(string)
	if _, err := l.do(ask.Merge(path+"/status", object{"status": n["status"]})); err != nil {
		return err
	}
	_, err := l.do(ask.Merge(path, object{"spec": object{"taints": n["spec"].(object)["taints"]}}))
	return err
}

func (l *lab) pod(p object) error {
	_, err := l.do(ask.Post("/api/v1/namespaces/"+p["metadata"].(object)["namespace"].(string)+"/pods", p))
	return err
}

// await waits until a pod has a node or is said to have none, and for the victims that the message promises.
func (l *lab) await(p object) (result, error) {
	meta := p["metadata"].(object)
	path := "/api/v1/namespaces/" + meta["namespace"].(string) + "/pods/" + meta["name"].(string)
	for range 200 {
		time.Sleep(25 * time.Millisecond)
		got, err := l.do(ask.Get(path))
		if err != nil {
			return result{}, err
		}
		if node, _ := got["spec"].(object)["nodeName"].(string); node != "" {
			return result{node: node}, nil
		}
		message := condition(got, "PodScheduled")
		if message == "" {
			continue
		}
		r := result{message: message}
		nominated, _ := got["status"].(object)["nominatedNodeName"].(string)
		if nominated == "" {
			return r, nil
		}
		time.Sleep(150 * time.Millisecond) // until all are evicted
		for _, space := range spaces {
			list, err := l.do(ask.Get("/api/v1/namespaces/" + space + "/pods"))
			if err != nil {
				return r, err
			}
			items, _ := list["items"].([]any)
			for _, x := range items {
				if victim := x.(object); condition(victim, "DisruptionTarget") != "" {
					r.victims = append(r.victims, victim["metadata"].(object)["name"].(string))
				}
			}
		}
		slices.Sort(r.victims)
		return r, nil
	}
	return result{}, fmt.Errorf("%s: nothing was said in time", path)
}

// condition returns the message of a condition, "" when there is none.
func condition(pod object, kind string) string {
	list, _ := pod["status"].(object)["conditions"].([]any)
	for _, x := range list {
		if c := x.(object); c["type"] == kind {
			message, _ := c["message"].(string)
			return message
		}
	}
	return ""
}

package main

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// written are the lists that hold what a server makes by itself.
var written = []string{
	"/api/v1/namespaces",
	"/apis/rbac.authorization.k8s.io/v1/clusterroles", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	"/apis/rbac.authorization.k8s.io/v1/roles", "/apis/rbac.authorization.k8s.io/v1/rolebindings",
	"/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
	"/apis/scheduling.k8s.io/v1/priorityclasses", "/apis/apiregistration.k8s.io/v1/apiservices", "/apis/networking.k8s.io/v1/servicecidrs",
}

// bootstrap reads the objects, without what differs from server to server: identities, times, versions, managers, status.
func bootstrap(ctx context.Context, s *server, f facts) error {
	for _, at := range written {
		l, err := s.object(ctx, at, "application/json")
		if apierrors.IsNotFound(err) {
			continue // not served: discovery tells that
		}
		if err != nil {
			return err
		}
		for _, o := range list(l, "items") {
			meta, _ := o["metadata"].(doc)
			for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields"} {
				delete(meta, field)
			}
			delete(o, "status")
			name := text(o, "metadata", "name")
			if ns := text(o, "metadata", "namespace"); ns != "" {
				name = ns + "/" + name
			}
			f.put("object "+at[strings.LastIndexByte(at, '/')+1:]+" "+name, o)
		}
	}
	return nil
}

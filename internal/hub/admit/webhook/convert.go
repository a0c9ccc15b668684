package webhook

import (
	"bytes"
	"context"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// convertIn is how long a webhook may take that converts custom resources.
const convertIn = 30 * time.Second

// Call sends a body to a webhook that converts custom resources and returns the body of its answer. It is asked as those of admission
// are, over the same connections.
func (h Hooks) Call(ctx context.Context, to *apiextensionsv1.WebhookClientConfig, body []byte) ([]byte, error) {
	at := admissionv1.WebhookClientConfig{URL: to.URL, CABundle: bytes.TrimSpace(to.CABundle)}
	if s := to.Service; s != nil {
		at.Service = &admissionv1.ServiceReference{Namespace: s.Namespace, Name: s.Name, Path: s.Path, Port: s.Port}
	}
	c, err := h.Mutating.clients.of(addressOf(&at, nil))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, convertIn)
	defer cancel()
	return c.post(ctx, body)
}

package wire

import (
	"net/http"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SendBytes sends a body that is encoded already, under a media type of its own.
func SendBytes(w http.ResponseWriter, r *http.Request, contentType string, data []byte) error {
	return Output{contentType: contentType}.send(w, r, http.StatusOK, [][]byte{data})
}

// SendProto sends a message in its envelope, under a media type of its own.
func SendProto(w http.ResponseWriter, r *http.Request, contentType string, gvk schema.GroupVersionKind, m interface{ Marshal() ([]byte, error) }) error {
	msg, err := m.Marshal()
	if err != nil {
		return err
	}
	return Output{contentType: contentType}.send(w, r, http.StatusOK, [][]byte{appendEnvelope(nil, gvk, len(msg)), msg, envelopeEnd})
}

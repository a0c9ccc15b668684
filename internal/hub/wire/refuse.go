package wire

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ObjectTypes are the media types that an object, or any other document of the API, is sent in.
var ObjectTypes = []string{TypeJSON, TypeYAML, TypeProto}

// Acceptable refuses (406) a request whose Accept header names none of the media types that are offered. It looks at no
// parameters, knows no application/*, and speaks as upstream's router does.
func Acceptable(r *http.Request, offered []string) error {
	header := r.Header.Get("Accept")
	if header == "" {
		return nil
	}
	for part := range strings.SplitSeq(header, ",") {
		media, _, _ := strings.Cut(part, ";")
		if media = strings.TrimSpace(media); media == "*/*" || slices.Contains(offered, media) {
			return nil
		}
	}
	return Refused(http.StatusNotAcceptable, fmt.Sprintf("406: Not Acceptable\n\nAvailable representations: %s", strings.Join(offered, ", ")))
}

// Refused is a refusal with a status code and upstream's words for it.
func Refused(code int, message string) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
}

// NoSuchPath is the 404 for a path of the API at which there is nothing.
func NoSuchPath() error { return Refused(http.StatusNotFound, "404: Page Not Found") }

// NoSuchMethod is the 405 for a path that does not take the method.
func NoSuchMethod(method string) error {
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, method, schema.GroupResource{}, "", "405: Method Not Allowed", 0, false)
}

package connect

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// log copies a container's log from its kubelet, flushing as it comes; over a WebSocket when the client asks for one.
func (c *Connector) log(w http.ResponseWriter, r *http.Request, req *verb.Request) error {
	o, err := logOptions(r.URL.Query())
	if err != nil {
		return err
	}
	if errs := invalidLogOptions(&o); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "PodLogOptions"}, req.Ref.Name, errs)
	}
	pod, err := c.pod(r.Context(), req)
	if err != nil {
		return err
	}
	name, err := container(pod, o.Container)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		w.WriteHeader(http.StatusNoContent) // nothing has been logged yet
		return nil
	}
	host, err := c.kubelet(r.Context(), pod.Spec.NodeName)
	if err != nil {
		return err
	}
	loc := url.URL{
		Scheme: "https", Host: host, RawQuery: logParams(&o).Encode(),
		Path: fmt.Sprintf("/containerLogs/%s/%s/%s", pod.Namespace, pod.Name, name),
	}
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, loc.String(), nil)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	rt := c.kubelets
	if o.InsecureSkipTLSVerifyBackend {
		rt = c.trusting
	}
	res, err := rt.RoundTrip(ask)
	if errors.Is(err, egress.ErrNotAllowed) {
		return c.refused(host, err)
	}
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return kubeletError(res, pod.Name)
	}
	if wsstream.IsWebSocketRequest(r) {
		reader := wsstream.NewReader(&lastApart{r: res.Body}, true, wsstream.NewDefaultReaderProtocols())
		if err := reader.Copy(w, r); err != nil {
			c.cfg.Log.Debug("log over websocket ended", "pod", pod.Name, "error", err)
		}
		return nil
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	copyFlushing(w, res.Body)
	return nil
}

// lastApart never returns bytes together with an error: wsstream drops them then.
type lastApart struct {
	r   io.Reader
	err error
}

func (l *lastApart) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.r.Read(p)
	if n > 0 && err != nil {
		l.err, err = err, nil
	}
	return n, err
}

// kubeletError turns a kubelet's refusal into a Status with its words.
func kubeletError(res *http.Response, pod string) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	switch {
	case len(text) == 0:
		text = []byte(res.Status)
	case text[len(text)-1] == '\n':
		text = text[:len(text)-1]
	}
	switch res.StatusCode {
	case http.StatusBadRequest:
		return apierrors.NewBadRequest(string(text))
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(fmt.Errorf("%s", text))
	}
	err := apierrors.NewGenericServerResponse(res.StatusCode, "get", schema.GroupResource{Resource: "pods/log"}, pod, string(text), 0, true)
	err.ErrStatus.Message = string(text)
	if res.StatusCode == http.StatusNotFound {
		err.ErrStatus.Reason = metav1.StatusReasonNotFound
	}
	return err
}

// copyFlushing sends on each piece as soon as it is there.
func copyFlushing(w http.ResponseWriter, r io.Reader) {
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			_ = flush.Flush()
		}
		if err != nil {
			return
		}
	}
}

func logParams(o *corev1.PodLogOptions) url.Values {
	p := url.Values{}
	for name, on := range map[string]bool{"follow": o.Follow, "previous": o.Previous, "timestamps": o.Timestamps} {
		if on {
			p.Set(name, "true")
		}
	}
	for name, n := range map[string]*int64{"sinceSeconds": o.SinceSeconds, "tailLines": o.TailLines, "limitBytes": o.LimitBytes} {
		if n != nil {
			p.Set(name, strconv.FormatInt(*n, 10))
		}
	}
	if o.SinceTime != nil {
		p.Set("sinceTime", o.SinceTime.Format(time.RFC3339))
	}
	if o.Stream != nil {
		p.Set("stream", *o.Stream)
	}
	return p
}

// invalidLogOptions is upstream's ValidatePodLogOptions.
func invalidLogOptions(o *corev1.PodLogOptions) field.ErrorList {
	var errs field.ErrorList
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	switch {
	case o.SinceSeconds != nil && o.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if o.Stream != nil { // PodLogsQuerySplitStreams is off by default
		errs = append(errs, field.Forbidden(field.NewPath("stream"), "may not be specified"))
	}
	return errs
}

package serve

import (
	"encoding/json"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if err := s.cfg.Host.Healthy(); err != nil {
		plain(w, http.StatusInternalServerError, fmt.Sprintf("[+]ping ok\n[+]log ok\n[-]syncloop failed: %v\nhealthz check failed\n", err))
		return
	}
	if r.URL.Query().Has("verbose") {
		plain(w, http.StatusOK, "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n")
		return
	}
	plain(w, http.StatusOK, "ok")
}

func (s *Server) pods(w http.ResponseWriter, _ *http.Request) { writePods(w, s.cfg.Host.Pods()) }

func (s *Server) runningPods(w http.ResponseWriter, r *http.Request) {
	pods, err := s.cfg.Host.RunningPods(r.Context())
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	writePods(w, pods)
}

func writePods(w http.ResponseWriter, pods []*corev1.Pod) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: make([]corev1.Pod, len(pods))}
	for i, p := range pods {
		list.Items[i] = *p
	}
	writeJSON(w, list)
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	only := r.FormValue("only_cpu_and_memory")
	sum, err := s.cfg.Host.Summary(r.Context(), only == "true" || only == "1")
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	data, err := json.MarshalIndent(sum, "", " ")
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

func (s *Server) configz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"kubeletconfig": s.cfg.Host.Configz()})
}

// target is the pod that a request's path names; it answers itself when there is none.
func (s *Server) target(w http.ResponseWriter, r *http.Request) *corev1.Pod {
	pod, ok := find(s.cfg.Host, r.PathValue("ns"), r.PathValue("pod"), types.UID(r.PathValue("uid")))
	if !ok {
		plain(w, http.StatusNotFound, "pod does not exist")
		return nil
	}
	return pod
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	pod := s.target(w, r)
	if pod == nil {
		return
	}
	out, err := s.cfg.Host.Run(r.Context(), pod, r.PathValue("container"), r.URL.Query()["cmd"])
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out)
}

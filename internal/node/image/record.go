package image

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/node/checkpoint"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Policies say for which images that are there a pod has to show that it might pull them.
const (
	NeverVerify            = "NeverVerify"
	NeverVerifyPreloaded   = "NeverVerifyPreloadedImages" // for those that the kubelet has pulled
	NeverVerifyAllowlisted = "NeverVerifyAllowlistedImages"
	AlwaysVerify           = "AlwaysVerify"
)

// Verification is a policy, and the images that NeverVerifyAllowlistedImages is about: names without tags, or with /* at the end.
type Verification struct {
	Policy  string
	Allowed []string
}

// wanted reports whether a pod has to show credentials for an image that is there.
func (v Verification) wanted(image string, pulled bool) bool {
	switch v.Policy {
	case NeverVerify:
		return false
	case AlwaysVerify:
		return true
	case NeverVerifyAllowlisted:
		name := registryPath(image)
		for _, a := range v.Allowed {
			if prefix, wild := strings.CutSuffix(a, "*"); a == name || wild && strings.HasPrefix(name, prefix) {
				return false
			}
		}
		return true
	}
	return pulled
}

// The records of pulls, in the form in which a stock kubelet keeps them (kubelet.config.k8s.io/v1beta1).
type (
	intent struct {
		metav1.TypeMeta `json:",inline"`
		Image           string `json:"image"`
	}
	pulled struct {
		metav1.TypeMeta   `json:",inline"`
		LastUpdatedTime   metav1.Time       `json:"lastUpdatedTime"`
		ImageRef          string            `json:"imageRef"`
		CredentialMapping map[string]access `json:"credentialMapping,omitempty"`
	}
	// access is who may use an image: every pod of the node, or those that have one of the secrets or run as one of the service accounts.
	access struct {
		KubernetesSecrets         []secretRef  `json:"kubernetesSecrets,omitempty"`
		KubernetesServiceAccounts []accountRef `json:"kubernetesServiceAccounts,omitempty"`
		NodePodsAccessible        bool         `json:"nodePodsAccessible,omitempty"`
	}
	accountRef struct {
		UID       types.UID `json:"uid"`
		Namespace string    `json:"namespace"`
		Name      string    `json:"name"`
	}
	secretRef struct {
		UID            types.UID `json:"uid"`
		Namespace      string    `json:"namespace"`
		Name           string    `json:"name"`
		CredentialHash string    `json:"credentialHash"`
	}
)

const recordVersion = "kubelet.config.k8s.io/v1beta1"

// records are the files that say with whose credentials images were pulled. Every goroutine may use them.
type records struct {
	dir string // <kubelet root>/image_manager; "": nothing is recorded
	log *slog.Logger
	mu  sync.Mutex // held while a record is read and written
}

func (r *records) file(folder, name string) string {
	return filepath.Join(r.dir, folder, fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(name))))
}

// begin notes that an image is about to be pulled: if we die meanwhile, it is not taken for one that was there before us.
func (r *records) begin(image string) error {
	if r.dir == "" {
		return nil
	}
	return write(r.file("pulling", image), intent{metav1.TypeMeta{Kind: "ImagePullIntent", APIVersion: recordVersion}, image})
}

// failed notes that the pull came to nothing.
func (r *records) failed(image string) {
	if r.dir != "" {
		_ = os.Remove(r.file("pulling", image))
	}
}

// done notes with whose credentials an image was pulled: with none, or nobody's own, where with has neither secret nor account.
func (r *records) done(image, ref string, with login) {
	if r.dir == "" {
		return
	}
	if err := r.add(image, ref, with, true); err != nil {
		r.log.Warn("pull not recorded", "image", image, "error", err)
		return // the intent stays, so that the image is not free for all
	}
	r.failed(image)
}

// add adds to who may use an image. Without known nobody is added.
func (r *records) add(image, ref string, with login, known bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, err := r.read(ref)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Info("record of a pull is not readable", "image", image, "error", err)
	}
	if rec == nil {
		rec = &pulled{TypeMeta: metav1.TypeMeta{Kind: "ImagePulledRecord", APIVersion: recordVersion}, ImageRef: ref}
	}
	if rec.CredentialMapping == nil {
		rec.CredentialMapping = map[string]access{}
	}
	name := registryPath(image)
	a := rec.CredentialMapping[name]
	switch {
	case !known || a.NodePodsAccessible:
	case with.secret != nil:
		a.KubernetesSecrets = merge(a.KubernetesSecrets, *with.secret)
	case with.account != nil:
		if !slices.Contains(a.KubernetesServiceAccounts, *with.account) {
			a.KubernetesServiceAccounts = append(a.KubernetesServiceAccounts, *with.account)
		}
	default:
		a = access{NodePodsAccessible: true}
	}
	if known {
		rec.CredentialMapping[name] = a
	}
	rec.LastUpdatedTime = metav1.Now()
	return write(r.file("pulled", ref), rec)
}

func merge(list []secretRef, one secretRef) []secretRef {
	for i := range list {
		if list[i].UID == one.UID && list[i].Namespace == one.Namespace && list[i].Name == one.Name {
			list[i] = one
			return list
		}
	}
	return append(list, one)
}

func (r *records) read(ref string) (*pulled, error) {
	b, err := os.ReadFile(r.file("pulled", ref))
	if err != nil {
		return nil, err
	}
	rec := &pulled{}
	return rec, json.Unmarshal(b, rec)
}

// mustPull reports whether a pod has to pull an image although it is there, because it has not shown that it might: the registry then decides.
// logins are asked for only if that matters.
func (r *records) mustPull(v Verification, image, ref string, logins func() []login) bool {
	if r.dir == "" || v.Policy == NeverVerify {
		return false
	}
	r.mu.Lock()
	rec, err := r.read(ref)
	r.mu.Unlock()
	byUs := err == nil || !errors.Is(err, fs.ErrNotExist)
	if !byUs {
		_, err := os.Stat(r.file("pulling", image))
		byUs = err == nil
	}
	if !v.wanted(image, byUs) {
		return false
	}
	if rec == nil || err != nil {
		return true
	}
	a, ok := rec.CredentialMapping[registryPath(image)]
	if !ok || a.NodePodsAccessible {
		return !ok
	}
	for _, l := range logins() {
		if l.account != nil && slices.Contains(a.KubernetesServiceAccounts, *l.account) {
			return false
		}
		for _, s := range a.KubernetesSecrets {
			if l.secret == nil {
				continue
			}
			same := s.UID == l.secret.UID && s.Namespace == l.secret.Namespace && s.Name == l.secret.Name
			if s.CredentialHash != "" && s.CredentialHash == l.secret.CredentialHash || same {
				if !same || s.CredentialHash != l.secret.CredentialHash {
					_ = r.add(image, ref, l, true)
				}
				return false
			}
		}
	}
	return true
}

// settle makes records of the pulls that an earlier run of ours did not live to see the end of: if the image has come, nobody has shown
// credentials for it yet. present says by which reference an image is there, "" when it is not.
func (r *records) settle(present func(image string) string) {
	if r.dir == "" {
		return
	}
	files, _ := os.ReadDir(filepath.Join(r.dir, "pulling"))
	for _, f := range files {
		path := filepath.Join(r.dir, "pulling", f.Name())
		var i intent
		b, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(b, &i) != nil || i.Image == "" {
			continue
		}
		if ref := present(i.Image); ref != "" && r.add(i.Image, ref, login{}, false) != nil {
			continue
		}
		_ = os.Remove(path)
	}
}

// keep removes the records of images that are gone.
func (r *records) keep(there map[string]bool, since time.Time) {
	if r.dir == "" {
		return
	}
	files, _ := os.ReadDir(filepath.Join(r.dir, "pulled"))
	for _, f := range files {
		path := filepath.Join(r.dir, "pulled", f.Name())
		var rec pulled
		b, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(b, &rec) == nil && rec.LastUpdatedTime.Time.Before(since) && !there[rec.ImageRef] {
			_ = os.Remove(path)
		}
	}
}

func write(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return checkpoint.Write(path, b)
}

package image

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// login is what to try for an image, and the secret that has it or the service account that it was given for; all are nil for an
// anonymous pull, the latter two for what is every pod's of the node.
type login struct {
	auth    *cri.AuthConfig
	secret  *secretRef
	account *accountRef
}

// logins are what to try for an image that a pod wants: what its secrets say, and then what programs say.
func (p *Puller) logins(ctx context.Context, pod *corev1.Pod, image string) []login {
	out := fromSecrets(p.secrets(ctx, pod), image)
	for _, l := range p.providers.Logins(ctx, pod, registryPath(image)) {
		one := login{auth: &cri.AuthConfig{Username: l.Username, Password: l.Password}}
		if a := l.Account; a != nil {
			one.account = &accountRef{a.UID, a.Namespace, a.Name}
		}
		out = append(out, one)
	}
	return orAnonymous(out)
}

func orAnonymous(list []login) []login {
	if len(list) == 0 {
		return []login{{}}
	}
	return list
}

// fromSecrets are the logins of the secrets whose registry covers an image's path, the most specific first.
func fromSecrets(secrets []*corev1.Secret, image string) []login {
	type entry struct {
		key string
		login
	}
	var found []entry
	for _, s := range secrets {
		for key, auth := range dockerAuths(s) {
			if authFits(key, registryPath(image)) {
				found = append(found, entry{key, login{auth: auth, secret: &secretRef{s.UID, s.Namespace, s.Name, hashOf(auth)}}})
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return len(found[i].key) > len(found[j].key) })
	out := make([]login, len(found))
	for i, e := range found {
		out[i] = e.login
	}
	return out
}

// hashOf identifies credentials as upstream's records of pulls do.
func hashOf(a *cri.AuthConfig) string {
	b, err := json.Marshal(struct {
		Username      string `json:"username,omitempty"`
		Password      string `json:"password,omitempty"`
		Auth          string `json:"auth,omitempty"`
		ServerAddress string `json:"serveraddress,omitempty"`
		IdentityToken string `json:"identitytoken,omitempty"`
		RegistryToken string `json:"registrytoken,omitempty"`
	}{a.Username, a.Password, a.Auth, a.ServerAddress, a.IdentityToken, a.RegistryToken})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// dockerAuths reads the credentials of a docker registry secret by registry.
func dockerAuths(s *corev1.Secret) map[string]*cri.AuthConfig {
	type login struct{ Username, Password, Auth, IdentityToken string }
	var logins map[string]login
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		var cfg struct{ Auths map[string]login }
		if json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &cfg) == nil {
			logins = cfg.Auths
		}
	case corev1.SecretTypeDockercfg:
		_ = json.Unmarshal(s.Data[corev1.DockerConfigKey], &logins)
	}
	out := map[string]*cri.AuthConfig{}
	for key, l := range logins {
		a := &cri.AuthConfig{Username: l.Username, Password: l.Password, IdentityToken: l.IdentityToken}
		if b, err := base64.StdEncoding.DecodeString(l.Auth); err == nil && a.Username == "" {
			a.Username, a.Password, _ = strings.Cut(string(b), ":")
		}
		out[key] = a
	}
	return out
}

// authFits reports whether a key of docker's configuration ("https://index.docker.io/v1/", "*.example.com/team") covers an
// image path.
func authFits(key, image string) bool {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(key, "/"), "/v1"), "/v2")
	if key == "index.docker.io" {
		key = "docker.io"
	}
	keyHost, keyPath, _ := strings.Cut(key, "/")
	host, rest, _ := strings.Cut(image, "/")
	kparts, parts := strings.Split(keyHost, "."), strings.Split(host, ".")
	if len(kparts) != len(parts) {
		return false
	}
	for i := range kparts {
		if ok, err := path.Match(kparts[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return keyPath == "" || rest == keyPath || strings.HasPrefix(rest, keyPath+"/")
}

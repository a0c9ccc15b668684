package machine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/site"
	"sampan.dev/internal/pki"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is "sampan", "sampan-NAME" for a cluster that was made by a name, or "sampan-ID" for one in a data directory of its own.
func ContextName(cfg config.Config) string {
	id := cfg.Instance()
	switch {
	case id == "":
		return "sampan"
	case filepath.Dir(cfg.DataDir) == string(site.Usual()):
		return "sampan-" + filepath.Base(cfg.DataDir)
	}
	return "sampan-" + id
}

// KubeconfigRequest is what somebody wants of the administrator's kubeconfig.
type KubeconfigRequest struct {
	Merge   bool   // into the caller's own, instead of handing it out
	Current bool   // make the merged context the current one
	Context string // what to call it; "" for ContextName
	Server  string // URL of the API server instead of the one that this machine uses; "" for that
}

// Kubeconfig returns the administrator's kubeconfig or, when it is merged, a line that says where.
func Kubeconfig(cfg config.Config, ask KubeconfigRequest) (string, error) {
	admin := cfg.Paths().Kubeconfig
	ours, err := clientcmd.LoadFromFile(admin)
	if errors.Is(err, fs.ErrNotExist) {
		if _, agent := os.Stat(filepath.Join(cfg.DataDir, "server")); agent == nil {
			return "", fmt.Errorf("%s holds a node of a cluster elsewhere; say 'sampan kubeconfig' on its server", cfg.DataDir)
		}
		return "", fmt.Errorf("there is no cluster in %s, since there is no %s; 'sampan up' makes one, 'sampan list' names those there are", cfg.DataDir, filepath.Base(admin))
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", admin, err)
	}
	name := cmp.Or(ask.Context, ContextName(cfg))
	renamed, err := renamed(ours, name, ask.Server)
	if err != nil {
		return "", fmt.Errorf("%s: %w", admin, err)
	}
	if !ask.Merge {
		data, err := clientcmd.Write(*renamed)
		return string(data), err
	}
	path, err := merge(renamed, name, ask.Current)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("context %q is in %s\n", name, path), nil
}

// renamed is a kubeconfig's current context alone, with its cluster and user, under another name.
func renamed(ours *clientcmdapi.Config, name, server string) (*clientcmdapi.Config, error) {
	ctx := ours.Contexts[ours.CurrentContext]
	if ctx == nil || ours.Clusters[ctx.Cluster] == nil || ours.AuthInfos[ctx.AuthInfo] == nil {
		return nil, errors.New("it has no current context, or one without cluster or user")
	}
	out := clientcmdapi.NewConfig()
	cluster := ours.Clusters[ctx.Cluster].DeepCopy()
	if server != "" {
		cluster.Server = server
	}
	out.Clusters[name], out.AuthInfos[name] = cluster, ours.AuthInfos[ctx.AuthInfo]
	out.Contexts[name] = ctx.DeepCopy()
	out.Contexts[name].Cluster, out.Contexts[name].AuthInfo = name, name
	out.CurrentContext = name
	return out, nil
}

// MergeKubeconfig adds the cluster to the caller's own kubeconfig as a context and never touches another entry. It makes
// the context current only when there is no current one. The file belongs to the person behind sudo.
func MergeKubeconfig(cfg config.Config, admin string) (path string, err error) {
	path, _ = userKubeconfig()
	ours, err := clientcmd.LoadFromFile(admin)
	if err != nil {
		return path, fmt.Errorf("read %s: %w", admin, err)
	}
	name := ContextName(cfg)
	if ours, err = renamed(ours, name, ""); err != nil {
		return path, fmt.Errorf("%s: %w", admin, err)
	}
	return merge(ours, name, false)
}

// merge adds the one context of ours to the caller's kubeconfig.
func merge(ours *clientcmdapi.Config, name string, current bool) (path string, err error) {
	path, owner := userKubeconfig()
	theirs, err := clientcmd.LoadFromFile(path)
	if os.IsNotExist(err) {
		theirs = clientcmdapi.NewConfig()
	} else if err != nil {
		return path, fmt.Errorf("%s is not a kubeconfig, left alone: %w", path, err)
	}
	theirs.Clusters[name], theirs.AuthInfos[name], theirs.Contexts[name] = ours.Clusters[name], ours.AuthInfos[name], ours.Contexts[name]
	if theirs.CurrentContext == "" || current {
		theirs.CurrentContext = name
	}
	return path, writeKubeconfig(theirs, path, owner)
}

// unmergeKubeconfig takes the cluster's entries out again.
func unmergeKubeconfig(cfg config.Config) error {
	path, owner := userKubeconfig()
	theirs, err := clientcmd.LoadFromFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	name := ContextName(cfg)
	if theirs.Contexts[name] == nil && theirs.Clusters[name] == nil {
		return nil
	}
	delete(theirs.Contexts, name)
	delete(theirs.Clusters, name)
	delete(theirs.AuthInfos, name)
	if theirs.CurrentContext == name {
		theirs.CurrentContext = ""
	}
	if len(theirs.Contexts)+len(theirs.Clusters)+len(theirs.AuthInfos) == 0 {
		return os.Remove(path)
	}
	return writeKubeconfig(theirs, path, owner)
}

// userKubeconfig is the first file of $KUBECONFIG, or ~/.kube/config of the person behind sudo.
func userKubeconfig() (path string, owner *user.User) {
	if name := os.Getenv("SUDO_USER"); name != "" && os.Geteuid() == 0 {
		owner, _ = user.Lookup(name)
	}
	if first, _, _ := strings.Cut(os.Getenv("KUBECONFIG"), string(os.PathListSeparator)); first != "" {
		return first, owner
	}
	home, _ := os.UserHomeDir()
	if owner != nil {
		home = owner.HomeDir
	}
	return filepath.Join(home, ".kube", "config"), owner
}

func writeKubeconfig(c *clientcmdapi.Config, path string, owner *user.User) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := clientcmd.Write(*c)
	if err != nil {
		return err
	}
	if pki.Unchanged(path, data, 0o600) {
		return nil
	}
	tmp := path + ".sampan-tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	if owner != nil {
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		_ = os.Chown(dir, uid, gid)
		_ = os.Chown(tmp, uid, gid)
	}
	return os.Rename(tmp, path)
}

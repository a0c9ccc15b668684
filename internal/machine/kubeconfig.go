package machine

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is "sampan", or "sampan-ID" for a cluster that does not live in the default data directory.
func ContextName(cfg config.Config) string {
	if id := cfg.Instance(); id != "" {
		return "sampan-" + id
	}
	return "sampan"
}

// MergeKubeconfig adds the cluster to the caller's own kubeconfig as a context and never touches another entry. It makes
// the context current only when there is no current one. The file belongs to the person behind sudo.
func MergeKubeconfig(cfg config.Config, admin string) (path string, err error) {
	path, owner := userKubeconfig()
	ours, err := clientcmd.LoadFromFile(admin)
	if err != nil {
		return path, fmt.Errorf("read %s: %w", admin, err)
	}
	theirs, err := clientcmd.LoadFromFile(path)
	if os.IsNotExist(err) {
		theirs = clientcmdapi.NewConfig()
	} else if err != nil {
		return path, fmt.Errorf("%s is not a kubeconfig, left alone: %w", path, err)
	}
	name := ContextName(cfg)
	ctx := ours.Contexts[ours.CurrentContext]
	theirs.Clusters[name] = ours.Clusters[ctx.Cluster]
	theirs.AuthInfos[name] = ours.AuthInfos[ctx.AuthInfo]
	merged := ctx.DeepCopy()
	merged.Cluster, merged.AuthInfo = name, name
	theirs.Contexts[name] = merged
	if theirs.CurrentContext == "" {
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

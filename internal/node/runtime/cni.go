package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CNIDirs asks the runtime behind endpoint where it looks for CNI plugins and for their configurations. What it does not say,
// or in words that are not known here, is empty.
func CNIDirs(ctx context.Context, endpoint string) (bin, conf string, err error) {
	conn, err := dialUnix(endpoint)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := cri.NewRuntimeServiceClient(conn).Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return "", "", fmt.Errorf("status of %s: %s", endpoint, ErrorText(err))
	}
	bin, conf = cniDirs(r.GetInfo()["config"])
	return bin, conf, nil
}

// cniDirs reads containerd's own account of its configuration: from 2.2 it has a list of plugin folders, before it had one.
func cniDirs(config string) (bin, conf string) {
	var c struct {
		CNI struct {
			BinDir  string   `json:"binDir"`
			BinDirs []string `json:"binDirs"`
			ConfDir string   `json:"confDir"`
		} `json:"cni"`
	}
	if json.Unmarshal([]byte(config), &c) != nil {
		return "", ""
	}
	if len(c.CNI.BinDirs) > 0 {
		return c.CNI.BinDirs[0], c.CNI.ConfDir
	}
	return c.CNI.BinDir, c.CNI.ConfDir
}

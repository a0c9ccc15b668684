package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/engine"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/node/runtime"

	"github.com/spf13/cobra"
)

func imageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Import images into the node and list them"}
	cmd.AddCommand(imageImportCommand(), imageListCommand())
	return cmd
}

func imageImportCommand() *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{
		Use:   "import FILE…",
		Short: "Import images from OCI or docker archives or OCI layouts; '-' is standard input",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return flag.Usage{Err: fmt.Errorf("which archive?")}
			}
			endpoints, err := runtimeEndpoints(&cfg)
			if err != nil {
				return err
			}
			told := map[runtime.Imported]bool{}
			for _, endpoint := range endpoints {
				for _, name := range args {
					images, err := importFile(cmd, endpoint, name)
					if err != nil {
						return fmt.Errorf("import %s: %w", name, err)
					}
					for _, img := range images {
						if !told[img] { // of several nodes, once
							told[img] = true
							fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", img.Name, img.Digest)
						}
					}
				}
			}
			return nil
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().StringVar(&cfg.RuntimeEndpoint, "container-runtime-endpoint", "", "containerd socket to import into")
	return cmd
}

// importFile imports an archive, an OCI layout in a directory, or standard input.
func importFile(cmd *cobra.Command, endpoint, name string) ([]runtime.Imported, error) {
	if name == "-" {
		return runtime.Import(cmd.Context(), endpoint, "k8s.io", cmd.InOrStdin())
	}
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		if _, err := os.Stat(filepath.Join(name, "oci-layout")); err != nil {
			return nil, fmt.Errorf("a directory without an OCI layout: %w", err)
		}
		r, w := io.Pipe()
		defer r.Close()
		go func() {
			t := tar.NewWriter(w)
			w.CloseWithError(errors.Join(t.AddFS(os.DirFS(name)), t.Close()))
		}()
		return runtime.Import(cmd.Context(), endpoint, "k8s.io", r)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return runtime.Import(cmd.Context(), endpoint, "k8s.io", f)
}

func imageListCommand() *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images of the node",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := runtimeEndpoints(&cfg)
			if err != nil {
				return err
			}
			cri, err := runtime.Dial(endpoints[0], slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer cri.Close()
			images, err := cri.Images(cmd.Context())
			if err != nil {
				return fmt.Errorf("is the node running? %w", err)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tID\tSIZE")
			var rows []string
			for _, img := range images {
				id := strings.TrimPrefix(img.ID, "sha256:")
				if len(id) > 12 {
					id = id[:12]
				}
				names := img.Tags
				if len(names) == 0 { // it was imported without a name
					names = img.Digests
				}
				for _, tag := range names {
					rows = append(rows, fmt.Sprintf("%s\t%s\t%.1f MB", tag, id, float64(img.Size)/1e6))
				}
			}
			slices.Sort(rows)
			for _, r := range rows {
				fmt.Fprintln(w, r)
			}
			return w.Flush()
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().StringVar(&cfg.RuntimeEndpoint, "container-runtime-endpoint", "", "CRI socket to ask")
	return cmd
}

// runtimeEndpoints are the runtimes of all nodes that the cluster has on this machine, the first node's first.
func runtimeEndpoints(cfg *config.Config) ([]string, error) {
	if cfg.RuntimeEndpoint != "" {
		return []string{cfg.RuntimeEndpoint}, nil
	}
	if err := machine.Settle(cfg); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	endpoints := []string{engine.Containerd(cfg.Paths(), log).Endpoint()}
	nodes, err := further.All(*cfg)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		endpoints = append(endpoints, engine.Containerd(n.Paths(), log).Endpoint())
	}
	return endpoints, nil
}

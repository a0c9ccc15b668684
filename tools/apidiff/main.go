// Command apidiff compares what a running cluster serves with what a kube-apiserver v1.37.1 serves: discovery (verbs, subresources, short
// names, categories, order), table columns, OpenAPI paths and definitions, names of metrics and health checks, and the objects that are
// there before anybody has written one.
//
//	apidiff -kubeconfig FILE                     print what differs and is not explained; exit status 1 if anything does
//	apidiff -kubeconfig FILE -dump golden.gz     write the facts of a cluster, as the golden file was made from a real v1.37.1
//
// Both sides are read by the same code into lines of "key<TAB>value". Differences whose key a row of docs/differences.md names are counted
// and not printed.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

//go:embed golden.gz
var golden embed.FS

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "of the cluster")
	dump := flag.String("dump", "", "write the cluster's facts to this file and compare nothing")
	explained := flag.String("explained", "docs/differences.md", "the document whose rows explain differences")
	all := flag.Bool("all", false, "print explained differences too")
	flag.Parse()
	status, err := run(*kubeconfig, *dump, *explained, *all)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apidiff:", err)
		os.Exit(2)
	}
	os.Exit(status)
}

func run(kubeconfig, dump, explained string, all bool) (int, error) {
	s, err := newServer(kubeconfig)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	have, err := read(ctx, s)
	if err != nil {
		return 0, err
	}
	if dump != "" {
		return 0, have.write(dump)
	}
	f, err := golden.Open("golden.gz")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	want, err := parse(f)
	if err != nil {
		return 0, err
	}
	why, err := readExplained(explained)
	if err != nil {
		return 0, err
	}
	open, known := 0, 0
	used := map[string]bool{}
	for _, d := range compare(want, have) {
		pattern := why.of(d.key)
		if pattern != "" {
			used[pattern] = true
			known++
			if !all {
				continue
			}
		} else {
			open++
		}
		fmt.Println(d)
	}
	for _, p := range why {
		if !used[p] {
			fmt.Printf("%s: explains no difference any more\n", p)
			open++
		}
	}
	fmt.Printf("%d facts compared, %d differences not explained, %d explained\n", len(want), open, known)
	if open > 0 {
		return 1, nil
	}
	return 0, nil
}

// server asks one API server. It runs no goroutines of its own.
type server struct{ client *rest.RESTClient }

func newServer(kubeconfig string) (*server, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst, cfg.WarningHandler = 200, 200, rest.NoWarnings{}
	c, err := rest.UnversionedRESTClientFor(dynamicConfig(cfg))
	if err != nil {
		return nil, err
	}
	return &server{c}, nil
}

// get returns the body at a path, also of a server that says that it is not well.
func (s *server) get(ctx context.Context, at, accept string) ([]byte, error) {
	at, query, _ := strings.Cut(at, "?")
	r := s.client.Get().AbsPath(at).SetHeader("Accept", accept)
	if query != "" {
		r = r.Param(query, "true")
	}
	status := 0
	res := r.Do(ctx).StatusCode(&status)
	data, err := res.Raw()
	if err != nil && status != http.StatusInternalServerError {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return data, nil
}

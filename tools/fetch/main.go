// Command fetch prints what a URL answers: a client for test images that resolves names in Go, because a static busybox on
// glibc cannot.
//
//	fetch [-k] [-account] URL
//
// An answer that is not 2xx is an error. -k takes any certificate; -account speaks as the pod's service account, to the API server alone.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	anybody := flag.Bool("k", false, "take any certificate")
	asAccount := flag.Bool("account", false, "speak as the pod's service account")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: fetch [-k] [-account] URL")
		os.Exit(2)
	}
	if err := fetch(flag.Arg(0), *anybody, *asAccount); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func fetch(url string, anybody, asAccount bool) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	conf := &tls.Config{InsecureSkipVerify: anybody}
	if asAccount {
		token, err := os.ReadFile(account + "token")
		if err != nil {
			return err
		}
		ca, err := os.ReadFile(account + "ca.crt")
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+string(token))
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(ca)
	}
	c := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment}}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s", res.Status)
	}
	return nil
}

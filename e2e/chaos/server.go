package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// server is the process that is killed.
type server struct {
	bin, dir, addr string
	cmd            *exec.Cmd
	ended          chan struct{}
	client         *http.Client
	url            string
}

func newServer(bin, dir string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &server{bin: bin, dir: dir, addr: l.Addr().String()}, nil
}

// down takes away what the server made on the machine outside its data directory; one that was killed could not.
func (s *server) down() {
	if out, err := exec.Command(s.bin, "down", "--data-dir", s.dir).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: down: %v: %s\n", err, out)
	}
}

// start starts the server and returns when it is ready, with the time that took.
func (s *server) start() (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(s.dir, "..", "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	s.cmd = exec.Command(s.bin, "server", "--no-node", "--data-dir", s.dir, "--listen", s.addr,
		"--cluster-cidr", "10.250.0.0/16", "--service-cidr", "10.251.0.0/16")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	for time.Since(begun) < time.Minute {
		select {
		case <-s.ended:
			return 0, errors.New("the server ended while it started; see " + log.Name())
		case <-time.After(3 * time.Millisecond):
		}
		if s.client == nil && s.connect() != nil {
			continue
		}
		if r, err := s.client.Get(s.url + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return time.Since(begun), nil
			}
		}
	}
	return 0, errors.New("the server is not ready within a minute")
}

// kill ends the server as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
	s.client.CloseIdleConnections()
}

// pause stops the server for a while.
func (s *server) pause(d time.Duration) {
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d)
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
}

// connect makes the client that the administrator's kubeconfig describes.
func (s *server) connect() error {
	text, err := os.ReadFile(filepath.Join(s.dir, "admin.kubeconfig"))
	if err != nil {
		return err
	}
	field := func(name string) ([]byte, error) {
		m := regexp.MustCompile(name + `: *"?([^"\s]+)`).FindSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("the kubeconfig has no %s", name)
		}
		return base64.StdEncoding.DecodeString(string(m[1]))
	}
	ca, err := field("certificate-authority-data")
	if err != nil {
		return err
	}
	cert, err := field("client-certificate-data")
	if err != nil {
		return err
	}
	key, err := field("client-key-data")
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	s.url = "https://" + s.addr
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		MaxIdleConnsPerHost: 32,
	}}
	return nil
}

package main

import (
	"encoding/json"
	"io"
	"os"
	"syscall"
)

// request and response are those of internal/node/network.
type request struct {
	Command     string          `json:"command"`
	ContainerID string          `json:"containerID"`
	NetNS       string          `json:"netns"`
	IfName      string          `json:"ifName"`
	Args        string          `json:"args"`
	Config      json.RawMessage `json:"config"`
}

type response struct {
	Result json.RawMessage `json:"result"`
	Error  *failure        `json:"error"`
}

// failure is an error in the words of the CNI specification, section 5.
type failure struct {
	CNIVersion string `json:"cniVersion"`
	Code       int    `json:"code"`
	Msg        string `json:"msg"`
	Details    string `json:"details,omitempty"`
}

const (
	codeIO       = 5
	codeDecoding = 6
	codeConfig   = 7
	codeTryAgain = 11
	codeNotReady = 50
)

const versions = `{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}` + "\n"

func main() {
	out, fail := run()
	if fail != nil {
		out, _ = json.Marshal(fail)
		os.Stdout.Write(append(out, '\n'))
		os.Exit(1)
	}
	os.Stdout.Write(out)
}

func run() ([]byte, *failure) {
	command := os.Getenv("CNI_COMMAND")
	if command == "VERSION" {
		return []byte(versions), nil
	}
	conf, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, &failure{CNIVersion: "1.0.0", Code: codeIO, Msg: "read configuration", Details: err.Error()}
	}
	if isLoopback(os.Args[0]) {
		return loopback(command, conf)
	}
	var known struct {
		CNIVersion string `json:"cniVersion"`
		Socket     string `json:"socket"`
	}
	if err := json.Unmarshal(conf, &known); err != nil || known.Socket == "" {
		return nil, &failure{CNIVersion: "1.0.0", Code: codeConfig, Msg: "configuration has no socket"}
	}
	fail := func(code int, msg string, err error) ([]byte, *failure) {
		return nil, &failure{CNIVersion: known.CNIVersion, Code: code, Msg: msg, Details: err.Error()}
	}
	body, err := json.Marshal(request{command, os.Getenv("CNI_CONTAINERID"), os.Getenv("CNI_NETNS"), os.Getenv("CNI_IFNAME"), os.Getenv("CNI_ARGS"), conf})
	if err != nil {
		return fail(codeDecoding, "encode request", err)
	}
	data, err := ask(known.Socket, body)
	switch {
	case err == nil:
	case command == "DEL" || command == "GC":
		// The node process is away. The pod's link dies with its namespace, and the node frees the address when it comes
		// back and finds the namespace gone; waiting for it here would keep pods from being torn down.
		return nil, nil
	case command == "STATUS":
		return fail(codeNotReady, "sampan's node process does not answer on "+known.Socket, err)
	default:
		return fail(codeTryAgain, "sampan's node process does not answer on "+known.Socket, err)
	}
	var r response
	if err := json.Unmarshal(data, &r); err != nil {
		return fail(codeDecoding, "decode answer", err)
	}
	if r.Error != nil {
		r.Error.CNIVersion = known.CNIVersion
		return nil, r.Error
	}
	if command != "ADD" {
		return nil, nil
	}
	return append(r.Result, '\n'), nil
}

// ask sends one request and reads the answer to its end. The node answers within a minute or closes the connection.
func ask(socket string, body []byte) ([]byte, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), socket)
	defer f.Close()
	if _, err := f.Write(append(body, '\n')); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err == nil && len(data) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return data, err
}

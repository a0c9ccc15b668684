package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	configv1 "k8s.io/kubelet/config/v1"
	providerv1 "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

// patience is how long a program may take.
const patience = time.Minute

// run asks the program of a provider, which gets the question on its standard input and answers on its standard output.
func run(ctx context.Context, bin string, p *configv1.CredentialProvider, q providerv1.CredentialProviderRequest) (*providerv1.CredentialProviderResponse, error) {
	q.TypeMeta = metav1.TypeMeta{Kind: "CredentialProviderRequest", APIVersion: p.APIVersion}
	question, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("failed to encode auth request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var answer, said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, p.Name), p.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(question), &answer, &said
	cmd.WaitDelay = time.Second // for a child that keeps the output open
	cmd.Env = os.Environ()
	for _, v := range p.Env { // later ones win
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("error execing credential provider plugin %s for image %s: %w: %s", p.Name, q.Image, err, said.String())
	}
	out := &providerv1.CredentialProviderResponse{}
	if err := json.Unmarshal(answer.Bytes(), out); err != nil {
		return nil, errors.New("error decoding credential provider plugin response from stdout") // the error may tell of credentials
	}
	if out.APIVersion != p.APIVersion {
		return nil, fmt.Errorf("apiVersion from credential plugin response did not match expected apiVersion:%s, actual apiVersion:%s", p.APIVersion, out.APIVersion)
	}
	return out, nil
}

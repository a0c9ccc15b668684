package hold

import (
	"os"
)

// SecretPipe returns the reading end of a pipe that holds a secret and ends behind it.
func SecretPipe(secret string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.WriteString(secret); err != nil { // it fits: a pipe holds 64 KiB
		r.Close()
		return nil, err
	}
	return r, nil
}

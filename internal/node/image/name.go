package image

import (
	"fmt"
	"strings"

	"sampan.dev/internal/pattern"
)

// imageRef is the grammar of image names (github.com/distribution/reference): host and path, tag, digest.
var imageRef = pattern.New(`^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`)

// tagged checks an image name and adds :latest to one with neither tag nor digest.
func tagged(image string) (string, error) {
	m := imageRef.FindStringSubmatch(image)
	if m == nil {
		return "", fmt.Errorf("couldn't parse image name %q: invalid reference format", image)
	}
	if m[1] == "" && m[2] == "" {
		return image + ":latest", nil
	}
	return image, nil
}

// registryPath is the image without tag and digest, as keys of docker's configuration name it.
func registryPath(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	host, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		return "docker.io/library/" + name
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return "docker.io/" + name
	}
	return host + "/" + rest
}

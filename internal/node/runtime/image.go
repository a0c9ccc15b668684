package runtime

import (
	"context"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Image implements Interface.
func (c *CRI) Image(ctx context.Context, ref string) (*Image, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.img.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	if err != nil {
		return nil, err
	}
	if r.GetImage().GetId() == "" {
		return nil, nil
	}
	img := imageOf(r.Image)
	return &img, nil
}

// Images implements Interface.
func (c *CRI) Images(ctx context.Context) ([]Image, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.img.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return nil, err
	}
	out := make([]Image, 0, len(r.Images))
	for _, i := range r.Images {
		out = append(out, imageOf(i))
	}
	return out, nil
}

func imageOf(i *cri.Image) Image {
	out := Image{ID: i.Id, Tags: i.RepoTags, Digests: i.RepoDigests, Size: int64(i.Size), Username: i.Username, Pinned: i.Pinned}
	if i.Uid != nil {
		out.UID = &i.Uid.Value
	}
	return out
}

// Pull implements Interface. It has no time limit of its own: the runtime watches the progress of a pull.
func (c *CRI) Pull(ctx context.Context, ref string, auth *cri.AuthConfig, sandboxCfg *cri.PodSandboxConfig) (string, error) {
	if id, err := c.offered(ctx, ref); id != "" || err != nil {
		return id, err
	}
	if c.BeforePull != nil {
		if err := c.BeforePull(); err != nil {
			return "", err
		}
	}
	r, err := c.img.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}, Auth: auth, SandboxConfig: sandboxCfg})
	return r.GetImageRef(), err
}

// RemoveImage implements Interface.
func (c *CRI) RemoveImage(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.img.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: ref}})
	return gone(err)
}

// ImageFS implements Interface.
func (c *CRI) ImageFS(ctx context.Context) ([]*cri.FilesystemUsage, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := c.img.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	return r.GetImageFilesystems(), err
}

package volume

import (
	"context"
	"errors"

	"sampan.dev/internal/node/csi"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
)

// driven is a volume of a CSI driver: a persistent one, or one that lives as long as its pod. node/csi calls the driver.
type driven struct{ alone }

func (driven) handles(v *corev1.Volume) bool { return v.CSI != nil }

func (d driven) mount(ctx context.Context, m mounting) (Mounted, error) {
	r := m.request()
	r.Inline = m.volume.CSI
	r.ReadOnly = m.volume.CSI.ReadOnly != nil && *m.volume.CSI.ReadOnly
	got, err := d.call(ctx, m, r)
	if err != nil {
		return got, m.stepOf(m.volume.Name, err)
	}
	return got, nil
}

func (driven) has(pv *corev1.PersistentVolume) bool { return pv.Spec.CSI != nil }

func (d driven) mountPersistent(ctx context.Context, m mounting, pv *corev1.PersistentVolume, readOnly bool) (Mounted, error) {
	r := m.request()
	r.PV, r.ReadOnly = pv, readOnly
	return d.call(ctx, m, r)
}

// request is what is the same for both kinds.
func (m mounting) request() csi.Request {
	return csi.Request{Pod: m.pod, Volume: m.volume.Name, Group: fsGroup(m.pod),
		Token: func(ctx context.Context, audience string, seconds *int64, keep bool) (authv1.TokenRequestStatus, error) {
			life := int64(0)
			if seconds != nil {
				life = *seconds
			}
			if keep {
				return m.tokens.get(ctx, m.src.Token, m.pod, audience, life)
			}
			res, err := askToken(ctx, m.src.Token, m.pod, audience, life)
			return res.Status, err
		},
		Claim: m.lookAtClaim,
	}
}

// call has the volume made, and gives what is new to the pod's group where the driver does not.
func (driven) call(ctx context.Context, m mounting, r csi.Request) (Mounted, error) {
	if m.src.CSI == nil {
		return Mounted{}, errors.New("kubernetes.io/csi: failed to get a kubernetes client")
	}
	got, err := m.src.CSI.Mount(ctx, r)
	if err != nil {
		return Mounted{}, err
	}
	if got.Fresh && got.Group {
		if err := m.ownPersistent(got.Path, *r.Group); err != nil {
			m.src.CSI.Again(r)
			return Mounted{}, err
		}
	}
	return Mounted{Path: got.Path, Device: got.Device, ReadOnly: r.ReadOnly}, nil
}

// stepOf is an error with the volume's name and the step that failed.
func (m mounting) stepOf(name string, err error) error {
	var step *csi.Error
	switch {
	case !errors.As(err, &step):
		return &Error{Volume: name, Err: err}
	case step.Waiting:
		return &unready{volume: m.volume.Name, err: step.Err, attach: true}
	}
	return &Error{Volume: name, Err: step.Err, step: step.Step}
}

package rest

import (
	"net/http"

	"sampan.dev/internal/hub/wire"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// deleteOptions come in the body, or else as parameters.
func (c *call) deleteOptions() (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	data, err := c.read()
	if err != nil {
		return opts, err
	}
	if len(data) == 0 {
		if err := c.options(&opts); err != nil {
			return opts, err
		}
	} else {
		f, err := wire.BodyFormat(c.r.Header.Get("Content-Type"))
		if err != nil {
			return opts, err
		}
		if err := wire.DecodeDeleteOptions(data, f, &opts); err != nil {
			return opts, err
		}
	}
	return opts, optionErrors("DeleteOptions", metav1validation.ValidateDeleteOptions(&opts))
}

func (c *call) delete() error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	res, gone, err := c.s.cfg.Verbs.Delete(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if !gone && opts.OrphanDependents != nil && !*opts.OrphanDependents { //nolint:staticcheck // old clients
		code = http.StatusAccepted
	}
	return c.send(code, res)
}

func (c *call) deleteCollection() error {
	var list metav1.ListOptions
	if err := c.options(&list); err != nil {
		return err
	}
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	if unread := opts.IgnoreStoreReadErrorWithClusterBreakingPotential; unread != nil && *unread {
		return optionErrors("DeleteOptions", field.ErrorList{field.Invalid(field.NewPath("ignoreStoreReadErrorWithClusterBreakingPotential"), true,
			"is not allowed with DELETECOLLECTION, try again after removing the option")})
	}
	l, err := c.s.cfg.Verbs.DeleteCollection(c.r.Context(), c.req, opts, list)
	if err != nil {
		return err
	}
	return c.sendList(l)
}

package rest

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
)

func (c *call) create() error {
	var opts metav1.CreateOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if err := optionErrors("CreateOptions", metav1validation.ValidateCreateOptions(&opts)); err != nil {
		return err
	}
	obj, err := c.body(opts.FieldValidation)
	if err != nil {
		return err
	}
	res, err := c.s.cfg.Verbs.Create(c.r.Context(), c.req, obj, opts)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, res)
}

func (c *call) update() error {
	var opts metav1.UpdateOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if err := optionErrors("UpdateOptions", metav1validation.ValidateUpdateOptions(&opts)); err != nil {
		return err
	}
	obj, err := c.body(opts.FieldValidation)
	if err != nil {
		return err
	}
	res, created, err := c.s.cfg.Verbs.Update(c.r.Context(), c.req, obj, opts)
	if err != nil {
		return err
	}
	return c.send(codeFor(created), res)
}

func codeFor(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (c *call) patch() error {
	pt := patchType(c.r)
	var opts metav1.PatchOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if err := optionErrors("PatchOptions", metav1validation.ValidatePatchOptions(&opts, pt)); err != nil {
		return err
	}
	data, err := c.read()
	if err != nil {
		return err
	}
	res, created, err := c.s.cfg.Verbs.Patch(c.r.Context(), c.req, pt, data, opts)
	if err != nil {
		return err
	}
	return c.send(codeFor(created), res)
}

package rest

import (
	"net/http"

	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (c *call) get() error {
	var opts metav1.GetOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	res, err := c.s.cfg.Verbs.Get(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, res)
}

func (c *call) list() error {
	var opts metav1.ListOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	l, err := c.s.cfg.Verbs.List(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	return c.sendList(l)
}

func (c *call) sendList(l *verb.Listing) error {
	if err := c.x.holdAnswer(c.s, c.r, l.Size(), c.out.Whole()); err != nil {
		return err
	}
	meta := metav1.ListMeta{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining}
	return c.out.WriteList(c.w, c.r, c.req.Kind, meta, len(l.Items), func(i int) wire.Item { return &l.Items[i] })
}

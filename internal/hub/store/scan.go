package store

import "context"

// Scanner is a Store that can show a whole prefix for less than List does.
type Scanner interface {
	Store
	// Scan calls fn with what is under prefix, in key order and in parts, as of the revision that it returns. Values may be
	// looked at until Scan returns and no longer: they lie in memory that is not the caller's.
	Scan(ctx context.Context, prefix string, fn func([]KV) error) (revision int64, err error)
}

// PageSize is how many keys are listed at once: a full listing straight from etcd costs three times its size in memory.
const PageSize = 500

// Scan is Scanner.Scan for any store.
func Scan(ctx context.Context, s Store, prefix string, fn func([]KV) error) (revision int64, err error) {
	if sc, ok := s.(Scanner); ok {
		return sc.Scan(ctx, prefix, fn)
	}
	return Pages(ctx, s, prefix, 0, fn)
}

// Pages lists a prefix page by page as of one revision, which it returns; 0 is now.
func Pages(ctx context.Context, s Store, prefix string, revision int64, fn func([]KV) error) (int64, error) {
	page := Page{Prefix: prefix, Limit: PageSize, Revision: revision}
	for {
		l, err := s.List(ctx, page)
		if err != nil {
			return 0, err
		}
		if len(l.KVs) > 0 {
			if err := fn(l.KVs); err != nil {
				return 0, err
			}
		}
		if page.Revision = l.Revision; !l.More {
			return l.Revision, nil
		}
		page.From = l.KVs[len(l.KVs)-1].Key + "\x00"
	}
}

// Package loop is the kit of every controller: a work queue that never holds a key twice and retries with backoff, the
// workers over it, a ledger of a controller's own writes that keeps it from acting on a view older than them, owner
// references, slow-start batches.
//
// A controller is one file: the kinds it watches (informers of Env.Informers), a key function (handlers that call
// Queue.Add), and Reconcile(ctx, key), whose decision part is a pure function:
//
//	c := &loop.Controller{Name: env.Name, Workers: 5, Queue: loop.NewQueue(), Log: env.Log}
//	pods := cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
//	pods.Handle(cache.Handler[*corev1.Pod]{Add: …, Update: …, Delete: …})
//	c.Synced = append(c.Synced, pods.Synced())
//	c.Reconcile = r.reconcile
//	return c                   // control.Run calls c.Run(ctx)
//
// It owns no data but queues and ledgers. A running Controller has Workers goroutines, and Run returns when they have.
// Only packages below internal/control may import it.
package loop

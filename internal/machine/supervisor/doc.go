// Package supervisor tells whoever started this process how it is, as systemd has it (sd_notify): that it is ready, that it stops, and,
// where it was asked for signs of life, that it lives.
//
// The socket is taken out of the environment, so that neither containerd nor any other child speaks for us. It owns a timer only when
// WATCHDOG_USEC asks for one. cmd/sampan and internal/cluster import it.
package supervisor

// Package plug is a cloud that is a program of its own, which serves cloudv1 over gRPC.
//
// New asks the program once what it offers. It owns the connection, which lasts as long as the process and heals itself.
// internal/component/cloud imports it.
package plug

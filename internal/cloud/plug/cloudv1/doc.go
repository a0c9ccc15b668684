// Package cloudv1 is made of cloud.proto, which describes a cloud that is a program of its own. The file cloud.pb.go is made by
// protoc-gen-go, cloud_grpc.pb.go by protoc-gen-go-grpc, both with paths=source_relative. internal/cloud/plug and providers import it.
package cloudv1

package raw

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/wrapperspb" // registers the file that the service imports
)

// Service is the full name of the test service.
const Service = "manifold.test.v1.Test"

// Full names of its methods, as in :path.
const (
	Unary        = "/" + Service + "/Unary"
	ServerStream = "/" + Service + "/ServerStream"
	ClientStream = "/" + Service + "/ClientStream"
	Bidi         = "/" + Service + "/Bidi"
)

// File is the name of the .proto file that describes the service, for reflection.
const File = "manifold/test/v1/test.proto"

// Describe registers the descriptor of the service, so that grpcurl can call it by reflection.
func Describe() error {
	method := func(name string, clientStreams, serverStreams bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String(".google.protobuf.BytesValue"),
			OutputType:      proto.String(".google.protobuf.BytesValue"),
			ClientStreaming: proto.Bool(clientStreams), ServerStreaming: proto.Bool(serverStreams),
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String(File), Package: proto.String("manifold.test.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/wrappers.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("Test"),
			Method: []*descriptorpb.MethodDescriptorProto{
				method("Unary", false, false), method("ServerStream", false, true),
				method("ClientStream", true, false), method("Bidi", true, true),
			},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	return protoregistry.GlobalFiles.RegisterFile(file)
}

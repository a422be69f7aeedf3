module manifold.test

go 1.25.0

require (
	github.com/siderolabs/grpc-proxy v0.5.2
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260120221211-b8f7ae30c516
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

// Command nodes is many backends of a fan-out in one process: a grpc-go server on as many loopback ports as are asked for.
//
// Its replies have the shape that github.com/siderolabs/grpc-proxy joins, and cost as little as grpc-go allows: made once, sent as
// opaque bytes. The service is manifold.test.v1.Test:
//
//	Unary         answers with Reply { repeated Response response = 1; } of one element, 100 bytes in all
//	ServerStream  sends x-reply-count (default 1) messages that are elements themselves, of 100 bytes
//
// The first line of its output is "listening PORT PORT ...".
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"manifold.test/internal/raw"
)

const replySize = 100

var (
	element = raw.Bytes(replySize)
	// reply is one element behind its tag (field 1, length-delimited) and length.
	reply = &raw.Message{Bytes: append([]byte{0x0a, replySize - 2}, raw.Bytes(replySize-2).Bytes...)}
)

func main() {
	log.SetFlags(0)
	count := flag.Int("count", 3, "how many ports to listen on")
	flag.Parse()

	server := grpc.NewServer(grpc.ForceServerCodecV2(raw.Codec()))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: raw.Service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams:     []grpc.StreamDesc{{StreamName: "ServerStream", Handler: serverStream, ServerStreams: true}},
	}, struct{}{})
	ports := make([]string, *count)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		ports[i] = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		go func() { log.Fatal(server.Serve(listener)) }()
	}
	fmt.Printf("listening %s\n", strings.Join(ports, " "))
	select {}
}

func unary(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	return reply, decode(&raw.Message{})
}

func serverStream(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(&raw.Message{}); err != nil {
		return err
	}
	count := 1
	md, _ := metadata.FromIncomingContext(stream.Context())
	if values := md["x-reply-count"]; len(values) > 0 {
		var err error
		if count, err = strconv.Atoi(values[0]); err != nil {
			return status.Errorf(codes.InvalidArgument, "invalid x-reply-count %q", values[0])
		}
	}
	for range count {
		if err := stream.SendMsg(element); err != nil {
			return err
		}
	}
	return nil
}

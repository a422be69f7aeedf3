// Command grpcproxy is a one-to-one transparent proxy made of github.com/siderolabs/grpc-proxy, to compare with.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"manifold.test/internal/raw"
)

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	to := flag.String("to", "", "host:port of the backend")
	flag.Parse()

	limits := grpc.WithDefaultCallOptions(
		grpc.ForceCodecV2(proxy.Codec()), grpc.MaxCallRecvMsgSize(raw.MaxMessage), grpc.MaxCallSendMsgSize(raw.MaxMessage))
	conn, err := grpc.NewClient(*to, grpc.WithTransportCredentials(insecure.NewCredentials()), limits)
	if err != nil {
		log.Fatal(err)
	}
	backend := &proxy.SingleBackend{GetConn: func(ctx context.Context) (context.Context, *grpc.ClientConn, error) {
		// The caller's metadata goes on, but not what the transport writes itself.
		md, _ := metadata.FromIncomingContext(ctx)
		md = md.Copy()
		delete(md, ":authority")
		delete(md, "user-agent")
		return metadata.NewOutgoingContext(ctx, md), conn, nil
	}}
	director := func(context.Context, string) (proxy.Mode, []proxy.Backend, error) {
		return proxy.One2One, []proxy.Backend{backend}, nil
	}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(proxy.Codec()), grpc.MaxRecvMsgSize(raw.MaxMessage), grpc.MaxSendMsgSize(raw.MaxMessage),
		grpc.UnknownServiceHandler(proxy.TransparentHandler(director)))
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %s\n", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

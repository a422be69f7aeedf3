// Command grpcproxy is a transparent proxy made of github.com/siderolabs/grpc-proxy, to compare with: one to one, or with several
// backends (--to A,B,C) one to many. Then methods with Stream in their names are streamed, and all others unary.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"manifold.test/internal/raw"
)

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	to := flag.String("to", "", "host:port of the backend, or several, separated by commas")
	flag.Parse()

	limits := grpc.WithDefaultCallOptions(
		grpc.ForceCodecV2(proxy.Codec()), grpc.MaxCallRecvMsgSize(raw.MaxMessage), grpc.MaxCallSendMsgSize(raw.MaxMessage))
	mode, backends := proxy.One2One, []proxy.Backend{}
	addresses := strings.Split(*to, ",")
	for _, address := range addresses {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), limits)
		if err != nil {
			log.Fatal(err)
		}
		single := proxy.SingleBackend{GetConn: func(ctx context.Context) (context.Context, *grpc.ClientConn, error) {
			// The caller's metadata goes on, but not what the transport writes itself.
			md, _ := metadata.FromIncomingContext(ctx)
			md = md.Copy()
			delete(md, ":authority")
			delete(md, "user-agent")
			return metadata.NewOutgoingContext(ctx, md), conn, nil
		}}
		if len(addresses) == 1 {
			backends = append(backends, &single)
		} else {
			mode = proxy.One2Many
			backends = append(backends, newNode(address, single))
		}
	}
	director := func(context.Context, string) (proxy.Mode, []proxy.Backend, error) {
		return mode, backends, nil
	}
	streamed := proxy.WithStreamedDetector(func(method string) bool { return strings.Contains(method, "Stream") })
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(proxy.Codec()), grpc.MaxRecvMsgSize(raw.MaxMessage), grpc.MaxSendMsgSize(raw.MaxMessage),
		grpc.UnknownServiceHandler(proxy.TransparentHandler(director, streamed)))
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %s\n", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

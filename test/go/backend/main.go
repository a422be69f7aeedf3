// Command backend is a grpc-go server whose four methods do what the call's metadata asks for.
//
// It needs no generated code: messages are opaque bytes (they read as google.protobuf.BytesValue, which is also what
// reflection says). The service is manifold.test.v1.Test:
//
//	Unary         echoes the request
//	ServerStream  sends x-reply-count (default 1) messages
//	ClientStream  answers with {"messages":N,"bytes":N,"sha256":"..."} as the value
//	Bidi          echoes every message as it comes
//
// Request metadata, all optional:
//
//	x-reply-bytes N        replies have N bytes instead of being the echo
//	x-reply-count N        ServerStream: how many
//	x-interval-ms N        wait before each reply but the first
//	x-sleep-ms N           wait before anything is sent
//	x-never 1              never answer (until the call is cancelled)
//	x-headers-first 1      send the response headers at once, before sleeping or reading
//	x-fail CODE            end with that number as grpc-status. Trailers-Only, unless x-headers-first or x-fail-after is given
//	x-fail-message TEXT    its message (x-fail-message-bin for one that is no ASCII)
//	x-fail-details N       with N google.rpc.ErrorInfo details
//	x-fail-after N         ... after N replies
//	x-echo headers|trailers|both  every request header returned as echo-NAME (":" dropped), and echo-deadline-ms
//	x-hash 1               trailer x-sha256: hex hash of all request messages, one after the other
//	x-call-id ID           the id that --events prints; returned in the trailer x-call-id
//
// "NAME.x-fail" and so on is for the endpoint of that name only: a fan-out gives all of them the same metadata.
// With --name, every reply has the trailer x-endpoint, and the header too unless it is Trailers-Only.
// The first line of its output is "listening HOST:PORT".
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"manifold.test/internal/raw"
)

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	name := flag.String("name", "", "name of this endpoint, returned as x-endpoint")
	streams := flag.Uint("max-concurrent-streams", math.MaxUint32, "SETTINGS_MAX_CONCURRENT_STREAMS")
	maxAge := flag.Duration("max-connection-age", 0, "send GOAWAY after this time (0: never)")
	maxHeaders := flag.Uint("max-header-list-size", 1<<20, "SETTINGS_MAX_HEADER_LIST_SIZE")
	events := flag.Bool("events", false, "print one JSON line at the start and at the end of every call")
	anyService := flag.Bool("any-service", false, "serve the four methods under every service name")
	cert := flag.String("cert", "", "serve TLS with this certificate (PEM file)")
	key := flag.String("key", "", "its key (PEM file)")
	clientCA := flag.String("client-ca", "", "require client certificates signed by this CA (PEM file)")
	flag.Parse()

	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(raw.Codec()),
		grpc.MaxConcurrentStreams(uint32(*streams)),
		grpc.MaxRecvMsgSize(raw.MaxMessage), grpc.MaxSendMsgSize(raw.MaxMessage),
		grpc.MaxHeaderListSize(uint32(*maxHeaders)),
	}
	if *maxAge > 0 {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: *maxAge, MaxConnectionAgeGrace: time.Minute,
		}))
	}
	if *cert != "" {
		config, err := tlsConfig(*cert, *key, *clientCA)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	service := &service{name: *name, events: *events}
	if *anyService {
		options = append(options, grpc.UnknownServiceHandler(service.unknown))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&description, service)
	if err := raw.Describe(); err != nil {
		log.Fatal(err)
	}
	reflection.Register(server)

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %s\n", listener.Addr())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

func tlsConfig(cert, key, clientCA string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", clientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}

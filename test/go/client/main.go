// Command client calls the test service of ../backend at an address, as an ordinary grpc-go client does, and prints
// "ok NAME" or "FAIL NAME: why" for each check, then "N passed, N failed". It exits with 1 if anything failed.
//
//	client --addr 127.0.0.1:8080 [--ca ca.pem --server-name NAME [--cert c.pem --key c.key]] [--only NAME] [--fan-out A,B,C]
//
// With --fan-out what it calls is a proxy that sends each call to the backends of these names, and wraps their replies, or merges them
// where the header x-layout is "merge". With the header x-dead there is one more, "dead", on which nobody listens.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"manifold.test/internal/raw"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "", "host:port to call")
	only := flag.String("only", "", "run this check only")
	ca := flag.String("ca", "", "use TLS, and trust this CA (PEM file)")
	serverName := flag.String("server-name", "", "name to expect in the server's certificate")
	cert := flag.String("cert", "", "client certificate (PEM file)")
	key := flag.String("key", "", "its key (PEM file)")
	fanOut := flag.String("fan-out", "", "names of the backends that every call goes to")
	flag.Parse()

	creds, err := transport(*ca, *serverName, *cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient(*addr, append(raw.DialOptions(), grpc.WithTransportCredentials(creds))...)
	if err != nil {
		log.Fatal(err)
	}
	if *fanOut != "" {
		checks = fanOutChecks(strings.Split(*fanOut, ","))
	}
	passed, failed := 0, 0
	for _, check := range checks {
		if *only != "" && *only != check.name {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := check.run(ctx, conn)
		cancel()
		if err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", check.name, err)
			continue
		}
		passed++
		fmt.Printf("ok %s\n", check.name)
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func transport(ca, serverName, cert, key string) (credentials.TransportCredentials, error) {
	if ca == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{ServerName: serverName, RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", ca)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

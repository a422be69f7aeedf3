// A Go client of the fan-out: asks all nodes for their version, and follows all their logs.
//
//	go run . 127.0.0.1:8080
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	nodev1 "example.com/fan-out/gen/acme/node/v1"
	manifoldv1 "example.com/fan-out/gen/manifold/v1"
)

func main() {
	address := "127.0.0.1:8080"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx, nodev1.NewNodeServiceFanOutClient(connection)); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, nodes nodev1.NodeServiceFanOutClient) error {
	reply, err := nodes.GetVersion(ctx, &nodev1.GetVersionRequest{})
	if err != nil {
		return err
	}
	for _, leg := range reply.Legs {
		fmt.Println("version", tell(leg.Info, leg.Reply.GetVersion()))
	}

	logs, err := nodes.FollowLog(ctx, &nodev1.FollowLogRequest{Lines: 2})
	if err != nil {
		return err
	}
	for {
		leg, err := logs.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Println("log", tell(leg.Info, leg.Reply.GetLine()))
	}
}

// tell says what came of a leg: its reply, or the error that it failed with.
func tell(info *manifoldv1.LegInfo, reply string) string {
	if info.Status != nil {
		return fmt.Sprintf("%s: %v", info.Backend, status.ErrorProto(info.Status))
	}
	return fmt.Sprintf("%s: %s", info.Backend, reply)
}

// Command load is what h2load can't do for the benchmarks: calls at a fixed rate, idle connections and idle streams.
//
//	load check --addr A                                 one call of each kind that the benchmarks make, replies compared
//	load check --addr A --nodes 3                       the same of a fan-out over that many backends of test/go/nodes
//	load rate --addr A --rps 2000 --seconds 5 --connections 4 --bytes 100 --replies 1000
//	load mix --addr A --rps 80 --seconds 1800 --connections 4 --cancel 0.2 --seed 1
//	load idle --addr A --connections 100 --streams 100  opens them, prints "open", keeps them until stdin ends
//
// rate prints {"calls":N,"failed":N,"p50_us":N,"p90_us":N,"p99_us":N,"max_us":N,"rps":N}. Calls start on schedule
// whatever happened to earlier ones, so that a stall of the proxy delays every call that falls into it, not one. With --replies they
// are calls of ServerStream with that many messages from each backend, else of Unary.
//
// mix makes calls of all kinds over gRPC, and in gRPC-Web and Connect over HTTP/1.1, compares every message, and cancels a share of
// the calls at any time. It prints a line for each call that isn't as it must be, {"kind":...,"code":N,"wrong":false,"message":...,
// "began_ms":N,"ended_ms":N,"cancelled":false} (times since 1970; the code 2 where there was no status), then
// {"seconds":N,"kinds":{"unary":{"calls":N,"cancelled":N,"failed":N,"wrong":N},...}}, where "cancelled" are those that hadn't ended before.
//
// check --nodes prints {"unary":N,"stream":N}: the bytes of DATA that a reply to each is made of.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"manifold.test/internal/raw"
)

var bidiDesc = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: load check|rate|mix|idle --addr HOST:PORT ...")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	addr := flags.String("addr", "", "host:port to call")
	rps := flags.Int("rps", 2000, "rate, mix: calls per second")
	seconds := flags.Float64("seconds", 5, "rate, mix: for how long")
	connections := flags.Int("connections", 4, "how many connections")
	streams := flags.Int("streams", 0, "idle: open streams on each connection")
	size := flags.Int("bytes", 100, "rate: bytes of a message")
	replies := flags.Int("replies", 0, "rate: messages of a stream")
	cancelled := flags.Float64("cancel", 0, "mix: share of the calls that are cancelled, from 0 to 1")
	seed := flags.Uint64("seed", 1, "mix: of what is drawn")
	nodes := flags.Int("nodes", 0, "check: backends of a fan-out")
	_ = flags.Parse(os.Args[2:])

	var err error
	switch os.Args[1] {
	case "check":
		if *nodes > 0 {
			err = checkFanOut(*addr, *nodes)
		} else {
			err = check(*addr)
		}
	case "rate":
		err = rate(*addr, *connections, *rps, time.Duration(*seconds*float64(time.Second)), calls{*size, *replies})
	case "mix":
		err = runMix(*addr, *connections, *rps, time.Duration(*seconds*float64(time.Second)), draws{*cancelled, *seed})
	case "idle":
		err = idle(*addr, *connections, *streams)
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func dial(addr string, count int) ([]*grpc.ClientConn, error) {
	var conns []*grpc.ClientConn
	for range count {
		conn, err := grpc.NewClient(addr, append(raw.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// check makes the benchmarks' calls once, and compares every byte of the replies.
func check(addr string) error {
	conns, err := dial(addr, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, size := range []int{100, 1_000_000} {
		request, reply := raw.Bytes(size), raw.Message{}
		if err := conns[0].Invoke(ctx, raw.Unary, request, &reply); err != nil {
			return err
		}
		if !bytes.Equal(request.Bytes, reply.Bytes) {
			return fmt.Errorf("the reply to a message of %d bytes is not its echo", size)
		}
	}
	messages, err := readStream(ctx, conns[0], raw.Bytes(100), 1000)
	if err == nil && len(messages) != 1000 {
		err = fmt.Errorf("%d messages of a stream of 1000", len(messages))
	}
	return err
}

// readStream calls ServerStream, and reads it to its end.
func readStream(ctx context.Context, conn *grpc.ClientConn, request *raw.Message, replies int) ([]raw.Message, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-reply-count", strconv.Itoa(replies))
	stream, err := conn.NewStream(ctx, bidiDesc, raw.ServerStream)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		return nil, err
	}
	var messages []raw.Message
	for {
		var reply raw.Message
		if err := stream.RecvMsg(&reply); errors.Is(err, io.EOF) {
			return messages, nil
		} else if err != nil {
			return nil, err
		}
		messages = append(messages, reply)
	}
}

// calls is what is called at a rate: Unary, or with replies ServerStream.
type calls struct{ size, replies int }

func (c calls) call(ctx context.Context, conn *grpc.ClientConn) error {
	request := raw.Bytes(c.size)
	if c.replies == 0 {
		return conn.Invoke(ctx, raw.Unary, request, &raw.Message{})
	}
	_, err := readStream(ctx, conn, request, c.replies)
	return err
}

func rate(addr string, connections, rps int, duration time.Duration, what calls) error {
	conns, err := dial(addr, connections)
	if err != nil {
		return err
	}
	call := func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return what.call(ctx, conns[i%connections])
	}
	for i := range connections {
		if err := call(i); err != nil {
			return err
		}
	}
	total := int(duration.Seconds() * float64(rps))
	micros, failures := make([]int64, total), make([]error, total)
	var group sync.WaitGroup
	start := time.Now()
	for i := range total {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rps))
		time.Sleep(time.Until(due))
		begin := time.Now() // not due: the slack of this program's timer is not the proxy's
		group.Go(func() {
			failures[i] = call(i)
			micros[i] = time.Since(begin).Microseconds()
		})
	}
	group.Wait()
	took := time.Since(start)
	failed := 0
	for _, failure := range failures {
		if failure == nil {
			continue
		}
		if failed++; failed == 1 {
			log.Printf("first failed call: %v", failure)
		}
	}
	slices.Sort(micros)
	at := func(share float64) int64 { return micros[min(int(share*float64(total)), total-1)] }
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls": total, "failed": failed, "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "max_us": at(1),
		"rps": int(float64(total) / took.Seconds()),
	})
}

// idle opens connections and on each of them streams, with a message each way so that they are open at both ends.
func idle(addr string, connections, streams int) error {
	conns, err := dial(addr, connections)
	if err != nil {
		return err
	}
	for _, conn := range conns {
		if streams == 0 {
			if err := conn.Invoke(context.Background(), raw.Unary, raw.Bytes(100), &raw.Message{}); err != nil {
				return err
			}
		}
		for range streams {
			stream, err := conn.NewStream(context.Background(), bidiDesc, raw.Bidi)
			if err != nil {
				return err
			}
			if err := errors.Join(stream.SendMsg(raw.Bytes(100)), stream.RecvMsg(&raw.Message{})); err != nil {
				return err
			}
		}
	}
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

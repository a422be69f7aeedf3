package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"manifold.test/internal/raw"
)

// errWrong is a reply that isn't what the call must bring, whatever its status says.
var errWrong = errors.New("wrong reply")

// callDeadline is what no call may reach: one that does hangs.
const callDeadline = 60 * time.Second

// mixed is one call of the mix, drawn before it begins.
type mixed struct {
	kind string
	// Of the request, and of the replies where the server makes them.
	size, replies int
	// Server: before the first reply, and between two. Client: between two requests.
	sleepMs, intervalMs, thinkMs int
	// Cancelled after this time; negative: never.
	cancelAfter time.Duration
	never       bool
}

// kinds have the share of the calls in percent.
var kinds = []struct {
	name  string
	share int
	make  func(*mix, context.Context, mixed) error
}{
	{"unary", 35, (*mix).unary},
	{"server stream", 15, (*mix).serverStream},
	{"client stream", 5, (*mix).clientStream},
	{"bidi", 15, (*mix).bidi},
	{"grpc-web unary", 10, (*mix).webUnary},
	{"grpc-web stream", 8, (*mix).webStream},
	{"connect unary", 12, (*mix).connectUnary},
}

// mix makes calls of all kinds, each compared byte for byte, and cancels a share of them at any time.
type mix struct {
	conns []*grpc.ClientConn
	web   *web

	mu   sync.Mutex
	out  *json.Encoder
	seen map[string]*tally
}

type tally struct {
	Calls     int `json:"calls"`
	Cancelled int `json:"cancelled"`
	Failed    int `json:"failed"`
	Wrong     int `json:"wrong"`
}

// draws says what is drawn, and the same for the same seed.
type draws struct {
	cancelled float64
	seed      uint64
}

func runMix(addr string, connections, rps int, duration time.Duration, draws draws) error {
	conns, err := dial(addr, connections)
	if err != nil {
		return err
	}
	m := &mix{conns: conns, web: newWeb(addr), out: json.NewEncoder(os.Stdout), seen: map[string]*tally{}}
	for _, kind := range kinds {
		m.seen[kind.name] = &tally{}
	}
	random := rand.New(rand.NewPCG(draws.seed, draws.seed))
	total := int(duration.Seconds() * float64(rps))
	var group sync.WaitGroup
	start := time.Now()
	for i := range total {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rps))))
		kind, call := draw(random, draws.cancelled)
		group.Go(func() { m.one(kinds[kind].make, call) })
	}
	group.Wait()
	for _, conn := range conns {
		_ = conn.Close()
	}
	m.web.close()
	return m.out.Encode(map[string]any{"seconds": time.Since(start).Seconds(), "kinds": m.seen})
}

// draw makes up a call. One in a hundred bidi streams goes on for half a minute, and one cancelled call in ten has no answer to come.
func draw(random *rand.Rand, cancelled float64) (kind int, call mixed) {
	for share := random.IntN(100); share >= kinds[kind].share; kind++ {
		share -= kinds[kind].share
	}
	call = mixed{
		kind:    kinds[kind].name,
		size:    2 + random.IntN(1<<(4+random.IntN(12))), // up to 32 KiB, most of them small
		replies: 1 + random.IntN(12),
		sleepMs: random.IntN(20), intervalMs: random.IntN(10), thinkMs: random.IntN(5),
		cancelAfter: -1,
	}
	if call.kind == "bidi" && random.IntN(100) == 0 {
		call.replies, call.thinkMs = 30, 1000
	}
	if random.Float64() < cancelled {
		call.sleepMs += 10
		call.cancelAfter = time.Duration(random.Float64() * float64(call.lasts()))
		if call.never = random.IntN(10) == 0; call.never {
			call.cancelAfter = min(50*call.cancelAfter, callDeadline/2)
		}
	}
	return kind, call
}

// lasts is what the call takes at the least, so that one to be cancelled within that time is, at any of its phases.
func (call mixed) lasts() time.Duration {
	ms := call.sleepMs
	switch call.kind {
	case "server stream", "grpc-web stream":
		ms += (call.replies - 1) * call.intervalMs
	case "client stream":
		ms += call.replies * call.thinkMs
	case "bidi":
		ms += (call.replies - 1) * max(call.thinkMs, call.intervalMs)
	}
	return time.Duration(ms) * time.Millisecond
}

func (m *mix) one(run func(*mix, context.Context, mixed) error, call mixed) {
	ctx, cancel := context.WithTimeout(context.Background(), callDeadline)
	defer cancel()
	if call.cancelAfter >= 0 {
		timer := time.AfterFunc(call.cancelAfter, cancel)
		defer timer.Stop()
	}
	began := time.Now()
	err := run(m, ctx, call)
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.seen[call.kind]
	seen.Calls++
	code := status.Code(err)
	switch {
	case err == nil:
		return
	case call.cancelAfter >= 0 && (code == codes.Canceled || errors.Is(err, context.Canceled)):
		seen.Cancelled++
		return
	case errors.Is(err, errWrong):
		seen.Wrong++
	default:
		seen.Failed++
	}
	_ = m.out.Encode(map[string]any{
		"kind": call.kind, "code": code, "wrong": errors.Is(err, errWrong), "message": err.Error(),
		"began_ms": began.UnixMilli(), "ended_ms": time.Now().UnixMilli(), "cancelled": call.cancelAfter >= 0,
	})
}

// headers are the metadata that asks the backend for what was drawn.
func (call mixed) headers() map[string]string {
	headers := map[string]string{"x-sleep-ms": strconv.Itoa(call.sleepMs), "x-interval-ms": strconv.Itoa(call.intervalMs)}
	if call.kind == "server stream" || call.kind == "grpc-web stream" {
		headers["x-reply-count"] = strconv.Itoa(call.replies)
	}
	if call.never {
		headers["x-never"] = "1"
	}
	return headers
}

// request is a message unlike those of other calls.
func (call mixed) request() []byte {
	message := raw.Bytes(call.size).Bytes
	mark := rand.Uint64()
	for i := len(message) - 1; i > len(message)-9 && i > 4; i, mark = i-1, mark>>8 {
		message[i] = byte(mark)
	}
	return message
}

func (m *mix) open(ctx context.Context, call mixed, method string) (grpc.ClientStream, error) {
	return m.conn().NewStream(metadata.NewOutgoingContext(ctx, metadata.New(call.headers())), bidiDesc, method)
}

func (m *mix) conn() *grpc.ClientConn { return m.conns[rand.IntN(len(m.conns))] }

func (m *mix) unary(ctx context.Context, call mixed) error {
	request, reply := call.request(), raw.Message{}
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(call.headers()))
	if err := m.conn().Invoke(ctx, raw.Unary, &raw.Message{Bytes: request}, &reply); err != nil {
		return err
	}
	return same(request, reply.Bytes)
}

func (m *mix) serverStream(ctx context.Context, call mixed) error {
	stream, err := m.open(ctx, call, raw.ServerStream)
	if err != nil {
		return err
	}
	request := call.request()
	if err := stream.SendMsg(&raw.Message{Bytes: request}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_ = stream.CloseSend()
	for range call.replies {
		if err := receive(stream, request); err != nil {
			return err
		}
	}
	return untilEnd(stream)
}

func (m *mix) clientStream(ctx context.Context, call mixed) error {
	stream, err := m.open(ctx, call, raw.ClientStream)
	if err != nil {
		return err
	}
	sum := newSum()
	for range call.replies {
		request := call.request()
		sum.add(request)
		if err := stream.SendMsg(&raw.Message{Bytes: request}); err != nil {
			break // RecvMsg tells why
		}
		time.Sleep(time.Duration(call.thinkMs) * time.Millisecond)
	}
	_ = stream.CloseSend()
	if err := receive(stream, sum.reply()); err != nil {
		return err
	}
	return untilEnd(stream)
}

func (m *mix) bidi(ctx context.Context, call mixed) error {
	stream, err := m.open(ctx, call, raw.Bidi)
	if err != nil {
		return err
	}
	for range call.replies {
		request := call.request()
		if err := stream.SendMsg(&raw.Message{Bytes: request}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := receive(stream, request); err != nil {
			return err
		}
		time.Sleep(time.Duration(call.thinkMs) * time.Millisecond)
	}
	_ = stream.CloseSend()
	return untilEnd(stream)
}

// receive reads a message, which must be this one.
func receive(stream grpc.ClientStream, want []byte) error {
	var reply raw.Message
	if err := stream.RecvMsg(&reply); errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ended early, with status 0", errWrong)
	} else if err != nil {
		return err
	}
	return same(want, reply.Bytes)
}

func untilEnd(stream grpc.ClientStream) error {
	err := stream.RecvMsg(&raw.Message{})
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%w: a message too many", errWrong)
	}
	return err
}

func same(want, got []byte) error {
	if bytes.Equal(want, got) {
		return nil
	}
	return fmt.Errorf("%w: %d bytes that aren't the %d expected", errWrong, len(got), len(want))
}

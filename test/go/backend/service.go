package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"manifold.test/internal/raw"
)

type service struct {
	name   string
	events bool
	print  sync.Mutex
}

var description = grpc.ServiceDesc{
	ServiceName: raw.Service,
	Metadata:    raw.File,
	HandlerType: (*any)(nil),
	// Unary is a real unary method and not a stream of one, because that is what servers have, and grpc-go writes it
	// differently: headers, message and trailers at once.
	Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
	Streams: []grpc.StreamDesc{
		{StreamName: "ServerStream", Handler: stream((*call).serverStream), ServerStreams: true},
		{StreamName: "ClientStream", Handler: stream((*call).clientStream), ClientStreams: true},
		{StreamName: "Bidi", Handler: stream((*call).bidi), ServerStreams: true, ClientStreams: true},
	},
}

// call is one call: what it asks for, and its messages.
type call struct {
	behaviour
	ctx     context.Context
	receive func(*raw.Message) error
	send    func(*raw.Message) error
	sent    int
	sum     hash.Hash // of all requests; nil where nobody asks for it
}

func unary(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var reply *raw.Message
	err := srv.(*service).serve(&call{
		ctx:     ctx,
		receive: func(m *raw.Message) error { return decode(m) },
		send:    func(m *raw.Message) error { reply = m; return nil },
	}, (*call).echoOnce)
	return reply, err
}

func stream(run func(*call) error) grpc.StreamHandler {
	return func(srv any, s grpc.ServerStream) error { return srv.(*service).serveStream(s, run) }
}

func (s *service) serveStream(stream grpc.ServerStream, run func(*call) error) error {
	return s.serve(&call{
		ctx:     stream.Context(),
		receive: func(m *raw.Message) error { return stream.RecvMsg(m) },
		send:    func(m *raw.Message) error { return stream.SendMsg(m) },
	}, run)
}

// unknown serves the four methods under another service name.
func (s *service) unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	run, ok := map[string]func(*call) error{
		"Unary": (*call).echoOnce, "ServerStream": (*call).serverStream,
		"ClientStream": (*call).clientStream, "Bidi": (*call).bidi,
	}[method[strings.LastIndex(method, "/")+1:]]
	if !ok {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	return s.serveStream(stream, run)
}

func (s *service) serve(c *call, run func(*call) error) (err error) {
	md, _ := metadata.FromIncomingContext(c.ctx)
	if c.behaviour, err = readBehaviour(md, s.name); err != nil {
		return err
	}
	if s.events {
		s.event(c, "start", "")
		defer func() { s.event(c, "end", outcome(c.ctx, err)) }()
	}
	if c.hash {
		c.sum = sha256.New()
	}
	headers, trailers := c.replyMetadata(c.ctx, s.name, md)
	_ = grpc.SetTrailer(c.ctx, trailers)
	if c.headersFirst {
		if err := grpc.SendHeader(c.ctx, headers); err != nil {
			return err
		}
	}
	if err := wait(c.ctx, c.sleepMs); err != nil {
		return err
	}
	if c.never {
		<-c.ctx.Done()
		return status.FromContextError(c.ctx.Err()).Err()
	}
	if c.fail >= 0 && c.failAfter <= 0 {
		return c.failure() // no header is set, so that it is Trailers-Only
	}
	if !c.headersFirst && len(headers) > 0 {
		_ = grpc.SetHeader(c.ctx, headers)
	}
	if err := run(c); err != nil {
		return err
	}
	if c.hash {
		_ = grpc.SetTrailer(c.ctx, metadata.Pairs("x-sha256", hex.EncodeToString(c.sum.Sum(nil))))
	}
	if c.fail >= 0 {
		return c.failure()
	}
	return nil
}

func (c *call) echoOnce() error {
	var request raw.Message
	if err := c.read(&request); err != nil {
		return err
	}
	return c.reply(&request)
}

func (c *call) serverStream() error {
	var request raw.Message
	if err := c.read(&request); err != nil {
		return err
	}
	reply := &request
	if c.replyBytes >= 0 {
		reply = raw.Bytes(c.replyBytes)
		c.replyBytes = -1
	}
	for range max(c.replyCount, 1) {
		if err := c.reply(reply); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) clientStream() error {
	c.sum = sha256.New()
	messages, bytes := 0, 0
	for {
		var request raw.Message
		if err := c.read(&request); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		messages++
		bytes += len(request.Bytes)
	}
	return c.reply(raw.Text(fmt.Sprintf(`{"messages":%d,"bytes":%d,"sha256":"%x"}`, messages, bytes, c.sum.Sum(nil))))
}

func (c *call) bidi() error {
	for {
		var request raw.Message
		if err := c.read(&request); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := c.reply(&request); err != nil {
			return err
		}
	}
}

func (c *call) read(request *raw.Message) error {
	if err := c.receive(request); err != nil {
		return err
	}
	if c.sum != nil {
		_, _ = c.sum.Write(request.Bytes)
	}
	return nil
}

// reply sends one message, or fails where x-fail-after says so.
func (c *call) reply(message *raw.Message) error {
	if c.fail >= 0 && c.sent >= c.failAfter {
		return c.failure()
	}
	if c.sent > 0 {
		if err := wait(c.ctx, c.intervalMs); err != nil {
			return err
		}
	}
	c.sent++
	if c.replyBytes >= 0 {
		message = raw.Bytes(c.replyBytes)
	}
	return c.send(message)
}

func outcome(ctx context.Context, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "deadline"
	case ctx.Err() != nil:
		return "cancelled"
	case err != nil:
		return status.Code(err).String()
	}
	return "ok"
}

func (s *service) event(c *call, event, outcome string) {
	method, _ := grpc.Method(c.ctx)
	line, _ := json.Marshal(map[string]string{"event": event, "method": method, "id": c.id, "outcome": outcome, "name": s.name})
	s.print.Lock()
	defer s.print.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"manifold.test/internal/raw"
)

const bigMessage = 8 << 20

type check struct {
	name string
	run  func(ctx context.Context, conn *grpc.ClientConn) error
}

var checks = []check{
	{"unary", func(ctx context.Context, conn *grpc.ClientConn) error { return unaryEcho(ctx, conn, 100) }},
	{"unary-empty", func(ctx context.Context, conn *grpc.ClientConn) error { return unaryEcho(ctx, conn, 0) }},
	{"unary-8MiB", func(ctx context.Context, conn *grpc.ClientConn) error { return unaryEcho(ctx, conn, bigMessage) }},
	{"server-stream", func(ctx context.Context, conn *grpc.ClientConn) error { return serverStream(ctx, conn, 1000, 100) }},
	{"server-stream-8MiB", func(ctx context.Context, conn *grpc.ClientConn) error { return serverStream(ctx, conn, 3, bigMessage) }},
	{"client-stream", func(ctx context.Context, conn *grpc.ClientConn) error { return clientStream(ctx, conn, 1000, 100) }},
	{"client-stream-8MiB", func(ctx context.Context, conn *grpc.ClientConn) error { return clientStream(ctx, conn, 3, bigMessage) }},
	{"ping-pong-1000", func(ctx context.Context, conn *grpc.ClientConn) error { return pingPong(ctx, conn, 1000, 100) }},
	{"ping-pong-8MiB", func(ctx context.Context, conn *grpc.ClientConn) error { return pingPong(ctx, conn, 3, bigMessage) }},
	{"parallel-200", parallel},
	{"metadata", echoedMetadata},
	{"headers-before-messages", headersFirst},
	{"error-trailers-only", trailersOnly},
	{"error-with-details", errorDetails},
	{"error-after-messages", errorAfterMessages},
	{"error-message-utf8", errorMessage},
	{"unimplemented", unimplemented},
	{"deadline-forwarded", deadlineForwarded},
	{"deadline-exceeded", deadlineExceeded},
	{"cancel", cancelled},
	{"half-close-then-replies", halfClose},
}

var bidiDesc = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

func unaryEcho(ctx context.Context, conn *grpc.ClientConn, size int) error {
	request, reply := raw.Bytes(size), raw.Message{}
	if err := conn.Invoke(ctx, raw.Unary, request, &reply); err != nil {
		return err
	}
	return sameBytes(reply.Bytes, request.Bytes)
}

func serverStream(ctx context.Context, conn *grpc.ClientConn, count, size int) error {
	ctx = with(ctx, "x-reply-count", fmt.Sprint(count))
	stream, err := conn.NewStream(ctx, bidiDesc, raw.ServerStream)
	if err != nil {
		return err
	}
	request := raw.Bytes(size)
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		return err
	}
	for i := range count {
		var reply raw.Message
		if err := stream.RecvMsg(&reply); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if err := sameBytes(reply.Bytes, request.Bytes); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return wantEOF(stream)
}

func clientStream(ctx context.Context, conn *grpc.ClientConn, count, size int) error {
	stream, err := conn.NewStream(ctx, bidiDesc, raw.ClientStream)
	if err != nil {
		return err
	}
	request, sum := raw.Bytes(size), sha256.New()
	for range count {
		if err := stream.SendMsg(request); err != nil {
			return err
		}
		sum.Write(request.Bytes)
	}
	var reply raw.Message
	if err := errors.Join(stream.CloseSend(), stream.RecvMsg(&reply)); err != nil {
		return err
	}
	var got struct {
		Messages, Bytes int
		Sha256          string
	}
	if err := json.Unmarshal(raw.Payload(&reply), &got); err != nil {
		return fmt.Errorf("reply %q: %w", reply.Bytes, err)
	}
	want := fmt.Sprintf("%d messages, %d bytes, %x", count, count*len(request.Bytes), sum.Sum(nil))
	if is := fmt.Sprintf("%d messages, %d bytes, %s", got.Messages, got.Bytes, got.Sha256); is != want {
		return fmt.Errorf("the server got %s, not %s", is, want)
	}
	return wantEOF(stream)
}

func pingPong(ctx context.Context, conn *grpc.ClientConn, count, size int) error {
	stream, err := conn.NewStream(ctx, bidiDesc, raw.Bidi)
	if err != nil {
		return err
	}
	for i := range count {
		request, reply := raw.Bytes(size+i), raw.Message{}
		if err := errors.Join(stream.SendMsg(request), stream.RecvMsg(&reply)); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if err := sameBytes(reply.Bytes, request.Bytes); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return wantEOF(stream)
}

func parallel(ctx context.Context, conn *grpc.ClientConn) error {
	errs := make([]error, 200)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			var trailers metadata.MD
			request, reply := raw.Bytes(200+i), raw.Message{}
			id := fmt.Sprint("call-", i)
			err := conn.Invoke(with(ctx, "x-call-id", id, "x-hash", "1"), raw.Unary, request, &reply, grpc.Trailer(&trailers))
			want := fmt.Sprintf("[%s] [%x]", id, sha256.Sum256(request.Bytes))
			if got := fmt.Sprint(trailers["x-call-id"], trailers["x-sha256"]); err == nil && got != want {
				err = fmt.Errorf("trailers are %s, not %s", got, want)
			}
			errs[i] = errors.Join(err, sameBytes(reply.Bytes, request.Bytes))
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func echoedMetadata(ctx context.Context, conn *grpc.ClientConn) error {
	want := metadata.Pairs(
		"x-ascii", "a value", "x-twice", "one", "x-twice", "two", "x-one-bin", "\x00\xff\r\n", "x-many-bin", "\x01",
		"x-many-bin", "", "x-many-bin", "\xfe\xff", "x-comma", "a,b", "x-empty", "")
	var headers, trailers metadata.MD
	ctx = metadata.NewOutgoingContext(ctx, metadata.Join(want, metadata.Pairs("x-echo", "both")))
	if err := conn.Invoke(ctx, raw.Unary, raw.Bytes(10), &raw.Message{}, grpc.Header(&headers), grpc.Trailer(&trailers)); err != nil {
		return err
	}
	for key, values := range want {
		for where, got := range map[string]metadata.MD{"headers": headers, "trailers": trailers} {
			if !slices.Equal(got["echo-"+key], values) {
				return fmt.Errorf("%s of %s came back as %q, not %q", where, key, got["echo-"+key], values)
			}
		}
	}
	return nil
}

func headersFirst(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(with(ctx, "x-headers-first", "1", "x-never", "1", "x-echo", "headers"), 5*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, bidiDesc, raw.Bidi)
	if err != nil {
		return err
	}
	headers, err := stream.Header()
	if err != nil {
		return fmt.Errorf("no headers before the first message: %w", err)
	}
	if len(headers["echo-x-never"]) != 1 {
		return fmt.Errorf("headers are %v", headers)
	}
	return nil
}

func trailersOnly(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := conn.NewStream(with(ctx, "x-fail", "9", "x-fail-message", "50% off", "x-echo", "trailers"), bidiDesc, raw.Bidi)
	if err != nil {
		return err
	}
	if err := wantStatus(stream.RecvMsg(&raw.Message{}), codes.FailedPrecondition, "50% off"); err != nil {
		return err
	}
	// grpc-go reads the metadata of a Trailers-Only reply as trailers, and gives no headers then.
	if headers, _ := stream.Header(); len(headers) > 0 || len(stream.Trailer()["echo-x-fail"]) != 1 {
		return fmt.Errorf("not Trailers-Only: headers %v, trailers %v", headers, stream.Trailer())
	}
	return nil
}

func errorDetails(ctx context.Context, conn *grpc.ClientConn) error {
	ctx = with(ctx, "x-fail", "3", "x-fail-message", "bad", "x-fail-details", "3")
	err := conn.Invoke(ctx, raw.Unary, raw.Bytes(10), &raw.Message{})
	if err := wantStatus(err, codes.InvalidArgument, "bad"); err != nil {
		return err
	}
	details := status.Convert(err).Details()
	if len(details) != 3 {
		return fmt.Errorf("details are %v", details)
	}
	if info, ok := details[2].(*errdetails.ErrorInfo); !ok || info.GetReason() != "REASON_2" {
		return fmt.Errorf("the third detail is %v", details[2])
	}
	return nil
}

func errorAfterMessages(ctx context.Context, conn *grpc.ClientConn) error {
	ctx = with(ctx, "x-fail", "42", "x-fail-message", "enough", "x-fail-after", "3", "x-reply-count", "10")
	stream, err := conn.NewStream(ctx, bidiDesc, raw.ServerStream)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(raw.Bytes(100)), stream.CloseSend()); err != nil {
		return err
	}
	for i := range 3 {
		if err := stream.RecvMsg(&raw.Message{}); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return wantStatus(stream.RecvMsg(&raw.Message{}), codes.Code(42), "enough")
}

func errorMessage(ctx context.Context, conn *grpc.ClientConn) error {
	message := "größer als 100% \r\n✓"
	err := conn.Invoke(with(ctx, "x-fail", "13", "x-fail-message-bin", message), raw.Unary, raw.Bytes(10), &raw.Message{})
	return wantStatus(err, codes.Internal, message)
}

func unimplemented(ctx context.Context, conn *grpc.ClientConn) error {
	err := conn.Invoke(ctx, "/"+raw.Service+"/NoSuchMethod", raw.Bytes(10), &raw.Message{})
	if status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func deadlineForwarded(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(with(ctx, "x-echo", "headers"), 10*time.Second)
	defer cancel()
	var headers metadata.MD
	if err := conn.Invoke(ctx, raw.Unary, raw.Bytes(10), &raw.Message{}, grpc.Header(&headers)); err != nil {
		return err
	}
	var ms int
	if _, err := fmt.Sscan(strings.Join(headers["echo-deadline-ms"], ","), &ms); err != nil || ms > 10_000 || ms < 5_000 {
		return fmt.Errorf("the server saw a deadline of %v ms, of 10000", headers["echo-deadline-ms"])
	}
	return nil
}

func deadlineExceeded(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(with(ctx, "x-never", "1"), 200*time.Millisecond)
	defer cancel()
	err := conn.Invoke(ctx, raw.Unary, raw.Bytes(10), &raw.Message{})
	if status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func cancelled(ctx context.Context, conn *grpc.ClientConn) error {
	cancelling, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(cancelling, bidiDesc, raw.Bidi)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(raw.Bytes(10)), stream.RecvMsg(&raw.Message{})); err != nil {
		return err
	}
	cancel()
	if err := stream.RecvMsg(&raw.Message{}); status.Code(err) != codes.Canceled {
		return fmt.Errorf("got %v", err)
	}
	return unaryEcho(ctx, conn, 100) // the connection goes on
}

func halfClose(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := conn.NewStream(with(ctx, "x-reply-count", "5", "x-interval-ms", "20"), bidiDesc, raw.ServerStream)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(raw.Bytes(10)), stream.CloseSend()); err != nil {
		return err
	}
	for i := range 5 {
		if err := stream.RecvMsg(&raw.Message{}); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return wantEOF(stream)
}

func with(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

func sameBytes(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%d bytes came back, not the %d bytes sent (or others of the same length)", len(got), len(want))
}

func wantEOF(stream grpc.ClientStream) error {
	if err := stream.RecvMsg(&raw.Message{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: %v", err)
	}
	return nil
}

func wantStatus(err error, code codes.Code, message string) error {
	if got := status.Convert(err); got.Code() != code || got.Message() != message {
		return fmt.Errorf("got %v, not code %d with message %q", err, code, message)
	}
	return nil
}

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"manifold.test/internal/raw"
)

// fanOut is a proxy in front of these backends, called as an ordinary client does.
type fanOut struct{ names []string }

func fanOutChecks(names []string) []check {
	f := fanOut{names}
	with := func(run func(context.Context, *grpc.ClientConn, int) error, size int) func(context.Context, *grpc.ClientConn) error {
		return func(ctx context.Context, conn *grpc.ClientConn) error { return run(ctx, conn, size) }
	}
	return []check{
		{"wrap-unary", with(f.unary, 100)},
		{"wrap-unary-empty", with(f.unary, 0)},
		{"wrap-unary-1MiB", with(f.unary, 1<<20)},
		{"wrap-server-stream", with(f.serverStream, 1000)},
		{"wrap-client-stream", with(f.clientStream, 1000)},
		{"wrap-ping-pong", with(f.pingPong, 200)},
		{"wrap-parallel-50", f.parallel},
		{"wrap-one-fails", f.oneFails},
		{"wrap-one-fails-after-messages", f.oneFailsInStream},
		{"wrap-one-dead", f.oneDead},
		{"wrap-metadata", f.metadata},
		{"wrap-deadline", f.deadline},
		{"wrap-cancel", f.cancel},
		{"merge-elements", f.merged},
		{"merge-stream", f.mergedStream},
		{"merge-one-fails", f.mergedFailure},
	}
}

func (f fanOut) unary(ctx context.Context, conn *grpc.ClientConn, size int) error {
	request := raw.Bytes(size)
	legs, err := f.call(ctx, conn, raw.Unary, request)
	if err != nil {
		return err
	}
	return f.allSay(legs, request.Bytes)
}

func (f fanOut) serverStream(ctx context.Context, conn *grpc.ClientConn, count int) error {
	stream, err := conn.NewStream(with(ctx, "x-reply-count", fmt.Sprint(count)), bidiDesc, raw.ServerStream)
	if err != nil {
		return err
	}
	request := raw.Bytes(100)
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		return err
	}
	seen := map[string]int{}
	for range count * len(f.names) {
		leg, err := receiveLeg(stream)
		if err != nil {
			return err
		}
		if err := sameBytes(leg.message, request.Bytes); err != nil {
			return err
		}
		seen[leg.name]++
	}
	for _, name := range f.names {
		if seen[name] != count {
			return fmt.Errorf("%d messages of %s, not %d", seen[name], name, count)
		}
	}
	return wantEOF(stream)
}

func (f fanOut) clientStream(ctx context.Context, conn *grpc.ClientConn, count int) error {
	stream, err := conn.NewStream(ctx, bidiDesc, raw.ClientStream)
	if err != nil {
		return err
	}
	request, sum := raw.Bytes(100), sha256.New()
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
	legs, err := legsOf(reply.Bytes)
	if err != nil {
		return err
	}
	want := fmt.Sprintf(`{"messages":%d,"bytes":%d,"sha256":"%x"}`, count, count*len(request.Bytes), sum.Sum(nil))
	if err := f.allSay(legs, raw.Text(want).Bytes); err != nil {
		return err
	}
	return wantEOF(stream)
}

// pingPong sends a message when all backends have answered the one before.
func (f fanOut) pingPong(ctx context.Context, conn *grpc.ClientConn, count int) error {
	stream, err := conn.NewStream(ctx, bidiDesc, raw.Bidi)
	if err != nil {
		return err
	}
	for i := range count {
		request := raw.Bytes(100 + i)
		if err := stream.SendMsg(request); err != nil {
			return err
		}
		var legs []leg
		for range f.names {
			leg, err := receiveLeg(stream)
			if err != nil {
				return err
			}
			legs = append(legs, leg)
		}
		slices.SortFunc(legs, func(a, b leg) int { return strings.Compare(a.name, b.name) })
		if err := f.allSay(legs, request.Bytes); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return wantEOF(stream)
}

func (f fanOut) parallel(ctx context.Context, conn *grpc.ClientConn) error {
	errs := make([]error, 50)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			var trailers metadata.MD
			request, id := raw.Bytes(200+i), fmt.Sprint("call-", i)
			legs, err := f.call(with(ctx, "x-call-id", id, "x-hash", "1"), conn, raw.Unary, request, grpc.Trailer(&trailers))
			if err == nil {
				err = f.allSay(legs, request.Bytes)
			}
			// what all say alike is there once
			want := fmt.Sprintf("[%s] [%x]", id, sha256.Sum256(request.Bytes))
			if got := fmt.Sprint(trailers["x-call-id"], trailers["x-sha256"]); err == nil && got != want {
				err = fmt.Errorf("trailers are %s, not %s", got, want)
			}
			errs[i] = err
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func (f fanOut) oneFails(ctx context.Context, conn *grpc.ClientConn) error {
	bad := f.names[1]
	ctx = with(ctx, bad+".x-fail", "9", bad+".x-fail-message-bin", "50% für ✓", bad+".x-fail-details", "2")
	legs, err := f.call(ctx, conn, raw.Unary, raw.Bytes(10))
	if err != nil {
		return err
	}
	if err := f.named(legs, f.names); err != nil {
		return err
	}
	for i, leg := range legs {
		if i != 1 {
			if leg.failure != nil {
				return fmt.Errorf("%s failed: %v", leg.name, leg.failure)
			}
			continue
		}
		if err := wantStatus(leg.failure.Err(), codes.FailedPrecondition, "50% für ✓"); err != nil {
			return err
		}
		if details := leg.failure.Details(); len(details) != 2 {
			return fmt.Errorf("details are %v", details)
		}
	}
	return nil
}

func (f fanOut) oneFailsInStream(ctx context.Context, conn *grpc.ClientConn) error {
	bad := f.names[0]
	ctx = with(ctx, "x-reply-count", "10", bad+".x-fail", "8", bad+".x-fail-message", "enough", bad+".x-fail-after", "3")
	stream, err := conn.NewStream(ctx, bidiDesc, raw.ServerStream)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(raw.Bytes(10)), stream.CloseSend()); err != nil {
		return err
	}
	messages, failures := map[string]int{}, 0
	for {
		leg, err := receiveLeg(stream)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if leg.failure == nil {
			messages[leg.name]++
			continue
		}
		failures++
		if err := wantStatus(leg.failure.Err(), codes.ResourceExhausted, "enough"); err != nil || leg.name != bad {
			return fmt.Errorf("%s: %w", leg.name, err)
		}
	}
	want := map[string]int{bad: 3}
	for _, name := range f.names[1:] {
		want[name] = 10
	}
	if fmt.Sprint(messages) != fmt.Sprint(want) || failures != 1 {
		return fmt.Errorf("messages are %v, with %d failures", messages, failures)
	}
	return nil
}

func (f fanOut) oneDead(ctx context.Context, conn *grpc.ClientConn) error {
	legs, err := f.call(with(ctx, "x-dead", "1"), conn, raw.Unary, raw.Bytes(10))
	if err != nil {
		return err
	}
	if err := f.named(legs, append(slices.Clone(f.names), "dead")); err != nil {
		return err
	}
	if code := legs[len(legs)-1].failure.Code(); code != codes.Unavailable {
		return fmt.Errorf("the dead one has code %v", code)
	}
	return f.allSay(legs[:len(f.names)], raw.Bytes(10).Bytes)
}

func (f fanOut) metadata(ctx context.Context, conn *grpc.ClientConn) error {
	var headers, trailers metadata.MD
	ctx = with(ctx, "x-echo", "both", "x-one-bin", "\x00\xff\r\n")
	if _, err := f.call(ctx, conn, raw.Unary, raw.Bytes(10), grpc.Header(&headers), grpc.Trailer(&trailers)); err != nil {
		return err
	}
	for where, md := range map[string]metadata.MD{"headers": headers, "trailers": trailers} {
		if !slices.Equal(md["x-endpoint"], f.names) {
			return fmt.Errorf("x-endpoint in %s is %v", where, md["x-endpoint"])
		}
		if got := md["echo-x-one-bin"]; len(got) != 1 || got[0] != "\x00\xff\r\n" {
			return fmt.Errorf("binary metadata in %s is %q", where, got)
		}
	}
	return nil
}

func (f fanOut) deadline(ctx context.Context, conn *grpc.ClientConn) error {
	for _, method := range []string{raw.Unary, raw.ServerStream} {
		ctx, cancel := context.WithTimeout(with(ctx, f.names[0]+".x-never", "1"), 200*time.Millisecond)
		stream, err := conn.NewStream(ctx, bidiDesc, method)
		if err == nil {
			err = errors.Join(stream.SendMsg(raw.Bytes(10)), stream.CloseSend())
		}
		for err == nil {
			err = stream.RecvMsg(&raw.Message{})
		}
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			return fmt.Errorf("%s: got %v", method, err)
		}
	}
	return nil
}

func (f fanOut) cancel(ctx context.Context, conn *grpc.ClientConn) error {
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
	for err == nil {
		err = stream.RecvMsg(&raw.Message{})
	}
	if status.Code(err) != codes.Canceled {
		return fmt.Errorf("got %v", err)
	}
	return f.unary(ctx, conn, 100) // the connection goes on
}

// merged has the backends echo replies of 0 to 3 elements in two lists.
func (f fanOut) merged(ctx context.Context, conn *grpc.ClientConn) error {
	for count := range 4 {
		request := &raw.Message{}
		for i := range count {
			element := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), fmt.Sprint("element ", i))
			for _, list := range []protowire.Number{1, 7} {
				request.Bytes = protowire.AppendBytes(protowire.AppendTag(request.Bytes, list, protowire.BytesType), element)
			}
		}
		var reply raw.Message
		if err := conn.Invoke(with(ctx, "x-layout", "merge"), raw.Unary, request, &reply); err != nil {
			return err
		}
		got, err := elementsOf(reply.Bytes)
		if err != nil {
			return err
		}
		var want []string
		for _, name := range f.names {
			for i := range count {
				want = append(want, fmt.Sprintf("1 %s element %d ", name, i), fmt.Sprintf("7 %s element %d ", name, i))
			}
			if count == 0 {
				want = append(want, fmt.Sprintf("1 %s  ", name))
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("with %d elements: %q, not %q", count, got, want)
		}
	}
	return nil
}

func (f fanOut) mergedStream(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := conn.NewStream(with(ctx, "x-layout", "merge", "x-reply-count", "3"), bidiDesc, raw.ServerStream)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(raw.Text("element")), stream.CloseSend()); err != nil {
		return err
	}
	var got []string
	for range 3 * len(f.names) {
		var reply raw.Message
		if err := stream.RecvMsg(&reply); err != nil {
			return err
		}
		text, err := elementText(reply.Bytes)
		if err != nil {
			return err
		}
		got = append(got, text)
	}
	var want []string
	for _, name := range f.names {
		want = append(want, slices.Repeat([]string{name + " element "}, 3)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%q, not %q", got, want)
	}
	return wantEOF(stream)
}

func (f fanOut) mergedFailure(ctx context.Context, conn *grpc.ClientConn) error {
	bad := f.names[1]
	ctx = with(ctx, "x-layout", "merge", bad+".x-fail", "9", bad+".x-fail-message", "not now")
	request := &raw.Message{Bytes: []byte{0x0a, 0x00}} // one element, which is empty
	var reply raw.Message
	if err := conn.Invoke(ctx, raw.Unary, request, &reply); err != nil {
		return err
	}
	got, err := elementsOf(reply.Bytes)
	if err != nil {
		return err
	}
	var want []string
	for _, name := range f.names {
		failure := ""
		if name == bad {
			failure = status.Error(codes.FailedPrecondition, "not now").Error()
		}
		want = append(want, fmt.Sprintf("1 %s  %s", name, failure))
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%q, not %q", got, want)
	}
	return nil
}

func (f fanOut) call(ctx context.Context, conn *grpc.ClientConn, method string, request *raw.Message, options ...grpc.CallOption) ([]leg, error) {
	var reply raw.Message
	if err := conn.Invoke(ctx, method, request, &reply, options...); err != nil {
		return nil, err
	}
	return legsOf(reply.Bytes)
}

func (f fanOut) named(legs []leg, names []string) error {
	var got []string
	for _, leg := range legs {
		got = append(got, leg.name)
	}
	if !slices.Equal(got, names) {
		return fmt.Errorf("legs are %v, not %v", got, names)
	}
	return nil
}

// allSay wants this message of every backend, in their order.
func (f fanOut) allSay(legs []leg, message []byte) error {
	if err := f.named(legs, f.names); err != nil {
		return err
	}
	for _, leg := range legs {
		if leg.failure != nil {
			return fmt.Errorf("%s failed: %v", leg.name, leg.failure)
		}
		if err := sameBytes(leg.message, message); err != nil {
			return fmt.Errorf("%s: %w", leg.name, err)
		}
	}
	return nil
}

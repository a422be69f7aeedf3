package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// behaviour is what the metadata of one call asks for. Numbers that are absent are -1.
type behaviour struct {
	replyBytes, replyCount, intervalMs, sleepMs int
	fail, failAfter, failDetails                int
	failMessage, echo, id                       string
	never, headersFirst, hash                   bool
}

// readBehaviour reads what all endpoints are to do, and what this one alone is: "NAME.x-fail" counts more than "x-fail".
func readBehaviour(md metadata.MD, name string) (b behaviour, err error) {
	for key, values := range md {
		if own, found := strings.CutPrefix(key, name+".x-"); found && name != "" {
			md = md.Copy()
			md["x-"+own] = values
		}
	}
	number := func(key string) int {
		value := one(md, key)
		if value == "" {
			return -1
		}
		n, parseError := strconv.Atoi(value)
		if parseError != nil || n < 0 {
			err = status.Errorf(codes.InvalidArgument, "invalid %s %q", key, value)
		}
		return n
	}
	b = behaviour{
		replyBytes: number("x-reply-bytes"), replyCount: number("x-reply-count"),
		intervalMs: number("x-interval-ms"), sleepMs: number("x-sleep-ms"),
		fail: number("x-fail"), failAfter: number("x-fail-after"), failDetails: number("x-fail-details"),
		failMessage: one(md, "x-fail-message") + one(md, "x-fail-message-bin"),
		echo:        one(md, "x-echo"), id: one(md, "x-call-id"),
		never: one(md, "x-never") != "", headersFirst: one(md, "x-headers-first") != "", hash: one(md, "x-hash") != "",
	}
	switch b.echo {
	case "", "headers", "trailers", "both":
	default:
		err = status.Errorf(codes.InvalidArgument, "invalid x-echo %q", b.echo)
	}
	return b, err
}

func one(md metadata.MD, key string) string {
	if values := md[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// replyMetadata is what goes into the headers and into the trailers of the reply.
func (b *behaviour) replyMetadata(ctx context.Context, name string, md metadata.MD) (headers, trailers metadata.MD) {
	headers, trailers = metadata.MD{}, metadata.MD{}
	if name != "" {
		headers["x-endpoint"], trailers["x-endpoint"] = []string{name}, []string{name}
	}
	if b.id != "" {
		trailers["x-call-id"] = []string{b.id}
	}
	if b.echo == "" {
		return headers, trailers
	}
	echo := metadata.MD{}
	for key, values := range md {
		echo["echo-"+strings.TrimPrefix(key, ":")] = values
	}
	if deadline, ok := ctx.Deadline(); ok {
		echo["echo-deadline-ms"] = []string{strconv.FormatInt(time.Until(deadline).Milliseconds(), 10)}
	}
	if b.echo != "trailers" {
		maps.Copy(headers, echo)
	}
	if b.echo != "headers" {
		maps.Copy(trailers, echo)
	}
	return headers, trailers
}

// failure is the status that x-fail asks for. Zero is possible: grpc-go sends it as success.
func (b *behaviour) failure() error {
	failure := status.New(codes.Code(b.fail), b.failMessage)
	var details []protoadapt.MessageV1
	for i := range b.failDetails {
		details = append(details, &errdetails.ErrorInfo{Reason: fmt.Sprintf("REASON_%d", i), Domain: "manifold.test"})
	}
	if len(details) == 0 {
		return failure.Err()
	}
	with, err := failure.WithDetails(details...)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "x-fail-details: %v", err)
	}
	return with.Err()
}

// wait sleeps, or returns early with the status of a call that ended meanwhile.
func wait(ctx context.Context, ms int) error {
	if ms <= 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"manifold.test/internal/raw"
)

// prefix is what stands before each message in DATA.
const prefix = 5

// checkFanOut makes the benchmarks' calls of a fan-out once, and looks for every backend's part in the replies.
func checkFanOut(addr string, nodes int) error {
	conns, err := dial(addr, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	var reply raw.Message
	if err := conns[0].Invoke(ctx, raw.Unary, raw.Bytes(100), &reply); err != nil {
		return err
	}
	names := map[string]int{}
	for rest := reply.Bytes; len(rest) > 0; {
		number, _, tag := protowire.ConsumeTag(rest)
		if tag < 0 || number != 1 {
			return fmt.Errorf("field %d in a joined reply", number)
		}
		element, length := protowire.ConsumeBytes(rest[tag:])
		if length < 0 {
			return protowire.ParseError(length)
		}
		if err := count(names, element, 98); err != nil {
			return err
		}
		rest = rest[tag+length:]
	}
	if err := expect(names, nodes, 1); err != nil {
		return err
	}

	const replies = 1000
	messages, err := readStream(ctx, conns[0], raw.Bytes(100), replies)
	if err != nil {
		return err
	}
	names, bytes := map[string]int{}, 0
	for _, message := range messages {
		if err := count(names, message.Bytes, 100); err != nil {
			return err
		}
		bytes += prefix + len(message.Bytes)
	}
	if err := expect(names, nodes, replies); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int{"unary": prefix + len(reply.Bytes), "stream": bytes})
}

// count takes an element apart: what the backend sent, and metadata (99) with nothing but a hostname (99).
func count(names map[string]int, element []byte, size int) error {
	if len(element) < size || string(element[:size]) != string(raw.Bytes(size).Bytes) {
		return fmt.Errorf("an element is not what the backend sent, but %q", element)
	}
	metadata, err := field99(element[size:])
	if err != nil {
		return err
	}
	name, err := field99(metadata)
	if err != nil {
		return err
	}
	names[string(name)]++
	return nil
}

func field99(bytes []byte) ([]byte, error) {
	number, kind, tag := protowire.ConsumeTag(bytes)
	if tag < 0 || number != 99 || kind != protowire.BytesType {
		return nil, fmt.Errorf("field %d where the metadata or its hostname must be", number)
	}
	content, length := protowire.ConsumeBytes(bytes[tag:])
	if length != len(bytes)-tag {
		return nil, fmt.Errorf("%d bytes in place of %d of metadata", len(bytes)-tag, length)
	}
	return content, nil
}

func expect(names map[string]int, nodes, times int) error {
	for name, count := range names {
		if count != times {
			return fmt.Errorf("%d elements of %s, not %d", count, name, times)
		}
	}
	if len(names) != nodes {
		return fmt.Errorf("%d backends in the reply, not %d", len(names), nodes)
	}
	return nil
}

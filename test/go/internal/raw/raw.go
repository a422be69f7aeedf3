// Package raw carries messages as opaque bytes, so that the test programs need no generated code.
package raw

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that everything but a Message goes to
	"google.golang.org/grpc/mem"
)

// Message is one message as it is on the wire, without its 5-byte prefix.
type Message struct{ Bytes []byte }

type codec struct{ proto encoding.CodecV2 }

// Codec passes a *Message as it is, and anything else (reflection, for one) to the protobuf codec.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Name() string { return "proto" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*Message); ok {
		return mem.BufferSlice{mem.SliceBuffer(m.Bytes)}, nil
	}
	return c.proto.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*Message); ok {
		m.Bytes = data.Materialize()
		return nil
	}
	return c.proto.Unmarshal(data, v)
}

// Bytes builds a message of exactly size bytes (2 where 1 is asked for) that reads as a google.protobuf.BytesValue.
func Bytes(size int) *Message {
	if size == 0 {
		return &Message{}
	}
	width := 1
	for size-1-width >= 1<<(7*width) {
		width++
	}
	payload := max(size-1-width, 0)
	out := make([]byte, 1+width+payload)
	out[0] = 0x0a // field 1, length-delimited
	for i, left := 0, payload; i < width; i, left = i+1, left>>7 {
		out[1+i] = byte(left & 0x7f)
		if i < width-1 {
			out[1+i] |= 0x80 // a longer varint than needed is valid, and makes every size possible
		}
	}
	for i := 1 + width; i < len(out); i++ {
		out[i] = byte(i * 31)
	}
	return &Message{out}
}

// Text builds a google.protobuf.BytesValue that holds the text.
func Text(text string) *Message {
	m := Bytes(0)
	for size := len(text) + 2; len(m.Bytes) == 0 || len(Payload(m)) < len(text); size++ {
		m = Bytes(size)
	}
	copy(m.Bytes[len(m.Bytes)-len(text):], text)
	return m
}

// Payload is the content of a message that Bytes or Text made.
func Payload(m *Message) []byte {
	for i := 1; i < len(m.Bytes); i++ {
		if m.Bytes[i]&0x80 == 0 {
			return m.Bytes[i+1:]
		}
	}
	return nil
}

// MaxMessage bounds the messages that the test programs send and take: 64 MiB.
const MaxMessage = 64 << 20

// DialOptions are those of every client here: raw messages, up to MaxMessage.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(Codec()), grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
	}
}

package main

import (
	"fmt"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"manifold.test/internal/raw"
)

// leg is one entry of a wrapped reply: message is what the backend sent, failure why there is none.
type leg struct {
	name    string
	message []byte
	failure *status.Status
}

func receiveLeg(stream grpc.ClientStream) (leg, error) {
	var reply raw.Message
	if err := stream.RecvMsg(&reply); err != nil {
		return leg{}, err
	}
	return legOf(reply.Bytes)
}

// legsOf reads FanOut { repeated Leg legs = 1; }.
func legsOf(message []byte) (legs []leg, err error) {
	err = eachField(message, func(_ protowire.Number, value []byte) error {
		leg, err := legOf(value)
		legs = append(legs, leg)
		return err
	})
	return legs, err
}

// legOf reads Leg { manifold.v1.LegInfo info = 1; Reply reply = 2; }.
func legOf(message []byte) (l leg, err error) {
	return l, eachField(message, func(number protowire.Number, value []byte) error {
		if number == 2 {
			l.message = value
			return nil
		}
		return eachField(value, func(number protowire.Number, value []byte) error {
			switch number {
			case 1:
				l.name = string(value)
			case 2:
				var failure rpcstatus.Status
				if err := proto.Unmarshal(value, &failure); err != nil {
					return err
				}
				l.failure = status.FromProto(&failure)
			}
			return nil
		})
	})
}

// elementsOf reads a merged reply: "1 name text error" for an element of field 1.
func elementsOf(message []byte) (elements []string, err error) {
	return elements, eachField(message, func(number protowire.Number, value []byte) error {
		text, err := elementText(value)
		elements = append(elements, fmt.Sprint(number, " ", text))
		return err
	})
}

// elementText reads Response { string text = 1; ResponseMetadata metadata = 99; }.
func elementText(message []byte) (string, error) {
	var hostname, text, failure string
	err := eachField(message, func(number protowire.Number, value []byte) error {
		if number == 1 {
			text = string(value)
		}
		if number != 99 {
			return nil
		}
		return eachField(value, func(number protowire.Number, value []byte) error {
			switch number {
			case 99:
				hostname = string(value)
			case 100:
				failure = string(value)
			}
			return nil
		})
	})
	return fmt.Sprintf("%s %s %s", hostname, text, failure), err
}

// eachField goes over a message whose fields are all length-delimited.
func eachField(message []byte, take func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 || kind != protowire.BytesType {
			return fmt.Errorf("not a field with a length: %x", message[:min(len(message), 20)])
		}
		value, length := protowire.ConsumeBytes(message[tag:])
		if length < 0 {
			return protowire.ParseError(length)
		}
		if err := take(number, value); err != nil {
			return err
		}
		message = message[tag+length:]
	}
	return nil
}

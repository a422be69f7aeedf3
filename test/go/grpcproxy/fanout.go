package main

import (
	"fmt"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the messages in grpc-proxy's README: Reply.response, Response.metadata, ResponseMetadata.hostname and .upstream_error.
const (
	fieldResponse      = 1
	fieldMetadata      = 99
	fieldHostname      = 99
	fieldUpstreamError = 100
)

// node is one of many backends, whose replies say its name. Annotating is what the package's own tests do, with the annotation made once.
type node struct {
	proxy.SingleBackend
	name       string
	annotation []byte
}

func newNode(name string, single proxy.SingleBackend) *node {
	return &node{single, name, metadataOf(appendString(nil, fieldHostname, name))}
}

func (n *node) String() string { return n.name }

func (n *node) AppendInfo(streaming bool, reply []byte) ([]byte, error) {
	if streaming {
		return append(reply, n.annotation...), nil
	}
	number, kind, tag := protowire.ConsumeTag(reply)
	if tag < 0 || number != fieldResponse || kind != protowire.BytesType {
		return nil, fmt.Errorf("unexpected reply of %s", n.name)
	}
	_, length := protowire.ConsumeVarint(reply[tag:])
	if length < 0 {
		return nil, protowire.ParseError(length)
	}
	element := reply[tag+length:]
	out := protowire.AppendTag(nil, fieldResponse, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(len(element)+len(n.annotation)))
	return append(append(out, element...), n.annotation...), nil
}

func (n *node) BuildError(streaming bool, err error) ([]byte, error) {
	element := metadataOf(appendString(appendString(nil, fieldHostname, n.name), fieldUpstreamError, err.Error()))
	if streaming {
		return element, nil
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldResponse, protowire.BytesType), element), nil
}

func metadataOf(content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldMetadata, protowire.BytesType), content)
}

func appendString(out []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(out, field, protowire.BytesType), value)
}

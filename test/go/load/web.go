package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"manifold.test/internal/raw"
)

// web calls in gRPC-Web and Connect over HTTP/1.1, on connections that are kept.
type web struct {
	base   string
	client *http.Client
}

func newWeb(addr string) *web {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 20 * time.Second}
	return &web{"http://" + addr, &http.Client{Transport: transport}}
}

func (w *web) close() { w.client.CloseIdleConnections() }

func (w *web) post(ctx context.Context, call mixed, method, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("content-type", contentType)
	for name, value := range call.headers() {
		request.Header.Set(name, value)
	}
	return w.client.Do(request)
}

func (m *mix) webUnary(ctx context.Context, call mixed) error {
	return m.web.grpcWeb(ctx, call, raw.Unary, 1)
}

func (m *mix) webStream(ctx context.Context, call mixed) error {
	return m.web.grpcWeb(ctx, call, raw.ServerStream, call.replies)
}

// grpcWeb sends one message, of which so many echoes must come back, then trailers with status 0.
func (w *web) grpcWeb(ctx context.Context, call mixed, method string, replies int) error {
	message := call.request()
	response, err := w.post(ctx, call, method, "application/grpc-web+proto", envelope(message))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: HTTP status %d", errWrong, response.StatusCode)
	}
	if value := response.Header.Get("grpc-status"); value != "" {
		return statusOf(value, response.Header.Get("grpc-message"))
	}
	for {
		flags, body, err := readEnvelope(response.Body)
		if err != nil {
			return err
		}
		if flags&0x80 != 0 {
			trailers := map[string]string{}
			for line := range strings.Lines(string(body)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				trailers[strings.ToLower(name)] = strings.TrimSpace(value)
			}
			if err := statusOf(trailers["grpc-status"], trailers["grpc-message"]); err != nil {
				return err
			}
			if replies != 0 {
				return fmt.Errorf("%w: it ended %d messages early, with status 0", errWrong, replies)
			}
			_, err := io.Copy(io.Discard, response.Body) // so that the connection is kept
			return err
		}
		replies--
		if err := same(message, body); err != nil {
			return err
		}
	}
}

func (m *mix) connectUnary(ctx context.Context, call mixed) error {
	message := call.request()
	response, err := m.web.post(ctx, call, raw.Unary, "application/proto", message)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return same(message, body)
	}
	var failure struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &failure); err != nil {
		return fmt.Errorf("%w: HTTP status %d with %q", errWrong, response.StatusCode, body)
	}
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(strconv.Quote(strings.ToUpper(failure.Code)))); err != nil {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	return status.Error(code, failure.Message)
}

func statusOf(value, message string) error {
	code, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("%w: grpc-status %q", errWrong, value)
	}
	return status.Error(codes.Code(code), message)
}

func envelope(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// readEnvelope fails with io.ErrUnexpectedEOF where the body ends, for trailers have to come before.
func readEnvelope(body io.Reader) (flags byte, message []byte, err error) {
	var prefix [5]byte
	if _, err := io.ReadFull(body, prefix[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	message = make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	_, err = io.ReadFull(body, message)
	return prefix[0], message, err
}

// sum is what the backend's ClientStream answers for messages, as they are on the wire.
type sum struct {
	hash            hash.Hash
	messages, bytes int
}

func newSum() *sum { return &sum{hash: sha256.New()} }

func (s *sum) add(message []byte) {
	s.messages++
	s.bytes += len(message)
	_, _ = s.hash.Write(message)
}

func (s *sum) reply() []byte {
	return raw.Text(fmt.Sprintf(`{"messages":%d,"bytes":%d,"sha256":"%x"}`, s.messages, s.bytes, s.hash.Sum(nil))).Bytes
}

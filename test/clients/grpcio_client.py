"""A grpcio client of test/go/backend: prints "ok NAME" or "FAIL NAME: why" for each check, exits with 1 if one failed.

    grpcio_client.py HOST:PORT [CA.pem]
"""

import hashlib
import itertools
import json
import os
import queue
import sys
import time

import grpc

SERVICE = "/manifold.test.v1.Test/"
BIG = os.urandom(8 << 20)


def wrap(value):
    """A google.protobuf.BytesValue."""
    length, size = b"", len(value)
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return b"\x0a" + length + bytes([size]) + value


def unwrap(message):
    at = 1
    while message[at] & 0x80:
        at += 1
    return message[at + 1 :]


def unary(channel):
    message = wrap(os.urandom(100))
    assert channel.unary_unary(SERVICE + "Unary")(message) == message


def server_stream(channel):
    message = wrap(os.urandom(100))
    replies = list(channel.unary_stream(SERVICE + "ServerStream")(message, metadata=[("x-reply-count", "1000")]))
    assert replies == [message] * 1000


def client_stream(channel):
    messages = [wrap(os.urandom(n % 200)) for n in range(1000)]
    reply = json.loads(unwrap(channel.stream_unary(SERVICE + "ClientStream")(iter(messages))))
    assert reply["messages"] == 1000, reply
    assert reply["sha256"] == hashlib.sha256(b"".join(messages)).hexdigest(), reply


def ping_pong(channel):
    requests = queue.SimpleQueue()
    stream = channel.stream_stream(SERVICE + "Bidi")(iter(requests.get, None))
    for number in range(1000):
        message = wrap(b"ping %d" % number)
        requests.put(message)
        assert next(stream) == message
    requests.put(None)
    assert list(stream) == []


def big_messages(channel):
    message = wrap(BIG)
    assert channel.unary_unary(SERVICE + "Unary")(message) == message
    assert list(channel.unary_stream(SERVICE + "ServerStream")(message)) == [message]
    assert list(channel.stream_stream(SERVICE + "Bidi")(iter([message, message]))) == [message, message]
    reply = json.loads(unwrap(channel.stream_unary(SERVICE + "ClientStream")(iter([message, message]))))
    assert reply["bytes"] == 2 * len(message), reply


def metadata(channel):
    sent = [("x-plain", "a value"), ("x-twice", "one"), ("x-twice", "two"), ("x-data-bin", b"\x00\x01\xff\r\n")]
    _, call = channel.unary_unary(SERVICE + "Unary").with_call(wrap(b"x"), metadata=sent + [("x-echo", "both")])
    for got in (call.initial_metadata(), call.trailing_metadata()):
        got = [(key, value) for key, value in got]
        for key, value in sent:
            assert ("echo-" + key, value) in got, (key, value, got)


def error(channel):
    try:
        channel.unary_unary(SERVICE + "Unary")(wrap(b"x"), metadata=[("x-fail", "9"), ("x-fail-message", "50% off")])
    except grpc.RpcError as failure:
        assert failure.code() == grpc.StatusCode.FAILED_PRECONDITION, failure
        assert failure.details() == "50% off", failure
    else:
        raise AssertionError("no error")


def deadline(channel):
    started = time.monotonic()
    try:
        channel.unary_unary(SERVICE + "Unary")(wrap(b"x"), metadata=[("x-never", "1")], timeout=0.3)
    except grpc.RpcError as failure:
        assert failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED, failure
        assert time.monotonic() - started < 5
    else:
        raise AssertionError("no error")


def cancel(channel):
    settings = [("x-reply-count", "100000"), ("x-interval-ms", "10")]
    stream = channel.unary_stream(SERVICE + "ServerStream")(wrap(b"x"), metadata=settings)
    assert len(list(itertools.islice(stream, 3))) == 3
    stream.cancel()
    try:
        list(stream)
    except grpc.RpcError as failure:
        assert failure.code() == grpc.StatusCode.CANCELLED, failure
    unary(channel)


CHECKS = [unary, server_stream, client_stream, ping_pong, big_messages, metadata, error, deadline, cancel]


def main():
    target, *ca = sys.argv[1:]
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if ca:
        with open(ca[0], "rb") as file:
            channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(file.read()), options)
    else:
        channel = grpc.insecure_channel(target, options)
    failed = 0
    with channel:
        for check in CHECKS:
            try:
                check(channel)
                print("ok", check.__name__)
            except Exception as failure:  # every check is run, whatever went wrong in one
                failed += 1
                print(f"FAIL {check.__name__}: {failure!r}"[:2000])
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

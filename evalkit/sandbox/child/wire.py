"""Messages between the host and the jail: a length, then JSON, with file descriptors beside the first byte."""

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct(">Q")
_MOST_DESCRIPTORS = 8
_MOST_BYTES = 1 << 30


class Closed(Exception):  # noqa: N818
    """The other side is gone."""


def send(channel: socket.socket, message: Any, descriptors: tuple[int, ...] = ()) -> None:
    """Raises Closed where nobody is there to read it."""
    body = json.dumps(message).encode("ascii")
    data = _LENGTH.pack(len(body)) + body
    try:
        sent = socket.send_fds(channel, [data], list(descriptors)) if descriptors else channel.send(data)
        if sent < len(data):
            channel.sendall(memoryview(data)[sent:])
    except OSError as error:
        raise Closed from error


def receive(channel: socket.socket, most: int = _MOST_BYTES) -> tuple[Any, list[int]]:
    """A message and the descriptors that came with it. Raises Closed at the end and for what is no message of at most
    `most` bytes, TimeoutError at the socket's limit.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, _MOST_DESCRIPTORS)
        while 0 < len(head) < _LENGTH.size:
            more = channel.recv(_LENGTH.size - len(head))
            if not more:
                break
            head += more
        if len(head) < _LENGTH.size:
            raise Closed
        (length,) = _LENGTH.unpack(head)
        if length > most:
            raise Closed
        chunks = []
        while length > 0:
            chunk = channel.recv(min(length, 1 << 20))
            if not chunk:
                raise Closed
            chunks.append(chunk)
            length -= len(chunk)
    except TimeoutError:
        raise
    except OSError as error:
        raise Closed from error
    try:
        return json.loads(b"".join(chunks)), descriptors
    except (ValueError, RecursionError) as error:
        raise Closed from error

"""Messages between host and jail over real sockets; return values and exceptions as a program's process tells them."""

import array
import collections
import enum
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from evalkit.sandbox.child import wire
from evalkit.sandbox.child.values import describe, encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(20)
        other.settimeout(20)
        yield one, other


def framed(body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">Q", len(body) if length is None else length) + body


def test_a_message_is_a_length_and_json(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    wire.send(one, {"a": ["é", None, 1.5]})
    body = b'{"a": ["\\u00e9", null, 1.5]}'
    assert other.recv(1000) == framed(body)
    other.sendall(framed(body))
    assert wire.receive(one) == ({"a": ["é", None, 1.5]}, [])
    wire.send(one, [])
    wire.send(one, "next")
    assert [wire.receive(other)[0], wire.receive(other)[0]] == [[], "next"], "one message does not eat the next"


def test_descriptors_travel_beside_a_message(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    read, write = os.pipe()
    wire.send(one, {"n": 2}, (read, write))
    message, (got_read, got_write) = wire.receive(other)
    os.write(got_write, b"x")
    assert message == {"n": 2}
    assert os.read(read, 5) == b"x"
    for descriptor in (read, write, got_read, got_write):
        os.close(descriptor)
    eight = [os.dup(0) for _ in range(8)]
    wire.send(one, 1, tuple(eight))
    _, received = wire.receive(other)
    assert len(received) == 8
    for descriptor in (*eight, *received):
        os.close(descriptor)


def test_long_messages_arrive_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    """Longer than what a socket takes at once, with and without a descriptor."""
    one, other = pair
    text = "abcdefg" * 500_000
    for descriptors in ((), (0,)):
        sender = threading.Thread(target=wire.send, args=(one, text, descriptors))
        sender.start()
        message, received = wire.receive(other)
        sender.join()
        assert message == text
        assert len(received) == len(descriptors)
        for descriptor in received:
            os.close(descriptor)


def test_a_message_may_come_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    whole = framed(b'{"a": 1}')
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(wire.receive(other)[0]))
    reader.start()
    for at in range(len(whole)):
        one.send(whole[at : at + 1])
    reader.join()
    assert found == [{"a": 1}]


@pytest.mark.parametrize(
    "sent",
    [b"", b"\0\0\0", framed(b"{"), framed(b"{}", 3), framed(b""), framed(b"\xff"), framed(b"[" * 100_000)],
    ids=["nothing", "half a length", "no JSON", "a short body", "empty", "no text", "too deep"],
)  # fmt: skip
def test_what_is_no_message_is_a_closed_channel(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    one, other = pair
    one.sendall(sent)
    one.shutdown(socket.SHUT_WR)
    with pytest.raises(wire.Closed):
        wire.receive(other)


def test_messages_have_a_limit_before_they_are_read(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    for body, most in ((b'"12345678"', 10), (b"1234567890", 10)):
        one.sendall(framed(body))
        assert wire.receive(other, most)[0] in ("12345678", 1234567890)
    one.sendall(framed(b"12345678901"))
    with pytest.raises(wire.Closed):
        wire.receive(other, 10)
    again, reader = socket.socketpair()
    with again, reader:
        again.sendall(framed(b"1", (1 << 30) + 1))
        reader.settimeout(20)
        with pytest.raises(wire.Closed):
            wire.receive(reader)


def test_nobody_at_the_other_end_is_told(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    other.close()
    with pytest.raises(wire.Closed):
        wire.receive(one)
    for descriptors in ((), (0,)):
        with pytest.raises(wire.Closed):
            wire.send(one, 1, descriptors)
    one.close()
    with pytest.raises(wire.Closed):
        wire.receive(one)


def test_silence_is_told_from_a_closed_channel(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        wire.receive(one)
    other.sendall(framed(b"12345")[:9])
    with pytest.raises(TimeoutError):
        wire.receive(one)


# Values


class OwnList(list[int]):
    def __iter__(self) -> Iterator[int]:
        return iter([99])

    def __len__(self) -> int:
        return 99


class OwnDict(dict[str, int]):
    def items(self) -> Any:
        return [("other", 99)]


class OwnInt(int):
    def __int__(self) -> int:
        return 99

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class OwnFloat(float):
    def __float__(self) -> float:
        return 99.0


class OwnText(str):
    def __str__(self) -> str:
        return "other"


class OwnDecimal(Decimal):
    def __str__(self) -> str:
        return "99"


class OwnComplex(complex):
    pass


class Level(enum.IntEnum):
    LOW = 3


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1, 1),
        (True, True),
        (None, None),
        (0.5, 0.5),
        ("é\n", "é\n"),
        ([1, [2.5, "a", None, False]], [1, [2.5, "a", None, False]]),
        ((1, 2), [1, 2]),
        ([(1, 2)], [{"!": "object", "type": "tuple"}]),
        ((), []),
        ([], []),
        ({}, {"!": "dict", "items": []}),
        ({"a": [1], 2: (3,)}, {"!": "dict", "items": [["a", [1]], [2, {"!": "object", "type": "tuple"}]]}),
        (collections.OrderedDict(a=1), {"!": "dict", "items": [["a", 1]]}),
        (collections.Counter("aab"), {"!": "dict", "items": [["a", 2], ["b", 1]]}),
        (OwnList([1, 2]), [1, 2]),
        ([OwnList([1])], [[1]]),
        (OwnDict(a=1), {"!": "dict", "items": [["a", 1]]}),
        (OwnInt(7), 7),
        (Level.LOW, 3),
        (OwnFloat(0.5), 0.5),
        (OwnText("mine"), "mine"),
        ({1, 2}, {"!": "object", "type": "set"}),
        (b"a", {"!": "object", "type": "bytes"}),
        (array.array("i", [1]), {"!": "object", "type": "array"}),
        (Fraction(-3, 6), {"!": "fraction", "value": [-1, 2]}),
        (Decimal("1.50"), {"!": "decimal", "value": "1.50"}),
        (OwnDecimal("1.5"), {"!": "decimal", "value": "1.5"}),
        (1.5 - 2j, {"!": "complex", "value": [1.5, -2.0]}),
        (OwnComplex(0, 1), {"!": "complex", "value": [0.0, 1.0]}),
        (np.int64(3), {"!": "scalar", "value": 3}),
        (np.bool_(True), {"!": "scalar", "value": True}),
        (np.float32(0.5), {"!": "scalar", "value": 0.5}),
        (np.array([[5]]), {"!": "array", "dimensions": 2, "size": 1, "value": 5}),
        (np.array(5), {"!": "array", "dimensions": 0, "size": 1, "value": 5}),
        (np.array([5, 6]), {"!": "array", "dimensions": 1, "size": 2, "value": None}),
        (np.zeros((0, 3)), {"!": "array", "dimensions": 2, "size": 0, "value": None}),
        ([np.int64(3)], [{"!": "scalar", "value": 3}]),
        (len, {"!": "object", "type": "builtin_function_or_method"}),
    ],
)  # fmt: skip
def test_return_values_as_json(value: Any, written: Any) -> None:
    found = json.loads(encode(value))
    assert found == written
    assert json.dumps(found) == json.dumps(written), "1, 1.0 and true are told apart"


def test_a_value_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert json.loads(encode({1})) == {"!": "object", "type": "set"}


def test_an_integer_too_long_to_be_written_is_an_error() -> None:
    with pytest.raises(ValueError, match="digits"):
        encode(10 ** (sys.get_int_max_str_digits() + 1))


def raised(source: str, name: str = "solution.py") -> BaseException:
    namespace: dict[str, Any] = {}
    try:
        exec(compile(source, name, "exec"), namespace)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


RUDE = "class E(Exception):\n    def __str__(self): raise ValueError\n\nraise E"


@pytest.mark.parametrize(
    ("source", "name", "told"),
    [
        ("x = 1\n1 / 0", "solution.py", "ZeroDivisionError: division by zero (line 2)"),
        ("x = 1\n1 / 0", "<string>", "ZeroDivisionError: division by zero (line 2)"),
        ("x = 1\n1 / 0", "other.py", "ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError('a')\n\nf()", "solution.py", "KeyError: 'a' (line 2)"),
        ("import json\n\njson.loads('{')", "solution.py", None),
        ("raise ValueError", "solution.py", "ValueError: (line 1)"),
        ("raise SystemExit(3)", "solution.py", "SystemExit: 3 (line 1)"),
        (RUDE, "solution.py", "E (line 4)"),
        ("x = 1\nx = (", "solution.py", None),
    ],
)
def test_exceptions_are_described(source: str, name: str, told: str | None) -> None:
    found = describe(raised(source, name))
    if told is not None:
        assert found == told
    elif "json" in source:
        assert found.startswith("JSONDecodeError: Expecting property name")
        assert found.endswith("(line 3)"), "the program's line, not the library's"
    else:
        assert found.startswith("SyntaxError: '(' was never closed (solution.py, line 2)")
        assert found.endswith("(line 2)")


def test_an_exception_without_a_place_has_no_line() -> None:
    assert describe(ValueError("a")) == "ValueError: a"
    odd = ValueError("a")
    odd.lineno = "7"  # type: ignore[attr-defined]
    assert describe(odd) == "ValueError: a"
    odd.lineno = 7  # type: ignore[attr-defined]
    assert describe(odd) == "ValueError: a (line 7)"

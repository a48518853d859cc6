"""Decodes the tests of a problem without unpickling objects."""

import base64
import binascii
import struct
import zlib
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import parse_json

_MOST_BYTES = 1 << 30
# pickle opcodes, as Python's pickletools documents them: (name, width of the argument or of its length)
_PROTO, _FRAME, _STOP = 0x80, 0x95, 0x2E
_STRINGS = {0x8C: "<B", 0x58: "<I", 0x8D: "<Q"}  # SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
_MEMO = {0x94: 0, 0x71: 1, 0x72: 4}  # MEMOIZE, BINPUT, LONG_BINPUT


def decode_tests(row: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """The public tests followed by the private tests, as (input, output). Raises EvalkitError, naming the row."""
    try:
        public = parse_json(row["public_test_cases"])
        private = _private(row["private_test_cases"])
        return [(test["input"], test["output"]) for test in (*public, *private)]
    except (ValueError, KeyError, TypeError, zlib.error, binascii.Error, struct.error, IndexError) as error:
        raise EvalkitError(
            f"The tests of {name} cannot be decoded: {type(error).__name__}: {error}.",
            "they have to be JSON, or a pickled JSON string compressed with zlib and encoded in base64.",
        ) from error


def _private(text: str) -> Any:
    if text.lstrip()[:1] == "[":
        return parse_json(text)
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError(f"incomplete, or larger than {_MOST_BYTES >> 20} MB")
    return parse_json(pickled_string(data))


def pickled_string(data: bytes) -> str:
    """The string that `data` is a pickle of. Nothing is executed. Raises ValueError for any other pickle."""
    position, found = 0, None
    while True:
        opcode = data[position]
        position += 1
        if opcode == _PROTO:
            position += 1
        elif opcode == _FRAME:
            position += 8
        elif opcode in _MEMO:
            position += _MEMO[opcode]
        elif opcode in _STRINGS and found is None:
            form = _STRINGS[opcode]
            (length,) = struct.unpack_from(form, data, position)
            position += struct.calcsize(form)
            if position + length > len(data):
                raise ValueError("its string is incomplete")
            found = data[position : position + length].decode("utf-8", "surrogatepass")
            position += length
        elif opcode == _STOP and found is not None:
            return found
        else:
            raise ValueError(f"its pickle has the opcode {opcode:#04x}, so it is not a string")

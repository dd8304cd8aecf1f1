"""Versioned binary form of what is stored: a magic word, a JSON head, then arrays, all little-endian, with a checksum.

    b"TTB1" | crc32 of the rest (4) | length of head (4) | head (JSON, UTF-8) | body (zlib)

The head lists the arrays (name, dtype, shape) in the order in which the body holds them. No pickle: reading runs no
code.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError, IntegrityError

MAGIC = b"TTB1"
_DTYPES = frozenset({"<f8", "<i8", "<i4", "<u8", "<u4", "|u1"})


def pack(kind: str, version: int, head: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Bytes of a value: ``kind`` and ``version`` are checked again when it is read."""
    listed, parts = [], []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if little.dtype.str not in _DTYPES:
            raise DataError(f"array '{name}' of {kind} has dtype {array.dtype}, which is not stored")
        listed.append([name, little.dtype.str, list(little.shape)])
        parts.append(little.tobytes())
    text = json.dumps(
        {"kind": kind, "version": version, "arrays": listed, **head}, sort_keys=True, separators=(",", ":")
    )
    encoded = text.encode()
    rest = struct.pack("<I", len(encoded)) + encoded + zlib.compress(b"".join(parts), 6)
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def unpack(kind: str, version: int, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The head and the arrays.

    Raises:
        IntegrityError: damaged, cut short, or of another kind or a newer version.
    """
    if data[:4] != MAGIC or len(data) < 12:
        raise IntegrityError(f"not a {kind}: it begins with {data[:4]!r}, expected {MAGIC!r}")
    (checksum,) = struct.unpack("<I", data[4:8])
    rest = data[8:]
    if zlib.crc32(rest) != checksum:
        raise IntegrityError(f"{kind} is damaged: its checksum does not fit ({len(data)} bytes)")
    (length,) = struct.unpack("<I", rest[:4])
    head = json.loads(rest[4 : 4 + length])
    if head["kind"] != kind or head["version"] != version:
        raise IntegrityError(
            f"expected a {kind} of format {version}, found a {head['kind']} of format {head['version']}; "
            "fit it again with this version of Trimtab"
        )
    body = zlib.decompress(rest[4 + length :])
    arrays, at = {}, 0
    for name, dtype, shape in head.pop("arrays"):
        if dtype not in _DTYPES:
            raise IntegrityError(f"{kind} names the unknown dtype {dtype!r}")
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        part = np.frombuffer(body, dtype=dtype, count=size // np.dtype(dtype).itemsize, offset=at)
        arrays[name] = part.reshape(shape).copy()
        at += size
    return head, arrays

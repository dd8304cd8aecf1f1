"""Columns of the log whose values nobody should read there: hashed with a key, or left out."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from trimtab.serving.package import Signature
from trimtab.serving.record.columns import nulls, same_text, strings, texts_of
from trimtab.serving.record.profile_columns import INPUT
from trimtab.serving.record.settings import LogSettings

ENTITY = "entity"
HASH_BYTES = 16
WITHHELD = "the model failed; its message is withheld, since columns of this log are private"
KNOWN_MAX = 50_000
"""Hashes that are remembered, to save making them anew."""


class Veil:
    """Replaces texts by their keyed hash: 32 hex digits of BLAKE2b, the same for the same text and key.

    Who has the key can find the value of a guess, nobody else; equal values stay equal, so entities can be followed and
    categories counted.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._hashed = frozenset(settings.hashed)
        self._omitted = frozenset(settings.omitted)
        self._key = settings.secret()[:64] if settings.hashed else b""
        self._known: dict[str, str] = {}

    def over(self, batch: pa.RecordBatch, signature: Signature) -> pa.RecordBatch:
        """The batch (of one kind: all errors or none) as it may be logged. What cannot be hashed is left out."""
        arrays, fields = [], []
        for field, array in zip(batch.schema, batch.columns, strict=True):
            hashed = self._is(self._hashed, field.name, signature)
            if self._is(self._omitted, field.name, signature) or (hashed and not pa.types.is_string(field.type)):
                if field.name != ENTITY:
                    continue
                array = nulls(field.type, len(batch))
            elif hashed:
                array = self._hash(array)
            elif field.name == "error" and array.null_count < len(batch):
                array = same_text(WITHHELD, len(batch))  # a model's message may quote the value
            arrays.append(array)
            fields.append(field)
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def hashed(self, text: str) -> str:
        """The hash of a value."""
        known = self._known.get(text)
        if known is None:
            data = text.encode("utf-8", "replace")
            known = hashlib.blake2b(data, digest_size=HASH_BYTES, key=self._key).hexdigest()
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[text] = known
        return known

    def _hash(self, array: pa.Array) -> pa.Array:
        return strings([None if text is None else self.hashed(text) for text in texts_of(array)])

    @staticmethod
    def _is(named: frozenset[str], column: str, signature: Signature) -> bool:
        """Whether a column of the log is among those named as inputs or as the entity."""
        if column == ENTITY:
            return ENTITY in named or (signature.entity is not None and signature.entity in named)
        return column.startswith(INPUT) and column[len(INPUT) :] in named

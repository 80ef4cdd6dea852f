"""Stable hashes: the same on every machine and in every process, unlike Python's own."""

from __future__ import annotations

from hashlib import blake2b


def digest(*parts: str | int, size: int) -> bytes:
    """A hash of several texts and numbers that no other list of parts shares.

    Args:
        parts: each with its length in front, so that no part can reach into the next.
        size: bytes of the result.
    """
    text = "".join(f"{len(part)}:{part}" if isinstance(part, str) else f"#{part};" for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def stable_number(*parts: str | int, bits: int = 64) -> int:
    """`digest` as a non-negative integer of at most 64 bits."""
    return int.from_bytes(digest(*parts, size=8), "big") >> (64 - bits)

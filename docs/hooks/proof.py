"""The proof: what a handbook run recorded of each block, and the key by which a block is found in it."""

import hashlib


def block_key(language: str, text: str) -> str:
    """The key of a block in the proof: the sha256, in hexadecimal, of its language and its text."""
    return hashlib.sha256(f"{language}\n{text}".encode()).hexdigest()

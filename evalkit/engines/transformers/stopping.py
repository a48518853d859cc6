"""Tokens back to text, and stop strings in it."""

from collections.abc import Sequence
from typing import Any

_REPLACEMENT = "\ufffd"  # what an incomplete multi-byte character decodes to


class Decoder:
    """Text of a tokenizer's tokens; special tokens such as `</think>` stay, as graders read them."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._pieces: dict[int, str] = {}

    def text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def stop_at(self, tokens: Sequence[int], stops: Sequence[str]) -> int | None:
        """Where in the text the first stop string begins (characters), given that none was there a token ago."""
        if not self._may_end_one(tokens[-1], stops):
            return None
        # A character has at most four tokens (byte-level vocabularies); the rest is for pieces that decode to nothing.
        tail = self.text(tokens[-(4 * max(map(len, stops)) + 8) :])
        if not any(stop in tail for stop in stops):
            return None
        text = self.text(tokens)
        return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)

    def _may_end_one(self, token: int, stops: Sequence[str]) -> bool:
        """Whether the token's text can hold a stop string's last character: cheaper than decoding every step."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self.text([token])
        return not piece or _REPLACEMENT in piece or any(stop[-1] in piece or stop[-1].isspace() for stop in stops)

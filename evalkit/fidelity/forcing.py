"""Two loaded models on many texts: the measures of every token, batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch

from evalkit.fidelity.forward import ForcedText, Reader, batches, paired_logits
from evalkit.fidelity.measures import Kernel
from evalkit.fidelity.tokens import SharedVocabulary
from evalkit.stats.intervals import Floats


class MeasureSettings(Protocol):
    """What of the settings the measures depend on."""

    @property
    def temperatures(self) -> tuple[float, ...]: ...
    @property
    def top_k(self) -> int: ...


class Forcing:
    """The measures of texts under a teacher and a student; `names` are their columns."""

    def __init__(
        self,
        teacher: Any,
        student: Any,
        vocabulary: SharedVocabulary,
        settings: MeasureSettings,
        budget: int | None = None,
    ) -> None:
        self._readers = {"teacher": Reader(teacher, budget), "student": Reader(student, budget)}
        size = min(vocabulary.size, *(reader.rows for reader in self._readers.values()))
        self._kernel = Kernel(size, settings.temperatures, settings.top_k)
        self.names = self._kernel.names

    @torch.inference_mode()
    def paired(self, texts: Sequence[ForcedText], wanted: Callable[[int], bool]) -> Iterator[tuple[int, Floats]]:
        """(number of the text, measures (tokens, names)) of those texts that are wanted, batch by batch."""
        teacher, student = self._readers["teacher"], self._readers["student"]
        for batch in batches(texts, teacher, student):
            if not any(map(wanted, batch)):
                continue
            rows: dict[int, list[Floats]] = {}
            for block in paired_logits(texts, batch, teacher, student):
                measured = self._kernel(block.teacher, block.student.to(block.teacher.device), block.labels)
                parts = measured.cpu().double().numpy()
                ends = np.cumsum([count for _, count in block.parts])
                for (number, _), own in zip(block.parts, np.split(parts, ends[:-1]), strict=True):
                    rows.setdefault(number, []).append(own)
            for number, pieces in rows.items():
                if wanted(number):
                    yield number, np.concatenate(pieces)

    @torch.inference_mode()
    def alone(self, side: Literal["teacher", "student"], prompt: Sequence[int], completion: Sequence[int]) -> Floats:
        """The loss in nats of each token of one text under one model."""
        reader = self._readers[side]
        losses: list[Floats] = []
        start = 0
        chunk = max(1, reader.budget // reader.rows)
        for logits in reader.in_chunks(prompt, completion, chunk):
            labels = torch.tensor(completion[start : start + len(logits)], device=logits.device)
            start += len(labels)
            wide = torch.float64 if logits.device.type != "mps" else torch.float32
            lost = torch.nn.functional.cross_entropy(logits.to(wide), labels, reduction="none")
            losses.append(lost.cpu().double().numpy())
        return np.concatenate(losses)

"""What two rows of logits and the token that followed say of each other: one row of measures per token.

P is the teacher's distribution and Q the student's; everything is computed in float64 where the device has it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 16  # logits reduced at a time: what they are turned into stays in the processor's cache
_BLOCK_ELEMENTS_GPU = 1 << 25


@dataclass(frozen=True, slots=True)
class Kernel:
    """Which measures are computed, and over how many tokens of the vocabulary.

    `vocabulary` rows of the logits are tokens, the rest is padding and is left out of both distributions; the mass
    that lay there is a measure of its own. `temperatures` are those of the softened distributions, 1 among them.
    """

    vocabulary: int
    temperatures: tuple[float, ...] = (1.0, 2.0, 4.0)
    top_k: int = 5

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of `__call__`, in order."""
        softened = [f"{name}@{t:g}" for t in self.temperatures for name in ("soft_loss", "teacher_entropy")]
        sampled = [f"tv@{t:g}" for t in self.temperatures if t <= 1]
        return (*softened, *sampled, *_AT_ONE)

    def __call__(self, teacher: Tensor, student: Tensor, labels: Tensor) -> Tensor:
        """The measures (tokens, measures) of logits (tokens, rows at least `vocabulary`) and of the token ids that
        followed (tokens). float64, float32 on a device without it."""
        limit = _BLOCK_ELEMENTS if teacher.device.type == "cpu" else _BLOCK_ELEMENTS_GPU
        rows = max(1, limit // self.vocabulary)
        parts = [
            self._block(teacher[i : i + rows], student[i : i + rows], labels[i : i + rows])
            for i in range(0, len(labels), rows)
        ]
        return torch.cat(parts)

    def _block(self, teacher: Tensor, student: Tensor, labels: Tensor) -> Tensor:
        p, q = _Side(teacher, self.vocabulary), _Side(student, self.vocabulary)
        columns: dict[str, Tensor] = {}
        for t in sorted(self.temperatures, reverse=True):
            p.soften(t)
            q.soften(t)
            columns[f"soft_loss@{t:g}"] = q.log_total - p.mean_of(q.logits) / t
            columns[f"teacher_entropy@{t:g}"] = p.log_total - p.mean_of(p.logits) / t
            if t <= 1:
                scaled = p.powers * (q.total / p.total).unsqueeze(-1)
                columns[f"tv@{t:g}"] = scaled.sub_(q.powers).abs_().sum(-1) / (2 * q.total)
            if t == 1:
                columns |= _at_one(p, q, labels, columns["teacher_entropy@1"])
        columns["top1_agreement"], columns["topk_overlap"] = _overlap(p.logits, q.logits, self.top_k)
        return torch.stack([columns[name] for name in self.names], dim=1)


class _Side:
    """One model's logits less their largest, and their softmax at the temperature last asked for.

    The softmax is `powers / total`; `log_total` is the log of `total`.
    """

    def __init__(self, logits: Tensor, vocabulary: int) -> None:
        wide = torch.float64 if logits.device.type != "mps" else torch.float32
        own = logits[:, :vocabulary]
        largest = own.amax(-1, keepdim=True).to(wide)
        self.logits = own.to(wide) - largest
        self.padding = (logits[:, vocabulary:].to(wide) - largest).exp_().sum(-1)
        self._temperature = 0.0
        self.powers = self.total = self.log_total = self.logits

    def soften(self, temperature: float) -> None:
        if self._temperature == 2 * temperature:  # exp(x / t) is the square of exp(x / 2t), which is at hand
            self.powers.mul_(self.powers)
        elif temperature == 1:
            self.powers = self.logits.exp()
        else:
            self.powers = (self.logits / temperature).exp_()
        self._temperature = temperature
        self.total = self.powers.sum(-1)
        self.log_total = self.total.log()

    def mean_of(self, values: Tensor) -> Tensor:
        """The mean of `values` under the softmax."""
        mean: Tensor = torch.linalg.vecdot(self.powers, values) / self.total
        return mean


def _at_one(p: _Side, q: _Side, labels: Tensor, teacher_entropy: Tensor) -> dict[str, Tensor]:
    """The measures that are taken at temperature 1 alone."""
    at = labels.unsqueeze(-1)
    entropy = q.log_total - q.mean_of(q.logits)
    mixture = p.powers * (0.5 / p.total).unsqueeze(-1)
    mixture.addcmul_(q.powers, (0.5 / q.total).unsqueeze(-1))
    smallest = torch.finfo(mixture.dtype).tiny  # keeps 0 log 0 at 0
    js = -torch.linalg.vecdot(mixture, mixture.clamp(min=smallest).log_()) - (teacher_entropy + entropy) / 2
    return {
        "student_loss": q.log_total - q.logits.gather(-1, at).squeeze(-1),
        "teacher_loss": p.log_total - p.logits.gather(-1, at).squeeze(-1),
        "student_entropy": entropy,
        "kl_reverse": (p.log_total - q.mean_of(p.logits) - entropy).clamp_(min=0),
        "js": js.clamp_(min=0),
        "teacher_largest": 1 / p.total,
        "teacher_padding": p.padding / (p.padding + p.total),
        "student_padding": q.padding / (q.padding + q.total),
    }


_AT_ONE = (
    "student_loss",
    "teacher_loss",
    "student_entropy",
    "kl_reverse",
    "js",
    "teacher_largest",
    "teacher_padding",
    "student_padding",
    "top1_agreement",
    "topk_overlap",
)


def _overlap(teacher: Tensor, student: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Whether the likeliest tokens are one (1 or 0), and the share of the k likeliest that both have."""
    k = min(k, teacher.shape[-1])
    first, second = (logits.topk(k, dim=-1).indices for logits in (teacher, student))
    both = (first.unsqueeze(-1) == second.unsqueeze(-2)).sum((-1, -2))
    return (first[:, 0] == second[:, 0]).to(teacher.dtype), both.to(teacher.dtype) / k

"""Transfer sets: a teacher's completions, kept by rejection sampling, that a student is trained on."""

from evalkit.transfer.audit import Audit, audit_set
from evalkit.transfer.make import TransferSet, make_transfer_set

__all__ = ["Audit", "TransferSet", "audit_set", "make_transfer_set"]

"""verl's main_generation (as rllm used it): one parquet, the prompts' own columns and `responses`."""

from collections.abc import Iterator

from evalkit.importers.common import joined_prompt
from evalkit.importers.files import LogFile
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample

_END = ("<|im_end|>", "<|endoftext|>", "<｜end▁of▁sentence｜>", "<|eot_id|>", "</s>")


class Verl(Reader):
    name = "verl"
    title = "verl's main_generation"

    def recognise(self, file: LogFile) -> LogPart | None:
        if not set(file.columns) >= {"responses", "reward_model", "prompt"}:
            return None
        return LogPart(file, file.stem.removesuffix(".parquet"), file.folder, file.name)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for number, row in enumerate(log.files[0].parquet_rows("responses", "reward_model", "prompt", "extra_info")):
            extra = row["extra_info"]
            index = extra["index"].maybe_label() if isinstance(extra.value, dict) else None
            gold = row["reward_model"]["ground_truth"]
            for k, text in enumerate(row["responses"].texts()):
                yield ImportedSample(
                    index or str(number),
                    k,
                    _without_end(text),
                    position=number,
                    prompt=joined_prompt(row["prompt"]),
                    gold=gold.plain(),
                )


def _without_end(text: str) -> str:
    """The text without the special tokens that end it: it is decoded with them."""
    while ending := next((e for e in _END if text.endswith(e)), None):
        text = text.removesuffix(ending)
    return text

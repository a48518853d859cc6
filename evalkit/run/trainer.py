"""A callback for transformers' Trainer, and those of TRL: checkpoints are evaluated while the training goes on."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.workers import ending_with_this_process

if TYPE_CHECKING:
    from transformers import TrainerCallback

_FINISHED = ".evalkit_training_finished"


def trainer_callback(
    tasks: str,
    *options: str,
    results: str | Path = "results",
    every_new: bool = True,
    gpus: str | None = None,
    settle: float = 10.0,
    wait: bool = True,
) -> "TrainerCallback":
    """A callback that runs `evalkit watch` on the trainer's output folder, in a process of its own.

    `tasks` and `options` are those of `evalkit run`. `gpus` sets CUDA_VISIBLE_DEVICES for the evaluation; without it,
    it shares the training's GPUs. With `wait` the end of the training waits for the last checkpoint's evaluation. Only
    the process of rank 0 evaluates.

    Raises EvalkitError if transformers is not installed.

    Examples:
        >>> callback = trainer_callback("math500", "-n", "4", gpus="7")
        >>> # Trainer(..., callbacks=[callback])
    """
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise EvalkitError(
            "The callback needs the package transformers, which is not installed.", "run `pip install transformers`."
        ) from error

    class Evaluation(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
        process: "subprocess.Popen[bytes] | None" = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not state.is_world_process_zero:
                return
            folder = Path(args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _FINISHED).unlink(missing_ok=True)
            arguments = _watch(folder, tasks, options, Path(results), every_new, settle)
            environment = ending_with_this_process(os.environ)
            if gpus is not None:
                environment["CUDA_VISIBLE_DEVICES"] = gpus
            self.process = subprocess.Popen(arguments, env=environment)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.process is None:
                return
            (Path(args.output_dir) / _FINISHED).touch()
            if wait:
                self.process.wait()
                (Path(args.output_dir) / _FINISHED).unlink(missing_ok=True)

    return Evaluation()


def _watch(
    folder: Path, tasks: str, options: Sequence[str], results: Path, every_new: bool, settle: float
) -> list[str]:
    arguments = [sys.executable, "-m", "evalkit", "watch", str(folder), "-t", tasks, *options]
    arguments += ["--results", str(results), "--settle", str(settle), "--poll", str(min(settle, 5.0))]
    arguments += ["--until", str(folder / _FINISHED)]
    return [*arguments, *(["--every-new"] if every_new else [])]

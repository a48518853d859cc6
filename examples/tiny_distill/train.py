"""R1's recipe on two-digit arithmetic, on one CPU thread: a teacher, its transfer set, and students trained on it.

    OMP_NUM_THREADS=1 python examples/tiny_distill/train.py --out DIR

1. A teacher is trained on the whole training split.
2. A small base is trained on few labelled problems.
3. The teacher answers other problems with evalkit, and `make_transfer_set` keeps the right answers (DeepSeek-AI 2025,
   arXiv:2501.12948, section 2.3.3).
4. The student is the base, fine-tuned on the transfer set. Beside it stands a student that also learns the teacher's
   soft targets on the same texts (Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network").

Written to DIR, each an ordinary Hugging Face checkpoint: teacher/, base/, student-distilled/ and student-soft/; base-S/
and student-distilled-S/ for each further seed S; transfer.jsonl with its card; log.json.
"""

import argparse
import copy
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from evalkit_tasks.arithmetic import test_problems, training_problems
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from evalkit import Problem, Run, evaluate
from evalkit.benchmark.protocols import find_protocol
from evalkit.importers.problem_file import ProblemFile
from evalkit.transfer import TransferSet, make_transfer_set

VOCABULARY = 448
VALIDATION = 200
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)
# Words the three models never answer in, there so that ordinary prompts do not fall apart into single bytes.
ENGLISH = """Solve the following problem. Think step by step, and put your final answer within a box. Let x and y be two
real numbers such that the sum of the first and the second is equal to the product of the others. Find the value of the
function at the given point. How many positive integers less than one hundred have this property? In the triangle the
length of the side is known and the angle between the two lines is right. Which of the following is correct? Answer the
multiple choice question; the last line of your response should be the letter of the option. Write a program that reads
the input from the standard input and prints the result to the standard output. What is the probability that there are
at least three of them? Prove that for every number in the sequence, the remainder when it is divided by seven is the
same. A system user assistant message is an instruction. The energy of the particle depends on its mass and velocity,
and the solution is to be expressed in terms of the constant."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result but the seed. Chosen on the validation split (see the README)."""

    teacher_steps: int = 1000
    teacher_batch: int = 64
    labelled_problems: int = 400
    base_steps: int = 1000
    transfer_problems: int = 4000
    samples: int = 2
    student_steps: int = 2400
    student_batch: int = 32
    learning_rate: float = 3e-3
    muon_learning_rate: float = 0.02
    temperature: float = 2.0
    soft_weight: float = 0.7


@dataclass(frozen=True)
class Size:
    """The shape of a model."""

    layers: int
    width: int
    heads: int
    feed_forward: int


TEACHER = Size(layers=3, width=96, heads=4, feed_forward=256)
STUDENT = Size(layers=2, width=64, heads=4, feed_forward=160)


@dataclass
class Batch:
    """Token ids (problems, length), True where a token is one the model has to write, and the teacher's logits.

    `soft` is (problems, length - 1, vocabulary), None where nothing is distilled.
    """

    ids: torch.Tensor
    written: torch.Tensor
    soft: torch.Tensor | None = None

    def rows(self, index: torch.Tensor) -> "Batch":
        """The chosen problems, cut to the longest of them."""
        written = self.written[index]
        length = int(written.nonzero()[:, 1].max()) + 1
        soft = None if self.soft is None else self.soft[index, : length - 1]
        return Batch(self.ids[index, :length], written[:, :length], soft)


def worked_solution(problem: Problem) -> str:
    """What a model is taught to write after `<think>\\n`: digit by digit steps, then the boxed answer."""
    a, b = problem.metadata["a"], problem.metadata["b"]
    tens, ones = a - a % 10, a % 10
    match problem.metadata["operation"]:
        case "add":
            left, right = ones + b % 10, tens + b - b % 10
            steps = [f"{ones}+{b % 10}={left}", f"{tens}+{b - b % 10}={right}", f"{right}+{left}={a + b}"]
        case "sub":
            steps = [f"{a}-{b - b % 10}={a - b + b % 10}", f"{a - b + b % 10}-{b % 10}={a - b}"]
        case _:
            steps = [f"{tens}*{b}={tens * b}", f"{ones}*{b}={ones * b}", f"{tens * b}+{ones * b}={a * b}"]
    return "\n".join(steps) + f"\n</think>\n\n\\boxed{{{problem.target}}}"


def make_tokenizer(folder: Path) -> Qwen2Tokenizer:
    """A byte-level BPE of `VOCABULARY` tokens, saved to `folder`.

    AutoTokenizer puts Qwen2's own normaliser and pre-tokenizer in place of any other on a qwen2 checkpoint, so the
    BPE is trained behind exactly those, and the ids are compared after reloading (AssertionError where they differ).
    """
    reference = Qwen2Tokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = reference.pre_tokenizer
    bpe.decoder = decoders.ByteLevel()
    problems = training_problems()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - 2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator([ENGLISH, *(f"user\n{p.prompt}\nassistant\n\\boxed{{" for p in problems[:100])], trainer)
    state = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=state["vocab"],
        merges=[tuple(merge) for merge in state["merges"]],
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        clean_up_tokenization_spaces=False,
        model_max_length=40960,
    )
    # As in R1's tokenizer these two are no special tokens: decoding without special tokens keeps them.
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    reloaded = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == len(reloaded) == VOCABULARY, (len(tokenizer), len(reloaded))
    for problem in problems[:100]:
        text = prompt_text(tokenizer, problem) + worked_solution(problem) + tokenizer.eos_token
        assert tokenizer(text)["input_ids"] == reloaded(text)["input_ids"], text
        assert reloaded.decode(reloaded(text)["input_ids"]) == text, text
    return reloaded


def prompt_text(tokenizer: Any, problem: Problem) -> str:
    """The prompt with the chat template applied, ending in `<think>\\n`."""
    message = {"role": "user", "content": problem.prompt}
    return str(tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True))


def labelled(tokenizer: Any, problems: Sequence[Problem]) -> Batch:
    """Problems with their worked solutions."""
    return encode(tokenizer, [(prompt_text(tokenizer, problem), worked_solution(problem)) for problem in problems])


def written_by_teacher(tokenizer: Any, made: TransferSet) -> Batch:
    """The examples of a transfer set; the chat template has written `<think>\\n` into the prompt already."""
    texts = []
    for example in made.examples:
        prompt = str(tokenizer.apply_chat_template(list(example.prompt), tokenize=False, add_generation_prompt=True))
        texts.append((prompt, example.response.removeprefix("<think>\n")))
    return encode(tokenizer, texts)


def encode(tokenizer: Any, texts: Sequence[tuple[str, str]]) -> Batch:
    """Prompts and responses, padded on the right; the responses are what a model is to write."""
    rows, starts = [], []
    for prompt, response in texts:
        first = tokenizer(prompt)["input_ids"]
        rows.append(first + tokenizer(response + tokenizer.eos_token)["input_ids"])
        starts.append(len(first))
    length = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])
    position = torch.arange(length)
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(ids, (position >= torch.tensor(starts)[:, None]) & (position < lengths[:, None]))


def make_model(tokenizer: Any, size: Size, seed: int) -> Qwen2ForCausalLM:
    """A Qwen2 with random weights drawn by `seed`."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        # Room for the benchmarks' 32,768 tokens and a prompt; the models are trained on fewer than 64 positions.
        max_position_embeddings=40960,
        initializer_range=size.width**-0.5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def written_logits(model: Qwen2ForCausalLM, batch: Batch) -> torch.Tensor:
    """Logits (tokens to be written in the batch, vocabulary); right padding needs no mask in a causal model."""
    hidden = model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
    return torch.as_tensor(model.lm_head(hidden[batch.written[:, 1:]]))


@torch.no_grad()
def with_soft_targets(data: Batch, teacher: Qwen2ForCausalLM) -> Batch:
    """The same problems with the teacher's logits at each position."""
    teacher.eval()
    soft = [teacher(input_ids=ids[:, :-1], use_cache=False).logits for ids in torch.split(data.ids, 100)]
    return Batch(data.ids, data.written, torch.cat(soft))


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, s: Settings) -> torch.Tensor:
    """soft_weight * T^2 * KL(teacher || student at temperature T) + (1 - soft_weight) * cross entropy.

    Hinton et al. 2015, section 2: T^2 keeps the soft part's gradients at the size of the hard part's. The
    Kullback-Leibler divergence differs from their cross entropy by the teacher's entropy, which is constant.
    """
    soft = functional.kl_div(
        functional.log_softmax(student / s.temperature, -1),
        functional.log_softmax(teacher / s.temperature, -1),
        reduction="batchmean",
        log_target=True,
    )
    return s.soft_weight * s.temperature**2 * soft + (1 - s.soft_weight) * functional.cross_entropy(student, labels)


def train(
    model: Qwen2ForCausalLM,
    data: Batch,
    steps: int,
    batch_size: int,
    seed: int,
    settings: Settings,
    *,
    weights: torch.Tensor | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place; the loss curve, a mean over each twentieth of the steps.

    A batch is drawn without replacement, evenly or by `weights`. Without soft targets the loss is cross entropy.
    Matrices go to Muon (Jordan et al. 2024), embeddings, norms and biases to AdamW; both rates fall to zero.
    """
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=settings.muon_learning_rate, weight_decay=0.0),
        torch.optim.AdamW(others, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0),
    ]
    warmup = max(1, min(50, steps // 10))
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup)))
        for o in optimizers
    ]
    generator = torch.Generator().manual_seed(seed)
    weights = torch.ones(len(data.ids)) if weights is None else weights
    curve, recent = [], []
    model.train()
    for step in range(1, steps + 1):
        batch = data.rows(torch.multinomial(weights, min(batch_size, len(weights)), generator=generator))
        logits = written_logits(model, batch)
        labels = batch.ids[:, 1:][batch.written[:, 1:]]
        if batch.soft is None:
            loss = functional.cross_entropy(logits, labels)
        else:
            loss = distillation_loss(logits, batch.soft[batch.written[:, 1:]], labels, settings)
        torch.autograd.backward(loss)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        recent.append(loss.item())
        if step % max(1, steps // 20) == 0 or step == steps:
            curve.append({"step": step, "loss": round(sum(recent) / len(recent), 5)})
            recent.clear()
    return curve


@torch.no_grad()
def accuracy(model: Qwen2ForCausalLM, tokenizer: Any, problems: Sequence[Problem]) -> float:
    """The share in [0, 1] whose greedy response, of at most 64 tokens, boxes the right number after `</think>`."""
    model.eval()
    prompts = [prompt_text(tokenizer, problem) for problem in problems]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    tokenizer.backend_tokenizer.no_padding()  # otherwise this padding would be saved with the tokenizer
    # The tokenizer's token types mean nothing to Qwen2, and generate() refuses what a model does not take.
    out = model.generate(
        inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=64, do_sample=False
    )
    right = 0
    for problem, row in zip(problems, out[:, inputs["input_ids"].shape[1] :], strict=True):
        response = tokenizer.decode(row, skip_special_tokens=True).partition("</think>")[2]
        boxed = re.search(r"\\boxed\{(\d+)\}", response)
        right += boxed is not None and boxed[1] == problem.target
    return right / len(problems)


def save(model: Qwen2ForCausalLM, tokenizer: Any, folder: Path) -> None:
    """An ordinary checkpoint in float32, in which batched and unbatched greedy decoding agree."""
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)


def operation_weights(problems: Sequence[Problem]) -> torch.Tensor:
    """Sampling weights that give each operation the same share of a batch."""
    operations = [str(p.metadata["operation"]) for p in problems]
    return torch.tensor([1 / operations.count(operation) for operation in operations])


def sample_teacher(folder: Path, problems: Sequence[Problem], samples: int) -> Run:
    """The teacher's answers to the problems, with evalkit: a run below `folder`."""
    file = folder / "transfer_problems.jsonl"
    file.write_text("".join(json.dumps({"id": p.id, "problem": p.prompt, "answer": p.target}) + "\n" for p in problems))
    bare = replace(find_protocol("deepseek-r1"), name="bare", prompts={}, max_tokens=64)  # the models know the question
    task = ProblemFile(str(file), "math")
    return evaluate(folder / "teacher", task, protocol=bare, n=samples, results=folder / "runs", progress=False)


class Log:
    """log.json, written anew after each model."""

    def __init__(self, out: Path, tokenizer: Any, content: dict[str, Any], with_test: bool) -> None:
        self.out, self.tokenizer, self.content = out, tokenizer, content
        self.splits = {"validation": training_problems()[:VALIDATION]} | (
            {"test": test_problems()} if with_test else {}
        )

    def add(self, name: str, seed: int, size: Size, model: Qwen2ForCausalLM, since: float, curve: Any) -> None:
        run = {
            "model": name,
            "seed": seed,
            **asdict(size),
            "parameters": model.num_parameters(),
            **{split: accuracy(model, self.tokenizer, chosen) for split, chosen in self.splits.items()},
            "cpu_seconds": round(time.process_time() - since, 1),
            "loss": curve,
        }
        self.content["runs"].append(run)
        (self.out / "log.json").write_text(json.dumps(self.content, indent=1) + "\n")
        print({key: value for key, value in run.items() if key != "loss"}, flush=True)


def make_teacher(args: argparse.Namespace, settings: Settings, tokenizer: Any, log: Log) -> Qwen2ForCausalLM:
    """A teacher trained on the training split, or the one that was given."""
    started, curve = time.process_time(), []
    if args.teacher:
        teacher = Qwen2ForCausalLM.from_pretrained(args.teacher)
    else:
        training = training_problems()[VALIDATION:]
        teacher = make_model(tokenizer, TEACHER, args.seeds[0])
        data, weights = labelled(tokenizer, training), operation_weights(training)
        size, steps = settings.teacher_batch, settings.teacher_steps
        curve = train(teacher, data, steps, size, args.seeds[0], settings, weights=weights)
    save(teacher, tokenizer, args.out / "teacher")
    log.add("teacher", args.seeds[0], TEACHER, teacher, started, curve)
    return teacher


def make_students(args: argparse.Namespace, settings: Settings, tokenizer: Any, log: Log, data: list[Batch]) -> None:
    """For each seed a base, and from it a student on the transfer set, without and with soft targets."""
    few, hard, soft = data
    for seed in args.seeds:
        started = time.process_time()
        base = make_model(tokenizer, STUDENT, seed)
        curve = train(base, few, settings.base_steps, settings.student_batch, seed, settings)
        which = "" if seed == args.seeds[0] else f"-{seed}"
        save(base, tokenizer, args.out / f"base{which}")
        log.add("base", seed, STUDENT, base, started, curve)
        for name, texts in (("student-distilled", hard), ("student-soft", soft)):
            started = time.process_time()
            student = copy.deepcopy(base)
            curve = train(student, texts, settings.student_steps, settings.student_batch, seed, settings)
            if name == "student-distilled" or not which:
                save(student, tokenizer, args.out / f"{name}{which}")
            log.add(name, seed, STUDENT, student, started, curve)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Settings()
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the checkpoints, the transfer set, log.json"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first is also the teacher's")
    parser.add_argument("--teacher", type=Path, help="a teacher trained earlier, instead of training one")
    parser.add_argument("--no-test", action="store_true", help="leave the test split alone (to choose settings)")
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = parser.parse_args()
    settings = Settings(**{name: getattr(args, name) for name in asdict(defaults)})
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    tokenizer = make_tokenizer(args.out / "teacher")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    content = {**versions, "seeds": args.seeds, "settings": asdict(settings), "runs": []}
    log = Log(args.out, tokenizer, content, not args.no_test)
    teacher = make_teacher(args, settings, tokenizer, log)
    training = training_problems()[VALIDATION:]
    few, others = training[: settings.labelled_problems], training[settings.labelled_problems :]
    run = sample_teacher(args.out, others[: settings.transfer_problems], settings.samples)
    made = make_transfer_set(run.path, per_problem=1)
    made.save(args.out / "transfer.jsonl")
    content["transfer"] = {
        "completions": made.completions, "examples": len(made.examples), "rejected": dict(made.rejected),
    }  # fmt: skip
    hard = written_by_teacher(tokenizer, made)
    make_students(args, settings, tokenizer, log, [labelled(tokenizer, few), hard, with_soft_targets(hard, teacher)])


if __name__ == "__main__":
    main()

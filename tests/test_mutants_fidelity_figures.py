"""Fidelity in parts: figures counted by hand, measures of logits by their definitions, texts, tokens and chunks."""

import contextlib
import gzip
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from told_engine import PROTOCOL, Sums, ToldEngine, answer, failed, planned

from evalkit.errors import EvalkitError
from evalkit.fidelity.measure import FidelitySettings, _author, _listed
from evalkit.fidelity.summary import MeasuredText, summarize
from evalkit.fidelity.tokens import SharedVocabulary, TokenizedTrace, forced_text, shared_vocabulary, tokenize
from evalkit.fidelity.traces import Trace, TraceSet, read_trace_file, read_traces
from evalkit.results.fidelity import FidelityFigure, StudentFidelity
from evalkit.results.formats.fidelity import figure_text, measure_rows
from evalkit.run.evaluate import execute_plan
from evalkit.stats.ranking import _bounded_mean
from evalkit.types import Request

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FOLDER = Path(__file__).parents[1] / "examples" / "tiny_distill"
BIT = math.log(2)
NAMES = ("soft_loss@1", "teacher_entropy@1", "soft_loss@2", "teacher_entropy@2", "tv@1", "student_loss", "teacher_loss")
T1 = 12.706204736  # Student's t at 97.5% with one degree of freedom


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


# figures


def a_text(
    problem: str, index: int, student: tuple[int, float], teacher: tuple[int, float], **more: Any
) -> MeasuredText:
    bits = {"student": (student[0], student[1] * BIT), "teacher": (teacher[0], teacher[1] * BIT)}
    usual: dict[str, Any] = {"right": None, "reward": None, "groups": {}, "passes": {}}
    return MeasuredText(problem=problem, sample_index=index, **{**usual, **bits, **more})


LAST = (1, [1.0, 0.5, 1.5, 1.0, 0.5, 0.5, 0.5])
TEXTS = [
    a_text("b", 0, (2, 1), (2, 1), bytes=8, passes={"2": 1.0}, groups={
        "all": (2, [4.0, 3.0, 5.0, 4.0, 1.0, 1.0, 1.0]), "tokens 16-63": LAST, "tokens 0-15": LAST,
        "tokens 16384+": LAST, "thinking": LAST,
    }),
    a_text("a", 1, (2, 4), (2, 3), bytes=6, right=False, reward=0.0, passes={"2": 1.0},
           groups={"all": (2, [2.0, 1.0, 3.0, 2.0, 0.5, 4.0, 3.0])}),
    a_text("a", 0, (4, 2), (5, 1), bytes=10, right=True, reward=1.0, passes={"2": 2.0},
           groups={"all": (4, [8.0, 4.0, 12.0, 8.0, 1.0, 2.0, 1.0])}),
    a_text("c", 0, (1, 1), (1, 1), bytes=1, right=True),
]  # fmt: skip


def summed(texts: list[MeasuredText]) -> dict[tuple[str, str], FidelityFigure]:
    return {(f.measure, f.group): f for f in summarize(texts, NAMES, (1.0, 2.0))}


def test_every_figure_of_four_texts() -> None:
    figures = summed(TEXTS)
    of_all = {
        "student_bits_per_byte": 8 / 25, "student_ranking": 1.0, "student_reward_correlation": 1.0,
        "teacher_bits_per_byte": 6 / 25, "teacher_ranking": 1.0, "teacher_reward_correlation": 1.0,
        "soft_loss@1": 1.75, "teacher_entropy@1": 1.0, "kl_forward@1": 0.75, "tv@1": 0.3125, "acceptance@1": 0.6875,
        "soft_loss@2": 2.5, "soft_loss_scaled@2": 10.0, "teacher_entropy@2": 1.75, "kl_forward@2": 0.75,
        "student_loss": 0.875, "student_perplexity": math.exp(0.875),
        "teacher_loss": 0.625, "teacher_perplexity": math.exp(0.625),
        "tokens_per_pass@2": 2.0, "tokens_per_pass_independent@2": 1 + 0.6875 + 0.6875**2,
    }  # fmt: skip
    assert {name: f.value for (name, group), f in figures.items() if group == "all"} == pytest.approx(of_all)
    own = [name for name in of_all if name.startswith(("student_bits", "teacher_bits"))]
    one = [name for name in of_all if name.endswith(("ranking", "correlation"))]
    counts = {name: (25, 3) if name in own else (1, 1) if name in one else (8, 2) for name in of_all}
    assert {name: (f.n, f.problems) for (name, group), f in figures.items() if group == "all"} == counts
    for name in one:
        assert (figures[name, "all"].stderr, figures[name, "all"].interval) == (None, None)
    in_group = [name for name in of_all if name not in (*own, *one) and not name.startswith("tokens_per")]
    groups = ["all", "thinking", "tokens 0-15", "tokens 16-63", "tokens 16384+", "right", "wrong"]
    order = [*list(of_all)[:6], *in_group]
    assert [f for f in figures if f[1] == "all"] == [(name, "all") for name in of_all]
    assert list(figures) == [
        *((name, "all") for name in order),
        *((name, group) for group in groups[1:] for name in in_group),
        *((name, "all") for name in list(of_all)[-2:]),
    ]
    assert figures["soft_loss@1", "right"].value == 2.0
    assert figures["soft_loss@1", "wrong"].value == 1.0
    assert figures["soft_loss@1", "tokens 16-63"].n == 1


def test_errors_and_intervals_are_between_problems() -> None:
    figures = summed(TEXTS)

    def told(name: str) -> tuple[float, float, float]:
        figure = figures[name, "all"]
        assert figure.stderr is not None
        assert figure.interval is not None
        return figure.stderr, *figure.interval

    assert told("soft_loss@1") == pytest.approx((0.125, 1.75 - T1 * 0.125, 1.75 + T1 * 0.125))
    assert told("acceptance@1") == pytest.approx((0.09375, 0.0, 1.0)), "a share stays between 0 and 1"
    high = math.exp(0.875 + T1 * 0.1875)
    assert told("student_loss") == pytest.approx((0.1875, 0.0, 0.875 + T1 * 0.1875)), "a loss is not below 0"
    assert told("student_perplexity") == pytest.approx((math.exp(0.875) * 0.1875, 1.0, high), rel=1e-5)
    assert told("tokens_per_pass_independent@2") == pytest.approx((2.375 * 0.09375, 1.0, 3.0), rel=1e-5)
    assert figures["tv@1", "all"].unit == "share"
    assert figures["kl_forward@2", "all"].unit == "nats per token"
    assert figures["tokens_per_pass@2", "all"].unit == "tokens"


def test_the_ranking_of_two_problems_stays_where_it_can_be() -> None:
    """One problem is ranked right, the other wrong; both models rank alike."""
    texts = [
        a_text(problem, i, (2, 1 + i), (2, 1), bytes=4, right=bool(i) == worse, reward=float(bool(i) == worse))
        for problem, worse in (("a", False), ("b", True))
        for i in (0, 1)
    ]
    figures = summed(texts)
    ranking, correlation = (figures[name, "all"] for name in ("student_ranking", "student_reward_correlation"))
    assert (ranking.value, ranking.problems, correlation.value, correlation.problems) == (0.5, 2, 0.0, 2)
    assert ranking.interval == pytest.approx((0.0, 1.0), abs=1e-6)
    assert correlation.interval == pytest.approx((-1.0, 1.0), abs=1e-6)
    assert figure_text(ranking) == "50.0% (n = 2 problems, too few for an error bar)"
    assert figure_text(replace(ranking, problems=1)) == "50.0% (n = 1 problem, too few for an error bar)"
    alike = summed([replace(t, right=not t.sample_index, reward=float(not t.sample_index)) for t in texts])
    for name in ("student_ranking", "student_reward_correlation"):
        told = alike[name, "all"].interval
        assert told is not None
        assert (alike[name, "all"].value, told[1]) == pytest.approx((1.0, 1.0))
        assert told[0] < 0.5, "two problems that are alike leave much open"


@pytest.mark.parametrize(("problems", "centre"), [(5, 0.0), (12, 0.6), (40, 0.9), (100, -0.5)])
def test_the_interval_of_a_rank_correlation_covers(problems: int, centre: float) -> None:
    rng = np.random.default_rng(3)
    hits, sets, mean = 0, 300, None
    true = float(np.mean(np.clip(np.random.default_rng(4).normal(centre, 0.4, 200_000), -1, 1)))
    for _ in range(sets):
        mean = _bounded_mean(np.clip(rng.normal(centre, 0.4, problems), -1, 1), -1.0)
        assert -1 <= mean.interval[0] <= mean.value <= mean.interval[1] <= 1
        hits += mean.interval[0] <= true <= mean.interval[1]
    assert hits / sets >= 0.91  # 93% less two standard errors of 300 sets


def test_a_figure_tells_its_own_problems_and_both_sides_of_its_error_bar() -> None:
    figure = FidelityFigure("top1_agreement", "all", 0.98, "share", 5000, 60, 0.01, (0.93, 1.0))
    assert figure_text(figure, 60) == "98.0% +2.0 −5.0"
    assert figure_text(replace(figure, interval=(0.96, 1.0)), 200) == "98.0% ±2.0 (n = 60 problems)"
    few = replace(figure, problems=5)
    assert figure_text(few, 5) == "98.0% +2.0 −5.0"
    loss = FidelityFigure("student_loss", "all", 1.0, "nats per token", 5000, 60, 0.1, (0.8, 1.2))
    student = StudentFidelity("m", "f", 60, 60, "", (), (loss, replace(figure, problems=2)))
    rows = measure_rows(student, ["student_loss", "top1_agreement"], ["all", "right"])
    assert rows[:2] == [["tokens", "5,000", "–"], ["problems", "60", "–"]]
    assert [row[1] for row in rows[2:]] == ["1 ±0.2", "98.0% (n = 2 problems, too few for an error bar)"]


def test_groups_come_in_one_order() -> None:
    tokens = (1, [0.0] * 7)
    names = ("tokens 256-1023", "decided", "tokens 4096+", "tokens 0-255", "undecided", "answer", "thinking", "all")
    figures = summed(
        [a_text(problem, 0, (1, 1), (1, 1), bytes=1, groups=dict.fromkeys(names, tokens)) for problem in "ab"]
    )
    assert list(dict.fromkeys(group for _, group in figures if group in names)) == [
        "all", "thinking", "answer", "undecided", "decided", "tokens 0-255", "tokens 256-1023", "tokens 4096+"
    ]  # fmt: skip


def test_texts_that_were_not_compared_have_their_own_figures_alone() -> None:
    alone = [replace(text, groups={}, passes={}, reward=None) for text in TEXTS]
    assert {name for name, _ in summed(alone)} == {
        "student_bits_per_byte", "teacher_bits_per_byte", "student_ranking", "teacher_ranking"
    }  # fmt: skip
    without = [replace(text, passes={}, right=None) for text in TEXTS]
    assert not any(name.startswith("tokens_per") or name.endswith("ranking") for name, _ in summed(without))
    single = summed([TEXTS[0]])["tokens_per_pass_independent@2", "all"]
    assert (single.stderr, single.interval, single.problems) == (None, None, 1)


def test_a_perplexity_that_is_no_number_any_more_is_left_out() -> None:
    """Losses of 31 nats a token with a wide interval, and of 800: exp(800) is beyond every float."""
    texts = [
        a_text(problem, 0, (1, 1), (1, 1), bytes=1, groups={"all": (1, [0.0] * 5 + [loss, 800.0])})
        for problem, loss in (("a", 30.0), ("b", 32.0))
    ]
    figures = summed(texts)
    told = figures["student_perplexity", "all"]
    assert told.value == pytest.approx(math.exp(31))
    assert (told.stderr, told.interval) == (None, None)
    assert figures["student_loss", "all"].interval == pytest.approx((31 - T1, 31 + T1))
    assert figures["teacher_loss", "all"].value == 800.0
    assert ("teacher_perplexity", "all") not in figures


# measures


def by_definition(p_logits: Any, q_logits: Any, label: int, size: int, t: float) -> dict[str, float]:
    p_all, q_all = np.exp(p_logits), np.exp(q_logits)
    p, q = np.exp(p_logits[:size] / t), np.exp(q_logits[:size] / t)
    p, q = p / p.sum(), q / q.sum()
    found = {f"soft_loss@{t:g}": -(p * np.log(q)).sum(), f"teacher_entropy@{t:g}": -(p * np.log(p)).sum()}
    if t <= 1:
        found[f"tv@{t:g}"] = abs(p - q).sum() / 2
    if t == 1:
        m = (p + q) / 2
        found |= {
            "student_loss": -math.log(q[label]),
            "teacher_loss": -math.log(p[label]),
            "student_entropy": -(q * np.log(q)).sum(),
            "kl_reverse": (q * np.log(q / p)).sum(),
            "js": ((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) / 2,
            "teacher_largest": p.max(),
            "teacher_padding": p_all[size:].sum() / p_all.sum(),
            "student_padding": q_all[size:].sum() / q_all.sum(),
            "top1_agreement": float(p.argmax() == q.argmax()),
            "topk_overlap": len({*p.argsort()[-3:]} & {*q.argsort()[-3:]}) / 3,
        }
    return found


@pytest.mark.parametrize("block", [1 << 16, 1, 13])
@pytest.mark.parametrize("temperatures", [(1.0, 2.0, 4.0), (0.5, 1.0, 3.0)])
def test_the_measures_of_each_token(
    block: int, temperatures: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.fidelity import measures

    monkeypatch.setattr(measures, "_BLOCK_ELEMENTS", block)
    rng = np.random.default_rng(5)
    teacher, student = rng.normal(0, 2, (7, 9)), rng.normal(0, 2, (7, 8))
    student[3, :6] = teacher[3, :6]
    labels = np.array([0, 5, 2, 3, 1, 4, 0])
    kernel = measures.Kernel(6, temperatures, top_k=3)
    table = kernel(torch.tensor(teacher), torch.tensor(student), torch.tensor(labels)).numpy()
    assert str(table.dtype) == "float64"
    assert table.shape == (7, len(kernel.names))
    for i, row in enumerate(table):
        expected: dict[str, float] = {}
        for t in temperatures:
            expected |= by_definition(teacher[i], student[i], labels[i], 6, t)
        assert dict(zip(kernel.names, row, strict=True)) == pytest.approx(expected, abs=1e-12), i
    names = ["soft_loss@0.5", "teacher_entropy@0.5", "soft_loss@1", "teacher_entropy@1", "soft_loss@3"]
    if temperatures[0] == 0.5:
        assert list(kernel.names[:5]) == names
        assert list(kernel.names[6:8]) == ["tv@0.5", "tv@1"]


def test_more_likeliest_tokens_than_there_are() -> None:
    from evalkit.fidelity.measures import Kernel

    logits = torch.tensor([[3.0, 2.0, 1.0]])
    found = dict(zip(Kernel(3).names, Kernel(3)(logits, logits.flip(-1), torch.tensor([0]))[0].tolist(), strict=True))
    assert (found["topk_overlap"], found["top1_agreement"]) == (1.0, 0.0)
    sure = torch.tensor([[0.0, -1e9, -1e9]])
    same = dict(zip(Kernel(3).names, Kernel(3)(sure, sure, torch.tensor([0]))[0].tolist(), strict=True))
    assert (same["js"], same["kl_reverse"], same["teacher_loss"], same["teacher_largest"]) == (0.0, 0.0, 0.0, 1.0)


def test_batches_of_like_length_and_chunks() -> None:
    from evalkit.fidelity.forward import ForcedText, Reader, _spans, batches

    assert list(_spans(5, 12, 3)) == [(0, 3, False), (3, 5, False), (5, 8, True), (8, 11, True), (11, 12, True)]
    assert list(_spans(0, 2, 8)) == [(0, 2, True)]
    texts = [
        ForcedText((1,) * a, (1,) * b, (1,) * c) for a, b, c in ((1, 3, 7), (2, 1, 2), (4, 1, 6), (1, 1, 3), (9, 1, 11))
    ]
    assert [text.length for text in texts] == [10, 4, 10, 4, 20]
    model, _ = loaded()
    reader = Reader(model, budget=40 * model.get_output_embeddings().weight.shape[0])
    assert reader.rows == model.get_output_embeddings().weight.shape[0]
    assert batches(texts, reader, reader) == [[1, 3, 0, 2], [4]]
    small = Reader(model, budget=10 * reader.rows)
    assert batches(texts, reader, small) == [[1, 3], [0], [2], [4]]
    assert batches(texts, small, reader) == batches(texts, reader, small)
    reader.tokens = 20
    assert batches(texts, reader, reader) == [[1, 3], [0, 2], [4]]
    whole = Reader(model)
    assert (whole.budget, whole.tokens, whole.attention) == (1 << 24, 1 << 12, 1 << 21)


@cache
def loaded() -> tuple[Any, Any]:
    checkpoint = FOLDER / "teacher"
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    return model, transformers.AutoTokenizer.from_pretrained(checkpoint)


def test_logits_together_in_chunks_and_alone_are_those_of_the_whole_text() -> None:
    from evalkit.fidelity.forcing import Forcing
    from evalkit.fidelity.forward import ForcedText, Reader, paired_logits

    model, tokenizer = loaded()
    ids = tokenizer("Twelve and thirty make forty-two; so the sum is 42.")["input_ids"]
    assert len(ids) > 24
    texts = [
        ForcedText(tuple(ids[:9]), tuple(ids[:7]), tuple(ids[9:24])),
        ForcedText(tuple(ids[:2]), tuple(ids[:5]), tuple(ids[10:14])),
    ]

    def whole(prompt: Any, completion: Any) -> Any:
        with torch.inference_mode():
            return model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]

    rows = Reader(model).rows
    for budget, attention, number in ((1 << 24, 1 << 21, 1), (4 * rows, 1 << 21, 4), (4 * rows, 50, 8)):
        reader = Reader(model, budget)
        reader.attention = attention
        for batch in [[0], [1]] if budget < 1 << 24 else [[0, 1], [1, 0]]:
            with torch.inference_mode():
                blocks = list(paired_logits(texts, batch, reader, reader))
            assert batch != [0] or len(blocks) == number, "chunks of 4, and of 50 / 24 tokens"
            assert blocks[0].parts[0][0] == batch[0]
            got = {side: torch.cat([getattr(block, side) for block in blocks]) for side in ("teacher", "student")}
            for side in got:
                wanted = torch.cat([whole(getattr(texts[i], f"{side}_prompt"), texts[i].completion) for i in batch])
                torch.testing.assert_close(got[side], wanted, rtol=1e-4, atol=1e-5)
            labels = torch.cat([block.labels for block in blocks]).tolist()
            assert labels == [token for i in batch for token in texts[i].completion]
            sizes = {n: sum(count for block in blocks for m, count in block.parts if m == n) for n in batch}
            assert sizes == {n: len(texts[n].completion) for n in batch}
    forcing = Forcing(model, model, SharedVocabulary(rows), FidelitySettings(), budget=4 * rows)
    for text in texts:
        wanted = torch.nn.functional.cross_entropy(
            whole(text.student_prompt, text.completion).double(), torch.tensor(text.completion), reduction="none"
        )
        assert forcing.alone("student", text.student_prompt, text.completion) == pytest.approx(wanted.numpy(), abs=1e-4)
    paired = dict(forcing.paired(texts, lambda number: number == 1))
    assert list(paired) == [1]
    own = paired[1][:, forcing.names.index("student_loss")]
    assert own == pytest.approx(forcing.alone("student", texts[1].student_prompt, texts[1].completion), abs=1e-4)


# tokens


def of_words(vocabulary: dict[str, int], added: tuple[str, ...] = ()) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="?")
    found.add_tokens(list(added), special_tokens=True)
    return found


def test_two_tokenizers_token_by_token() -> None:
    base = {"?": 0, "a": 1, "b": 2}
    first = of_words(base, ("<t>", "<e>"))
    assert shared_vocabulary(first, of_words(base, ("<t>", "<e>"))) == SharedVocabulary(5)
    assert shared_vocabulary(first, of_words(base, ("<s>", "<e>"))) == SharedVocabulary(5, "", ("<t> / <s>",))
    assert shared_vocabulary(first, of_words(base, ("<t>",))) == SharedVocabulary(4)
    swapped = shared_vocabulary(first, of_words({"?": 0, "b": 1, "a": 2}, ("<t>", "<e>")))
    told = "the tokenizers differ in 2 tokens (token 1 is 'a' for the teacher and 'b' for the student)"
    assert swapped == SharedVocabulary(5, told)
    more = of_words({**base, "c": 3})
    assert shared_vocabulary(of_words(base), more) == SharedVocabulary(
        3, "one tokenizer has 1 ordinary tokens more ('c')"
    )
    assert shared_vocabulary(more, of_words(base)).reason == "one tokenizer has 1 ordinary tokens more ('c')"


def test_texts_that_both_cut_alike() -> None:
    one = TokenizedTrace((1, 2), (3, 4, 9), 0, True)
    other = TokenizedTrace((5,), (3, 4, 8), 0, True)

    def cut(first: TokenizedTrace, second: TokenizedTrace, size: int = 10) -> Any:
        found = forced_text(first, second, size)
        return None if found is None else (found.teacher_prompt, found.student_prompt, found.completion)

    assert cut(one, one) == ((1, 2), (1, 2), (3, 4, 9))
    assert cut(one, other) == ((1, 2), (5,), (3, 4)), "the token that ends a response is not one for both"
    assert cut(one, replace(one, ended=False)) is None
    assert cut(one, TokenizedTrace((5,), (3, 4), 0, False)) == ((1, 2), (5,), (3, 4))
    assert cut(TokenizedTrace((5,), (3, 4), 0, False), one) == ((5,), (1, 2), (3, 4))
    assert cut(one, replace(other, completion=(3, 5, 9))) is None
    assert (cut(one, one, 9), cut(one, other, 4), cut(one, other, 5) is None) == (None, None, False)
    ending = TokenizedTrace((1,), (9,), 0, True)
    assert cut(ending, replace(ending, completion=(8,))) is None


def test_a_trace_as_a_model_reads_it() -> None:
    _, tokenizer = loaded()
    asked: Any = ({"role": "user", "content": "What is 1 + 1?"},)
    text = "I add.</think>It is 2."
    trace = Trace("p", 0, asked, text, prefix="<think>\n")
    found = tokenize(tokenizer, trace)
    plain = tokenizer.apply_chat_template(list(asked), tokenize=False, add_generation_prompt=True)
    rendered = plain if plain.endswith("<think>\n") else plain + "<think>\n"
    assert found.prompt == tuple(tokenizer(rendered)["input_ids"])
    assert found.completion == (*tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    assert found.ended
    close = tokenizer.convert_tokens_to_ids("</think>")
    assert found.completion[found.answer_from] == close
    cut = tokenize(tokenizer, replace(trace, finished=False))
    assert (cut.completion, cut.ended) == (found.completion[:-1], False)
    thinks = tokenize(tokenizer, replace(trace, text="I add."))
    assert thinks.answer_from == len(thinks.completion)
    assert tokenize(tokenizer, replace(trace, text="It is 2.", prefix="")).answer_from == 0
    literal = tokenize(tokenizer, Trace("p", 0, (), text, prompt="Q: 1 + 1?\n", prefix="<think>\n"))
    assert literal.prompt == tuple(tokenizer("Q: 1 + 1?\n<think>\n")["input_ids"])
    assert fault(lambda: tokenize(tokenizer, Trace("p", 3, (), text))) == "The prompt of p sample 3 has no token."


# texts


def written(path: Path, *rows: Any) -> TraceSet:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return read_trace_file(path)


USER = {"role": "user", "content": "Q"}
ASSISTANT = {"role": "assistant", "content": "A"}


def test_every_field_of_a_line_of_texts(tmp_path: Path) -> None:
    full = {
        "problem_id": "p", "sample_index": 7, "question": [{"role": "system", "content": "S"}, USER], "output": "T",
        "prefix": "<think>\n", "finish_reason": "length", "correct": 0, "reward": "0.25",
    }  # fmt: skip
    found = written(tmp_path / "x.jsonl", full, {"messages": [USER, ASSISTANT], "right": True, "correct": False})
    system: Any = ({"role": "system", "content": "S"}, USER)
    assert found.traces[0] == Trace("p", 7, system, "T", "", "<think>\n", False, False, 0.25, None)
    hashed = found.traces[1].problem
    assert found.traces[1] == Trace(hashed, 0, (USER,), "A", "", "", True, True, None, None)  # type: ignore[arg-type]
    assert len(hashed) == 12
    assert (found.source, found.model, found.folder) == ("x.jsonl", "", tmp_path / "x.jsonl.fidelity")
    fields = ("text", "response", "completion", "output", "generation", "solution")
    for field in fields:
        for asked in ("prompt", "problem", "question", "instruction"):
            (one,) = written(tmp_path / "y.jsonl", {asked: "Q", field: "A"}).traces
            assert (one.messages, one.text) == ((USER,), "A")
    both = {"prompt": "Q", "instruction": "no", "solution": "no", "text": "A"}
    (one,) = written(tmp_path / "y.jsonl", both).traces
    assert (one.messages, one.text) == ((USER,), "A")


def test_lines_of_one_prompt_are_samples_of_one_problem(tmp_path: Path) -> None:
    row = {"prompt": "Q", "text": "A"}
    found = written(tmp_path / "x.jsonl", row, {**row, "prompt": "R"}, row, {**row, "problem_id": "p"})
    problems = [trace.problem for trace in found.traces]
    assert [trace.sample_index for trace in found.traces] == [0, 0, 1, 0]
    assert problems[0] == problems[2]
    assert len(set(problems)) == 3
    data = (tmp_path / "x.jsonl").read_bytes()
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(data))
    again = read_traces(tmp_path / "x.jsonl.gz")
    assert again.traces == found.traces
    assert again.folder == tmp_path / "x.jsonl.gz.fidelity"
    assert len(found.digest) == 16
    assert again.digest == found.digest
    for change in (
        {"problem": "z"},
        {"sample_index": 5},
        {"text": "z"},
        {"prefix": "z"},
        {"prompt": "z"},
        {"messages": ()},
    ):
        first = replace(found.traces[0], **change)
        assert replace(found, traces=(first, *found.traces[1:])).digest != found.digest, change
    other = replace(found.traces[0], right=True, reward=1.0, tokens=3)
    assert replace(found, traces=(other, *found.traces[1:])).digest == found.digest


def test_lines_that_are_no_texts_are_told(tmp_path: Path) -> None:
    path, row = tmp_path / "x.jsonl", {"prompt": "Q", "text": "A"}

    def told(**change: Any) -> str:
        message = fault(lambda: written(path, row, {**row, **change}))
        return message.removeprefix(f"Line 2 of {path} is not a trace: ")

    for index in (-1, True, 1.0, "1", 1 << 31):
        assert told(sample_index=index) == f"its sample_index is {index}."
    assert written(path, {**row, "sample_index": (1 << 31) - 1}).traces[0].sample_index == (1 << 31) - 1
    for reward in (1e16, "nan", -1e16):
        assert told(reward=reward) == "its reward is not a finite number."
    assert written(path, {**row, "reward": 1e15}).traces[0].reward == 1e15
    assert told(reward="x").startswith("could not convert string to float")
    assert told(prompt=[{"role": "tool", "content": "x"}]) == "a message has to have a role and a text."
    assert told(prompt=[{"role": "user", "content": 1}]) == "a message has to have a role and a text."
    assert told(messages=[ASSISTANT]) == "its messages do not end with the assistant's."
    assert told(messages=[USER]) == "its messages do not end with the assistant's."
    assert told(text=None, response=None) == "'it has no prompt or no response'."
    assert fault(lambda: written(path)) == f"{path} has no traces."
    twice = {**row, "sample_index": 0}
    assert fault(lambda: written(path, twice, twice)) == f"{path} has a sample of a problem twice."
    assert fault(lambda: read_traces(tmp_path / "gone")).startswith(f"{tmp_path / 'gone'} cannot be read: ")


def of_a_run(request: Request) -> Any:
    """p0 is right, then right and cut; p1 has no answer, then a wrong one; p2 meets a fault, then cannot be graded."""
    told: dict[tuple[str, int], Any] = {
        ("p0", 1): answer(request, "a</think>0", finish_reason="length", completion_tokens=9, prefix="<think>\n"),
        ("p1", 0): "none", ("p1", 1): "3", ("p2", 0): failed(request, "gone"), ("p2", 1): "crash",
    }  # fmt: skip
    return told.get((request.problem_id, request.sample_index), "0")


@pytest.mark.parametrize("system", [None, "", "Be brief."])
def test_the_completions_of_a_run(system: str | None, tmp_path: Path) -> None:
    protocol = replace(PROTOCOL, system_prompt=system, prompts={"other": "Add: {problem}"})
    execute_plan(planned(ToldEngine(of_a_run), Sums(), protocol=protocol), tmp_path / "run", progress=False)
    found = read_traces(tmp_path / "run")
    assert (found.source, found.model, found.folder) == ("lab/model (run)", "lab/model", tmp_path / "run")
    before = () if system is None else ({"role": "system", "content": system},)  # "" keeps a template from its own

    def trace(problem: int, index: int, text: str, **fields: Any) -> Trace:
        asked: Any = (*before, {"role": "user", "content": f"Add: {problem} + {problem}?"})
        return Trace(f"sums p{problem}", index, asked, text, **{"tokens": 3, **fields})

    assert sorted(found.traces, key=lambda one: one.name) == [
        trace(0, 0, "0", right=True, reward=1.0),
        trace(0, 1, "a</think>0", right=True, reward=1.0, finished=False, tokens=9, prefix="<think>\n"),
        trace(1, 0, "none", right=False, reward=0.0),
        trace(1, 1, "3", right=False, reward=0.0),
        trace(2, 1, "crash"),
    ]


def test_a_run_without_a_whole_completion_has_no_texts(tmp_path: Path) -> None:
    plan = planned(ToldEngine(lambda request: failed(request, "gone")), Sums())
    with contextlib.suppress(EvalkitError):  # the run is not complete
        execute_plan(plan, tmp_path, progress=False)
    assert fault(lambda: read_traces(tmp_path)) == f"{tmp_path} has no completions."


# settings


def test_settings_are_put_in_order_and_held_to_their_range() -> None:
    made = FidelitySettings(temperatures=(4, 2, 2), gammas=(8, 1, 64, 8))
    assert (made.temperatures, made.gammas) == ((1.0, 2.0, 4.0), (1, 8, 64))
    usual = FidelitySettings()
    assert (usual.temperatures, usual.top_k, usual.undecided, usual.gammas) == ((1.0, 2.0, 4.0), 5, 0.8, (2, 4, 8))
    assert usual.most_tokens is None
    assert FidelitySettings(undecided=1.0, top_k=1).undecided == 1.0
    assert fault(lambda: FidelitySettings(temperatures=(0.0,))) == "A temperature has to be above 0."
    wrong: list[dict[str, Any]] = [
        {"gammas": (0,)},
        {"gammas": (65,)},
        {"top_k": 0},
        {"undecided": 0.0},
        {"undecided": 1.1},
    ]
    for change in wrong:
        assert fault(lambda: FidelitySettings(**change)) == "A setting is out of range."  # noqa: B023


def test_students_and_who_wrote_the_texts(tmp_path: Path) -> None:
    pair: Any = (object(), object())
    assert _listed("a") == ["a"]
    assert _listed(Path("a")) == [Path("a")]
    assert _listed(("a", "b")) == ["a", "b"]
    assert _listed(pair) == [pair]
    assert _listed([pair, "a"]) == [pair, "a"]
    assert _listed((pair, pair)) == [pair, pair]
    (tmp_path / "m").mkdir()
    (tmp_path / "n").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "m")
    own, link, other = (str(tmp_path / name) for name in ("m", "link", "n"))
    assert [_author(model, own) for model in (own, link, other, "", "m")] == ["teacher", "teacher", other, "", "m"]

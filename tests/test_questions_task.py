"""Question answering: SQuAD's JSON, windows that cover the answers, the best spans, no answer."""

import json

import numpy as np
import pytest

from convbert_np import ConvBertTokenizerFast
from convbert_np.config import ConvBertConfig
from convbert_np.data import TINY
from convbert_np.tasks import Answer, Question, Questions, task_of
from convbert_np.tasks.batches import NOWHERE
from convbert_np.tasks.questions import answer_span, best_spans, within
from convbert_np.tasks.squad import located

TOKENIZER = ConvBertTokenizerFast.from_pretrained(TINY)
CONTEXT = "The cat sat on the mat. The dog saw the cat."


def entry(number=1, answers=(("cat", 4),), **more):
    given = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": f"q{number}", "question": "Who sat?", "answers": given} | more


def written(tmp_path, *entries, context=CONTEXT):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(entries)}]}]}))
    return path


# Files.


def test_squad(tmp_path):
    path = written(tmp_path, entry(answers=[("cat", 4), ("the mat", 15), ("cat", 4)]), entry(2, (), is_impossible=True))
    first, second = Questions().read(path)
    assert first[:4] == ("q1", "Who sat?", CONTEXT, (Answer("cat", 4), Answer("the mat", 15)))  # the doubled one once
    assert second.answers == () and second.place == f"{path}, data[0].paragraphs[0].qas[1]"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Questions().read(path)[0] == first
    without = entry()
    del without["answers"]
    assert Questions().read(written(tmp_path, without), labelled=False)[0].answers is None


def test_plausible_answers_are_none(tmp_path):
    path = written(
        tmp_path, entry(answers=[("cat", 4)], is_impossible=True, plausible_answers=[{"text": "cat", "answer_start": 4}])
    )
    assert Questions().read(path)[0].answers == ()


def test_answers_that_are_elsewhere(tmp_path):
    path = written(tmp_path, entry(1, [("cat", 30)]), entry(2, [("cow", 4)]), entry(3, [(" cat ", 3)]), entry(4, [("cat", -7)]))
    with pytest.warns(UserWarning, match=r"3 answers are not where it says; 2 were found elsewhere in their context, 1 nowhere"):
        found = Questions().read(path)
    assert [each.answers for each in found] == [
        (Answer("cat", 40),), (Answer("cow", -1),), (Answer("cat", 4),), (Answer("cat", 4),),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (("cat", 4), 4),
        (("cat", 5), 4),
        (("cat", 35), 40),
        (("cat", 40), 40),
        (("  cat", 2), 4),
        (("dog ", 0), 28),
        (("x", 4), -1),
    ],
)
def test_the_nearest_occurrence(answer, found):
    assert located(Answer(*answer), CONTEXT) == (answer[0].strip(), found)


def test_occurrences_may_overlap():
    assert located(Answer("aba", 3), "ababab") == ("aba", 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("data"), "a.json: data must be a list, got nothing"),
        (lambda d: d["data"].clear(), "a.json: holds no examples"),
        (lambda d: d["data"][0].pop("paragraphs"), r"a.json, data\[0\]: paragraphs must be a list, got nothing"),
        (lambda d: d["data"][0]["paragraphs"][0].update(context=5), r"paragraphs\[0\]: context must be a str, got 5"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"].append([]), r"qas\[2\]: id must be a str or int, got nothing"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][1].pop("question"), r"qas\[1\]: question must be a str"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][1].pop("answers"), r"qas\[1\]: answers must be a list"),
        (
            lambda d: d["data"][0]["paragraphs"][0]["qas"][1]["answers"][0].pop("text"),
            r"qas\[1\].answers\[0\]: text must be a str",
        ),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][1]["answers"][0].update(answer_start="4"), "answer_start must be a int"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][1].update(id="q1"), "has 2 questions with the id 'q1'"),
    ],
)
def test_files_that_are_wrong(tmp_path, change, message):
    path = written(tmp_path, entry(1), entry(2))
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        Questions().read(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        Questions().read("nowhere.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: is not valid JSON"):
        Questions().read(tmp_path / "a.json")


def test_what_is_known_of_the_examples():
    questions = [Question("1", "Who?", CONTEXT, (Answer("cat", 4),)), Question("2", "Who?", CONTEXT, (), "here")]
    assert not Questions().fitted(questions[:1]).unanswerable
    task = Questions().fitted(questions)
    assert task.unanswerable
    task.check(questions)
    with pytest.raises(ValueError, match="here: has no answer, which no question had"):
        Questions().check(questions)
    with pytest.raises(ValueError, match="an example: has no answers"):
        task.check([Question("1", "Who?", CONTEXT)])
    with pytest.raises(ValueError, match="context: must be given with a question"):
        task.example("Who?")
    assert task.example("Who?", context="x")[1:3] == ("Who?", "x")
    fields = task.within(ConvBertConfig()).configured(ConvBertConfig()) | {"architectures": ["ConvBertForQuestionAnswering"]}
    config = ConvBertConfig(**fields)
    assert config.num_labels == 2 and task_of(config) == task.within(config) and task_of(config).length == 384


# Windows.


def random_question(rng):
    words = rng.choice(["the", "cat", "moonlight", "his", "sat,", "(our)", "É"], int(rng.integers(1, 60))).tolist()
    context = " ".join(words)
    start, end = np.sort(rng.integers(0, len(words), 2))
    begin = len(" ".join(words[:start])) + (start > 0)
    return Question("q", "who sat?", context, (Answer(" ".join(words[start : end + 1]), int(begin)),))


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_is_labelled_where_it_stands(seed):
    """The characters between the labels are the answer, in every window that holds it whole; short ones are in one."""
    question = random_question(np.random.default_rng(seed))
    (answer,) = question.answers or ()
    task = Questions(length=24, stride=8)
    rows = task.rows([question], TOKENIZER, True)
    offsets = TOKENIZER(question.context, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    tokens = [n for n, (s, e) in enumerate(offsets) if s < answer.start + len(answer.text) and e > answer.start]
    covered, seen = 0, set()
    for row in rows:
        assert len(row.inputs["input_ids"]) <= 24
        first, places = row.places
        assert row.inputs["input_ids"][first - 1] == TOKENIZER.sep_token_id and row.inputs["token_type_ids"][
            first - 1 : first + 1
        ] == [0, 1]
        seen.update(places)
        start, end = row.inputs["start_positions"], row.inputs["end_positions"]
        whole = offsets[tokens[0]] in places and offsets[tokens[-1]] in places
        assert (start > 0) == whole
        if whole:
            covered += 1
            assert (places[start - first][0], places[end - first][1]) == (answer.start, answer.start + len(answer.text))
        else:
            assert start == end == 0
    assert seen == set(offsets)
    assert covered or len(tokens) > 8


def test_an_answer_is_the_tokens_that_share_a_character_with_it():
    context = "his (our) you,now"
    offsets = TOKENIZER(context, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    for text, tokens in (("our", ["our"]), ("ur)", ["our", ")"]), ("(our) ", ["(", "our", ")"]), ("you", ["you"]), (",", [","])):
        start, end = answer_span(Question("q", "", context, (Answer(text, context.index(text)),)), offsets)
        assert [context[slice(*offsets[n])] for n in range(start, end + 1)] == tokens


def test_an_answer_is_in_a_window_whole_or_not_at_all():
    assert within((4, 6), 4, 7, 10) == (10, 12) and within((4, 6), 0, 7, 10) == (14, 16)
    assert within((4, 6), 5, 9, 10) == (0, 0) == within((4, 6), 0, 6, 10)


def test_a_question_is_cut_and_an_answer_may_be_nowhere():
    task = Questions(length=30, question_length=3)
    rows = task.rows([
        Question("1", "who sat on the mat today ?", "the cat", (Answer("cow", -1), Answer("cat", 4))),
        Question("2", "who?", "the cat", (Answer("cow", -1),)), Question("3", "who?", "the cat", ()),
    ], TOKENIZER, True)  # fmt: skip
    assert rows[0].places[0] == 5 and rows[0].inputs["start_positions"] > 0  # the first answer that is there
    assert [row.inputs["start_positions"] for row in rows[1:]] == [NOWHERE, 0]
    assert answer_span(Question("1", "", "x", (Answer("\u200b", 0),)), []) == (NOWHERE, NOWHERE)
    assert "start_positions" not in task.rows([Question("1", "who?", "the cat")], TOKENIZER, False)[0].inputs
    with pytest.raises(ValueError, match="length: leaves -1 tokens for the text"):
        Questions(length=5, question_length=3).rows([Question("1", "who sat on", "x", ())], TOKENIZER, True)


# Predictions.


@pytest.mark.parametrize("seed", range(10))
def test_the_best_spans_are_those_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    size, most, number = (int(n) for n in rng.integers(1, 14, 3))
    start, end = np.round(rng.standard_normal((2, size)), 1)  # rounded: there are ties
    pairs = [(start[i] + end[j], i, j) for i in range(size) for j in range(i, min(size, i + most))]
    expected = sorted(pairs, key=lambda each: (-each[0], each[2] - each[1], each[1]))[:number]
    assert best_spans(start, end, number, most) == expected
    assert best_spans(np.zeros(0), np.zeros(0), 3, 3) == []


def predicted(task, question, *answers, null=0.0):
    """The prediction for logits that favour spans (window, start, end, score)."""
    rows = task.rows([question], TOKENIZER, False)
    outputs = []
    for number, row in enumerate(rows):
        logits = np.full((2, len(row.inputs["input_ids"])), -9.0)
        logits[:, 0] = null / 2
        for window, start, end, score in answers:
            if window == number:
                logits[0, row.places[0] + start] = logits[1, row.places[0] + end] = score / 2
        outputs.append({"start_logits": logits[0], "end_logits": logits[1]})
    return task.decode([question], rows, outputs)[0]


def test_the_best_answer_over_all_windows():
    question = Question("q", "who?", "the his our now you the his our come you the his our now")
    task = Questions(length=12, stride=3, n_best=4)
    assert len(task.rows([question], TOKENIZER, False)) == 3
    found = predicted(task, question, (0, 1, 2, 3.0), (1, 4, 4, 5.0), (2, 0, 0, 4.0))
    assert found["prediction"] == "come" and [each["text"] for each in found["n_best"]][:1] == ["come"]
    scores = [each["score"] for each in found["n_best"]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    probabilities = np.exp(scores) / np.exp(scores).sum()
    assert [each["probability"] for each in found["n_best"]] == pytest.approx(probabilities)
    assert len({each["start"] for each in found["n_best"]} | {each["text"] for each in found["n_best"]}) > 4  # none is doubled
    assert found["null_odds"] == -5.0
    assert question.context[found["n_best"][0]["start"] :].startswith("come")


def test_no_answer():
    question = Question("q", "who?", "the his our")
    task = Questions(length=30, unanswerable=True)
    assert predicted(task, question, (0, 1, 1, 2.0), null=1.0)["prediction"] == "his"
    found = predicted(task, question, (0, 1, 1, 2.0), null=3.0)
    assert found["prediction"] == "" == found["n_best"][0]["text"] and found["null_odds"] == 1.0
    assert sum(each["probability"] for each in found["n_best"]) == pytest.approx(1)
    assert predicted(Questions(length=30), question, (0, 1, 1, 2.0), null=3.0)["prediction"] == "his"
    assert (
        predicted(Questions(length=30, unanswerable=True, null_threshold=1.5), question, (0, 1, 1, 2.0), null=3.0)["prediction"]
        == "his"
    )
    empty = predicted(task, Question("q", "who?", " "))
    assert empty["prediction"] == "" and empty["null_odds"] is None


def test_the_null_score_is_the_least_over_the_windows():
    question = Question("q", "who?", "the his our now you the his our come you the his our now")
    task = Questions(length=12, stride=3, unanswerable=True)
    rows = task.rows([question], TOKENIZER, False)
    outputs = [{name: np.full(len(row.inputs["input_ids"]), -9.0) for name in ("start_logits", "end_logits")} for row in rows]
    for null, output in zip((4.0, 1.0, 3.0), outputs, strict=True):
        output["start_logits"][0] = null
    assert task.decode([question], rows, outputs)[0]["null_odds"] == pytest.approx((1.0 - 9.0) - (-18.0))


def test_scores_and_files():
    task = Questions(unanswerable=True)
    examples = [Question("1", "", "", (Answer("The cat", 0), Answer("dog", 5))), Question("2", "", "", ())]
    said = [{"id": "1", "prediction": "cat"}, {"id": "2", "prediction": "x"}]
    found = task.score(examples, said)
    assert found["exact_match"] == 0.5 and found["has_answer_f1"] == 1 and found["no_answer_f1"] == 0
    assert task.score([Question("1", "", "")], said[:1]) == {}
    assert json.loads(task.written(examples, said)) == {"1": "cat", "2": "x"}
    assert task.group(Question("1", "", "about")) == "about"

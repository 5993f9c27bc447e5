"""The commands `tokenize` and `train-vocab`."""

import io
import json
import sys
from pathlib import Path

import pytest

from convbert_np import ConvBertTokenizer, ConvBertTokenizerFast, cli
from convbert_np.data import TINY
from convbert_np.tokenization.trainer import train_wordpiece

TEXT = "To be, or not to be: caf\u00e9"
LINES = ["the king loves the queen", "the kings love", "", "lovely kings and lovely queens"]


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_bytes("\r\n".join([*LINES, ""]).encode())
    return path


@pytest.mark.parametrize(("flags", "kind"), [([], ConvBertTokenizerFast), (["--slow"], ConvBertTokenizer)])
def test_tokens_ids_and_special_tokens_are_printed(capsys, flags, kind):
    tokenizer = kind.from_pretrained(TINY)
    tokens = tokenizer.tokenize(TEXT)
    assert run(capsys, "tokenize", TEXT, *flags) == (0, " ".join(tokens) + "\n", "")
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert run(capsys, "tokenize", TEXT, "a", "--ids", *flags)[1].splitlines() == [
        " ".join(map(str, ids)),
        str(tokenizer.vocab["a"]),
    ]
    assert run(capsys, "tokenize", TEXT, "--special", *flags)[1].split() == ["[CLS]", *tokens, "[SEP]"]
    assert run(capsys, "tokenize", "The", "--cased", *flags)[1] == "[UNK]\n"
    assert run(capsys, "tokenize", TEXT, "--explain", *flags)[1] == str(tokenizer.explain(TEXT)) + "\n"


def test_json_tells_where_tokens_stand(capsys):
    encoding = ConvBertTokenizerFast.from_pretrained(TINY)(TEXT, add_special_tokens=False, return_offsets_mapping=True)
    found = json.loads(run(capsys, "tokenize", TEXT, "--json")[1])
    assert found == {
        "text": TEXT,
        "tokens": encoding.tokens(),
        "ids": encoding.input_ids,
        "offsets": [list(span) for span in encoding.offset_mapping],
        "words": encoding.word_ids(),
    }
    assert json.loads(run(capsys, "tokenize", TEXT, "--json", "--slow")[1]).keys() == {"text", "tokens", "ids"}


def test_every_line_of_a_file_is_a_line_of_the_answer(capsys, corpus, monkeypatch):
    tokenizer = ConvBertTokenizerFast.from_pretrained(TINY)
    expected = [" ".join(tokenizer.tokenize(line)) for line in LINES]
    assert run(capsys, "tokenize", "--file", corpus)[1].splitlines() == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(corpus.read_bytes())))
    assert run(capsys, "tokenize")[1].splitlines() == expected


def test_the_vocabulary_may_be_a_folder_or_either_file(capsys, tmp_path):
    ConvBertTokenizerFast(TINY / "vocab.txt", do_lower_case=False).save_pretrained(tmp_path)
    for path, tokens in ((tmp_path, "[UNK]"), (tmp_path / "vocab.txt", "the"), (tmp_path / "tokenizer.json", "[UNK]")):
        assert run(capsys, "tokenize", "The", "--vocab", path) == (0, tokens + "\n", "")


def test_a_vocabulary_is_trained_as_by_the_function(capsys, corpus, tmp_path):
    out = tmp_path / "vocab.txt"
    code, said, _ = run(capsys, "train-vocab", corpus, "--size", "40", "--out", out, "--unused", "2")
    tokens = out.read_text(encoding="utf-8").splitlines()
    assert code == 0 and said == f"written: {out}, {len(tokens)} tokens\n"
    assert tokens == train_wordpiece(LINES, 40, unused=2, progress=False) and "[unused1]" in tokens
    assert run(capsys, "tokenize", "the kings", "--vocab", out)[0] == 0
    assert "--overwrite replaces it" in run(capsys, "train-vocab", corpus, "--out", out)[2]
    assert out.read_text(encoding="utf-8").splitlines() == tokens
    assert "the text gives no more" in run(capsys, "train-vocab", corpus, "--out", out, "--overwrite")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenize", "a", "--file", "CORPUS"], "--file: give either TEXT or a file"),
        (["tokenize", "--file", "absent"], "absent is no file"),
        (["tokenize", "--file", "LATIN"], "line 2 is not UTF-8"),
        (["tokenize", "a", "--vocab", "absent"], "there is no vocabulary file absent"),
        (["tokenize", "a", "--vocab", "EMPTY"], "is empty"),
        (["tokenize", "a", "--vocab", "CORPUS"], "lacks [UNK]"),
        (["tokenize", "a", "--vocab", "BPE"], "must be of the type WordPiece"),
        (["tokenize", "a", "--slow", "--vocab", "BPE"], "ConvBertTokenizer reads a vocab.txt"),
        (["tokenize", "a\udcff"], "text has a lone surrogate"),
        (["train-vocab", "absent", "--out", "OUT"], "absent is no file"),
        (["train-vocab", "CORPUS", "--out", "OUT", "--size", "9"], "--size must be at least"),
        (["train-vocab", "CORPUS", "--out", "OUT", "--unused", "-1"], "--unused must be at least 0"),
        (["train-vocab", "CORPUS", "--out", "."], "--out: '.' is a directory, not a file to write"),
        (["train-vocab", "CORPUS", "--out", "nowhere/vocab.txt"], "--out: 'nowhere/vocab.txt' cannot be written"),
        (["train-vocab", "CORPUS", "--out", "CORPUS", "--overwrite"], "is part of the CORPUS"),
        (["train-vocab", "EMPTY", "--out", "OUT"], "CORPUS holds no word"),
        (["train-vocab", "CORPUS", "LATIN", "--out", "OUT"], "line 2 is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys, tmp_path, corpus, arguments, message):
    ConvBertTokenizerFast(TINY / "vocab.txt").save_pretrained(tmp_path / "saved")
    bpe = json.loads((tmp_path / "saved" / "tokenizer.json").read_text(encoding="utf-8"))
    bpe["model"] = {"type": "BPE", "vocab": {}, "merges": []}
    paths = {name: tmp_path / f"{name.lower()}.json" for name in ("LATIN", "EMPTY", "BPE", "OUT")}
    paths["LATIN"].write_bytes(b"a\n\xff\n")
    paths["EMPTY"].write_bytes(b"")
    paths["BPE"].write_text(json.dumps(bpe), encoding="utf-8")
    if arguments[:4] == ["tokenize", "a", "--vocab", "EMPTY"]:
        paths["EMPTY"] = paths["EMPTY"].rename(tmp_path / "empty.txt")
    paths["CORPUS"] = corpus
    before = corpus.read_bytes()
    code, out, err = run(capsys, *(paths.get(argument, argument) for argument in arguments))
    assert (code, err.count("\n")) == (2, 1) and err.startswith("convbert-np: error: ") and message in err
    assert out == ("a\n" if "--file" in arguments and "LATIN" in arguments else ""), "what came before the error"
    assert corpus.read_bytes() == before and not paths["OUT"].exists()

"""The model of the package: better than counting words, what its card says it is, and the default of the commands."""

import re
from pathlib import Path

import numpy as np
import pytest

from convbert_np import ConvBertForMaskedLM, ConvBertTokenizerFast, cli
from convbert_np.data import TINY
from convbert_np.recipes.comparison import guesses_of_model, hidden_in
from convbert_np.training.corpus import documents_of
from convbert_np.training.masking import IGNORED
from convbert_np.training.pretraining import corpus_of, fill_mask

ROOT = Path(__file__).parents[1]
CARD = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
HELD_OUT = Path(__file__).parent / "fixtures" / "held_out.txt"  # of every source, some of what was kept from training


@pytest.fixture(scope="module")
def shipped():
    return ConvBertForMaskedLM.from_pretrained(TINY), ConvBertTokenizerFast.from_pretrained(TINY)


@pytest.fixture(scope="module")
def hidden(shipped):
    documents = documents_of(HELD_OUT.read_text(encoding="utf-8").splitlines())
    return hidden_in({"all": corpus_of(documents, shipped[1], 128, False)}, shipped[1].sep_token_id)


def test_it_guesses_better_than_the_frequencies_of_the_very_text(shipped, hidden):
    guesses = guesses_of_model(shipped[0], hidden)
    truth = hidden.labels[hidden.labels != IGNORED]
    frequencies = np.bincount(truth) / len(truth)  # which no model can know beforehand
    assert len(truth) > 700
    assert guesses.accuracy > 3 * frequencies.max()
    assert guesses.perplexity < 0.5 * np.exp(-np.log(frequencies[truth]).mean())
    told = re.search(r"held_out\.txt`: accuracy ([\d.]+) %, perplexity ([\d.]+)", CARD)
    assert told and abs(guesses.accuracy - float(told[1]) / 100) < 0.002
    assert abs(guesses.perplexity / float(told[2]) - 1) < 0.01


def test_its_card_describes_it(shipped):
    model, tokenizer = shipped
    config = model.config
    assert f"{model.num_parameters():,} parameters" in CARD and f"{len(tokenizer):,} tokens" in CARD
    assert len(tokenizer) == config.vocab_size and (TINY / "vocab.txt").is_file()
    sizes = (config.num_hidden_layers, config.hidden_size, config.embedding_size, config.max_position_embeddings)
    assert "{} layers, hidden size {}, embedding size {}, rows of {}".format(*sizes) in " ".join(CARD.split())
    files = {file.name: file.stat().st_size for file in TINY.iterdir()}
    assert files.keys() == {"config.json", "model.safetensors", "vocab.txt", "README.md", "WORDNET-LICENSE"}
    assert sum(files.values()) < 8_000_000
    assert all(np.isfinite(parameter).all() for parameter in model.named_parameters().values())


def test_the_commands_ask_it(shipped, capsys):
    text = re.search(r'fill-mask "([^"]+)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert text
    assert cli.main(["fill-mask", text[1]]) == 0
    ((_, guesses),) = fill_mask(text[1], *shipped)
    said = capsys.readouterr().out
    assert said == "[MASK] 1: " + ", ".join(f"{token} {probability:.1%}" for token, probability in guesses) + "\n"
    assert cli.main(["trace", text[1], "--only", "loss"]) == 0
    assert guesses[0][0] in capsys.readouterr().out.split("PREDICTIONS")[1]

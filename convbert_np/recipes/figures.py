"""The figures of docs/model-card.md.

    python -m convbert_np.recipes.figures PACKAGES NAME=RUN NAME=RUN ...

RUN is a directory that `python -m convbert_np.recipes.tiny` has written; the first is the one that the others are compared with.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convbert_np.checkpoints.safetensors import open_safetensors, read_header
from convbert_np.config import ConvBertConfig
from convbert_np.interface.models import ConvBertForMaskedLM
from convbert_np.interface.pretraining import ConvBertForMaskedPositions, ConvBertForPreTraining
from convbert_np.recipes.bert import BertForMaskedPositions
from convbert_np.recipes.comparison import Guesses, Hidden, bootstrap, guesses_of_model, guesses_of_ngrams, hidden_in
from convbert_np.recipes.corpus import sources_of, split_of
from convbert_np.recipes.ngrams import BOTH, LEFT, UNIGRAM
from convbert_np.recipes.tiny import Material, material_of
from convbert_np.training.pretraining import evaluate
from convbert_np.training.state import CHECKPOINT, PARAMETER

KINDS: dict[str, Any] = {"mlm": ConvBertForMaskedPositions, "rtd": ConvBertForPreTraining, "bert": BertForMaskedPositions}


def model_of_run(directory: Path) -> Any:
    """The model in a run's checkpoint, of whatever kind the run is."""
    path = directory / CHECKPOINT
    settings = json.loads(read_header(path).metadata["settings"])
    model = KINDS[settings.get("kind") or settings["objective"]](ConvBertConfig.from_dict(settings["config"]))
    tensors = {name: tensor for name, tensor in open_safetensors(path).items() if name.startswith(PARAMETER)}
    model.load_state_dict({name.removeprefix(PARAMETER): tensor.copy() for name, tensor in tensors.items()})
    return model


def masked_lm_of(model: Any) -> ConvBertForMaskedLM:
    """The part of a model that guesses masked tokens."""
    return model.generator() if isinstance(model, ConvBertForPreTraining) else model


def ngram_guesses(material: Material, hidden: Hidden) -> dict[str, Guesses]:
    """The guesses of all n-gram models."""
    rows = np.concatenate([corpus.rows for corpus in material.held_out.values()])
    train = material.train
    return {
        "unigram": guesses_of_ngrams(train, hidden, UNIGRAM),
        "trigram": guesses_of_ngrams(train, hidden, LEFT),
        "trigram, both sides": guesses_of_ngrams(train, hidden, BOTH),
        "trigram, neighbours never hidden": guesses_of_ngrams(train, hidden, LEFT, rows),
        "trigram, both sides, neighbours never hidden": guesses_of_ngrams(train, hidden, BOTH, rows),
    }


def table(guesses: Mapping[str, Guesses], hidden: Hidden) -> str:
    """Accuracy and perplexity of all, with the standard error of a bootstrap over documents, and of each source."""
    sources = list(dict.fromkeys(hidden.sources.tolist()))
    lines = ["| | accuracy | perplexity | " + " | ".join(sources) + " |", "|---|---|---|" + "---|" * len(sources)]
    for name, own in guesses.items():
        right, log_probs = bootstrap(hidden.documents, own.right, own.log_probs)
        parts = [own.of(hidden.sources == source) for source in sources]
        cells = [f"{own.accuracy:.1%} ± {right.std():.1%}", f"{own.perplexity:.1f} ± {np.exp(-log_probs).std():.1f}"]
        lines.append(" | ".join([f"| {name}", *cells, *(f"{p.accuracy:.1%}, {p.perplexity:.0f}" for p in parts)]) + " |")
    return "\n".join(lines)


def differences(guesses: Mapping[str, Guesses], hidden: Hidden) -> str:
    """How far the first is ahead of each other one: 95 % of 2,000 resamples of the documents lie between the limits."""
    first, *rest = guesses
    lines = [f"| {first} against | accuracy | loss (nats) |", "|---|---|---|"]
    for name in rest:
        pairs = [(getattr(guesses[first], what), getattr(guesses[name], what)) for what in ("right", "log_probs")]
        ahead = [ours.astype(float) - theirs for ours, theirs in pairs]
        right, loss = (np.quantile(means, [0.025, 0.975]) for means in bootstrap(hidden.documents, ahead[0], -ahead[1]))
        spans = (f"{100 * ahead[0].mean():+.1f} ({100 * right[0]:+.1f} to {100 * right[1]:+.1f}) points",)
        spans += (f"{-ahead[1].mean():+.3f} ({loss[0]:+.3f} to {loss[1]:+.3f})",)
        lines.append(f"| {name} | " + " | ".join(spans) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    command = argparse.ArgumentParser(prog="python -m convbert_np.recipes.figures", description=(__doc__ or "").split("\n")[0])
    command.add_argument("packages", metavar="PACKAGES")
    command.add_argument("runs", metavar="NAME=RUN", nargs="+")
    parsed = command.parse_args(arguments)
    runs = {name: Path(path) for name, _, path in (run.partition("=") for run in parsed.runs)}
    material = material_of(split_of(sources_of(parsed.packages)), next(iter(runs.values())))
    hidden = hidden_in(material.held_out, material.tokenizer.sep_token_id)
    models = {name: model_of_run(directory) for name, directory in runs.items()}
    guesses = {name: guesses_of_model(masked_lm_of(model), hidden) for name, model in models.items()}
    guesses |= ngram_guesses(material, hidden)
    documents = len(np.unique(hidden.documents))
    print(
        f"{material.train.rows.size:,} tokens to learn from; {len(hidden.documents):,} hidden tokens of {documents:,} documents"
    )
    print({name: f"{model.num_parameters():,} parameters" for name, model in models.items()})
    print(table(guesses, hidden), differences(guesses, hidden), sep="\n\n")
    for name, model in models.items():
        if isinstance(model, ConvBertForPreTraining):
            print(f"\n{name}, the discriminator: {evaluate(model, material.all_held_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

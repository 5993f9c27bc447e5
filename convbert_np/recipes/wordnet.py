"""A real task: which kind of thing a definition of WordNet defines. From the data package to a table:

    python -m convbert_np.recipes.wordnet wordnet-base_3.0-37_all.deb --out DIR

Three answers are compared on the same definitions: naive Bayes, a ConvBERT that begins with random weights, and the same one
fine-tuned from a pre-trained model. DIR receives a folder per run and table.md; killed and started again the command goes on.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convbert_np.data import TINY
from convbert_np.files import write_text
from convbert_np.metrics.classification import accuracy, as_sets, macro_f1
from convbert_np.progress import Progress
from convbert_np.recipes.corpus import deb_files
from convbert_np.recipes.naive_bayes import classify, naive_bayes
from convbert_np.tasks.classification import Classification, Text
from convbert_np.training.finetuning import Prepared, config_in, finetune, prepare
from convbert_np.training.loop import Settings, finish, run_directory
from convbert_np.training.state import read_log

NOUNS = "usr/share/wordnet/data.noun"
CLASSES = {5: "animal", 6: "artifact", 8: "body", 13: "food", 18: "person", 20: "plant"}  # of lexnames(5WN)
LENGTH, BATCH_SIZE = 32, 16
RATE, RANDOM_RATE = 1e-3, 5e-4  # the best of 5e-4, 1e-3 and 2e-3 on the definitions put aside for this


class Definition(NamedTuple):
    """A synset's place in its file, which is its name; what it is defined as; its lexical category."""

    offset: str
    text: str
    category: str


class Splits(NamedTuple):
    """Definitions to learn from, to choose settings by, and to measure with."""

    train: list[Definition]
    development: list[Definition]
    test: list[Definition]


def definitions_of(data: str) -> Iterator[Definition]:
    """The definitions of the six categories in a data file of WordNet; of equal texts the first alone.

    A line is: offset, number of the category, ... | definition; "an example"; "another". The words that are defined are left out.
    """
    seen: set[str] = set()
    for line in data.splitlines():
        if line.startswith("  "):  # the licence
            continue
        offset, number = line.split(" ", 2)[:2]
        text = line.split(" | ", 1)[1].split('; "', 1)[0].strip()
        if int(number) in CLASSES and text.lower() not in seen:
            seen.add(text.lower())
            yield Definition(offset, text, CLASSES[int(number)])


def definitions_in(package: str | os.PathLike[str]) -> Iterator[Definition]:
    """The definitions of a Debian package. Raises ValueError if it is not that of WordNet."""
    files = deb_files(Path(package))
    if NOUNS not in files:
        raise ValueError(f"package: {package} has no {NOUNS}; it must be Debian's wordnet-base")
    return definitions_of(files[NOUNS].decode("utf-8"))


def split_of(definitions: Iterable[Definition]) -> Splits:
    """A tenth to measure with, a tenth to choose settings by, the rest to learn from, each in the order of a hash of the offset.

    Where a definition goes depends on its offset alone. The order is not that of the file, so that the first n are a fair sample.
    """
    parts: list[list[Definition]] = [[], [], []]
    for definition in sorted(definitions, key=digest):
        parts[{0: 2, 1: 1}.get(int(digest(definition), 16) % 10, 0)].append(definition)
    return Splits(*parts)


def digest(definition: Definition) -> str:
    """A hash of the offset."""
    return hashlib.sha256(definition.offset.encode()).hexdigest()


class Score(NamedTuple):
    """The share of right answers, and the mean over the classes of F1."""

    accuracy: float
    macro_f1: float


def score_of_words(train: Sequence[Definition], test: Sequence[Definition]) -> Score:
    """What naive Bayes reaches."""
    model = naive_bayes([each.text for each in train], [each.category for each in train])
    said, true = classify(model, [each.text for each in test]), [each.category for each in test]
    return Score(accuracy(true, said), macro_f1(as_sets(true), as_sets(said)))


def examples(definitions: Sequence[Definition]) -> list[Text]:
    """Definitions as the task takes them."""
    return [Text(each.text, None, each.category, f"synset {each.offset}") for each in definitions]


def settings_for(steps: int, rate: float) -> Settings:
    """How a model is trained for the task."""
    return Settings(steps, rate, warmup_steps=steps // 10, evaluate_every=steps, save_every=steps)


def score_of_run(ready: Prepared, settings: Settings, seed: int, directory: Path, progress: Progress | None) -> Score:
    """What a model reaches with a seed; if the run in the directory is complete it is read from its log."""
    _, records = finetune("", ready, "", settings, batch_size=BATCH_SIZE, seed=seed, directory=directory, progress=progress)
    finish(records)
    found = read_log(directory)[-1]["evaluation"]
    return Score(found["accuracy"], found["macro_f1"])


def scores_of_models(
    parsed: argparse.Namespace, train: Sequence[Definition], held: Sequence[Definition]
) -> dict[str, list[Score]]:
    """What the model reaches with each seed, from random weights and from those that it has."""
    task = Classification(length=LENGTH)
    ready = prepare(task, examples(train), parsed.model, examples(held), show=not parsed.quiet)
    starts = {"random weights": (config_in(parsed.model), parsed.random_rate), "fine-tuned": (parsed.model, parsed.rate)}
    steps = ready.steps(parsed.epochs, BATCH_SIZE)
    found: dict[str, list[Score]] = {}
    for name, (start, rate) in starts.items():
        found[name] = []
        for seed in range(parsed.seeds):
            with Progress("", steps, f"steps, {name}, seed {seed}", show=False if parsed.quiet else None) as progress:
                directory = Path(parsed.out) / f"{name.replace(' ', '-')}-{seed}"
                score = score_of_run(ready._replace(start=start), settings_for(steps, rate), seed, directory, progress)
            print(f"{name}, seed {seed}: accuracy {score.accuracy:.4f}, macro F1 {score.macro_f1:.4f}", flush=True)
            found[name].append(score)
    return found


def table(scores: Mapping[str, Sequence[Score]]) -> str:
    """The scores by name, in the form of Markdown: the mean over the seeds, and the least and greatest."""
    lines = ["| | accuracy | least to greatest | macro F1 | seeds |", "|---|---|---|---|---|"]
    for name, each in scores.items():
        accuracies, f1 = np.array(each).T
        spread = f"{accuracies.min():.4f} to {accuracies.max():.4f}" if len(each) > 1 else ""
        lines.append(f"| {name} | {accuracies.mean():.4f} | {spread} | {f1.mean():.4f} | {len(each) if len(each) > 1 else ''} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parsed = parser().parse_args(arguments)
    for name in ("seeds", "train"):
        if getattr(parsed, name) < 1:
            raise ValueError(f"{name}: must be at least 1, got {getattr(parsed, name)}")
    directory = run_directory(parsed.out)
    splits = split_of(definitions_in(parsed.package))
    held = splits.development if parsed.development else splits.test
    train = splits.train[: parsed.train]
    print(f"{len(train):,} of {len(splits.train):,} definitions to learn from, {len(held):,} to measure with", flush=True)
    scores: dict[str, Sequence[Score]] = {
        f"naive Bayes, all {len(splits.train):,}": [score_of_words(splits.train, held)],
        f"naive Bayes, the same {len(train):,}": [score_of_words(train, held)],
    }
    scores |= scores_of_models(parsed, train, held)
    write_text(directory / "table.md", table(scores))
    print(table(scores), end="")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    command = argparse.ArgumentParser(prog="python -m convbert_np.recipes.wordnet", description=(__doc__ or "").split("\n")[0])
    command.add_argument("package", metavar="PACKAGE.deb", help="Debian's wordnet-base")
    command.add_argument("--out", metavar="DIR", required=True, help="where the runs and the table go")
    command.add_argument("--model", metavar="DIR", default=str(TINY), help="a pre-trained model (default: that of the package)")
    command.add_argument("--seeds", metavar="N", type=int, default=3, help="runs of each model (default: 3)")
    command.add_argument("--train", metavar="N", type=int, default=10000, help="definitions to learn from (default: 10000)")
    command.add_argument("--epochs", metavar="X", type=float, default=2, help="passes through them (default: 2)")
    command.add_argument("--rate", metavar="X", type=float, default=RATE, help=f"learning rate of fine-tuning (default: {RATE})")
    command.add_argument(
        "--random-rate", metavar="X", type=float, default=RANDOM_RATE, help=f"from random weights (default: {RANDOM_RATE})"
    )
    command.add_argument("--development", action="store_true", help="measure with the definitions to choose settings by")
    command.add_argument("--quiet", action="store_true", help="no progress bars")
    return command


if __name__ == "__main__":
    sys.exit(main())

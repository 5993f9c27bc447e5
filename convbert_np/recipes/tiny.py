"""The model of the package, from the downloaded packages to the finished directory.

    python -m convbert_np.recipes.tiny PACKAGES --out DIR

PACKAGES is a folder with the three files that docs/model-card.md says how to get. DIR receives the model, its vocabulary, the log
and the checkpoint from which a run that was killed goes on.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.progress import Progress
from convbert_np.recipes.bert import BertForMaskedPositions
from convbert_np.recipes.corpus import Split, sources_of, split_of
from convbert_np.tokenization import ConvBertTokenizerFast, train_wordpiece, write_vocabulary
from convbert_np.training.corpus import Corpus, parts_of_step
from convbert_np.training.loop import Record, Settings, run_directory, train
from convbert_np.training.masking import BERT_MASKING
from convbert_np.training.pretraining import corpus_of, evaluate, finished, pretrain
from convbert_np.training.sizes import config_of_size

VOCABULARY, ALPHABET = 8000, 100
LENGTH, BATCH_SIZE, SEED = 128, 16, 0
STEPS, RATE, WARMUP = 12000, 1.5e-3, 300
KINDS = ("mlm", "rtd", "bert")


class Material(NamedTuple):
    """The tokenizer, the rows to learn from, and by source the rows that are kept from training."""

    tokenizer: ConvBertTokenizerFast
    train: Corpus
    held_out: dict[str, Corpus]

    @property
    def all_held_out(self) -> Corpus:
        """The held-out rows of all sources."""
        return joined(list(self.held_out.values()))


def joined(corpora: Sequence[Corpus]) -> Corpus:
    """The rows of several corpora as one."""
    return corpora[0]._replace(rows=np.concatenate([corpus.rows for corpus in corpora]))


def material_of(split: Split, directory: Path, show: bool = True) -> Material:
    """Rows of ids, by the vocabulary in `directory`, which is trained on the training documents if it is not there."""
    path = directory / "vocab.txt"
    if not path.is_file():
        tokens = train_wordpiece(split.train, VOCABULARY, limit_alphabet=ALPHABET, progress=show)
        write_vocabulary(tokens, path)
    tokenizer = ConvBertTokenizerFast(str(path), do_lower_case=True, model_max_length=LENGTH)
    tokenizer.save_pretrained(directory)
    held = {name: corpus_of(documents, tokenizer, LENGTH, show) for name, documents in split.held_out.items()}
    return Material(tokenizer, corpus_of(split.train, tokenizer, LENGTH, show), held)


def config_for(vocab_size: int) -> ConvBertConfig:
    """The size "tiny", without dropout: the model sees its text five times, each time with other words hidden."""
    changes = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return config_of_size("tiny", vocab_size, max_position_embeddings=LENGTH, **changes)


def settings_for(steps: int) -> Settings:
    """How it is trained."""
    return Settings(
        steps=steps, learning_rate=RATE, warmup_steps=min(WARMUP, steps), schedule="linear", optimizer="pytorch",
        evaluate_every=1000, save_every=250,
    )  # fmt: skip


def training_of(
    kind: str, material: Material, directory: Path, steps: int, progress: Progress | None = None
) -> tuple[ConvBertPreTrainedModel, Iterator[Record]]:
    """The model and the steps of its training: "mlm" and "rtd" as `pretrain` has them, "bert" the rival without convolution."""
    config, settings = config_for(material.train.vocab_size), settings_for(steps)
    common: dict[str, Any] = {"directory": directory, "progress": progress}
    held_out = material.all_held_out
    if kind != "bert":
        more = {"objective": kind, "batch_size": BATCH_SIZE, "seed": SEED, "held_out": held_out}
        return pretrain(material.train, config, settings, **more, **common)
    model = BertForMaskedPositions(config, SEED)

    def parts_of(step: int):
        return parts_of_step(material.train, step, SEED, BATCH_SIZE, 1, BERT_MASKING)

    about: Mapping[str, Any] = {"kind": kind, "config": config.to_dict(), "corpus": material.train.fingerprint()}
    return model, train(model, parts_of, settings, evaluate=lambda m: evaluate(m, held_out, BATCH_SIZE), about=about, **common)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parsed = parser().parse_args(arguments)
    directory = run_directory(parsed.out)
    material = material_of(split_of(sources_of(parsed.packages)), directory)
    print(
        f"{material.train.rows.size:,} tokens to learn from, {material.all_held_out.rows.size:,} kept from training", flush=True
    )
    with Progress("", parsed.steps, "steps") as progress:
        model, records = training_of(parsed.kind, material, directory, parsed.steps, progress)
        for record in records:
            if "evaluation" in record:
                sys.stderr.write(f"\rstep {record['step']}: {record['evaluation']}\n")
    if parsed.kind != "bert":
        finished(model).save_pretrained(directory)
    print(f"written: {directory}, {model.num_parameters():,} parameters")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    command = argparse.ArgumentParser(prog="python -m convbert_np.recipes.tiny", description=(__doc__ or "").split("\n")[0])
    command.add_argument("packages", metavar="PACKAGES", help="a folder with the three downloaded packages")
    command.add_argument("--out", metavar="DIR", required=True, help="where everything goes")
    command.add_argument("--kind", choices=KINDS, default="mlm", help="masked LM, replaced-token detection, or the rival BERT")
    command.add_argument("--steps", metavar="N", type=int, default=STEPS, help=f"default: {STEPS}")
    return command


if __name__ == "__main__":
    sys.exit(main())

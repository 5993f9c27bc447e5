"""`convbert-np pretrain` and `convbert-np fill-mask`."""

import argparse
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convbert_np.checkpoints.pretrained import load_pretrained, warn_of
from convbert_np.cli.codes import FAILED, OK, positive
from convbert_np.cli.tokenizer import all_lines
from convbert_np.config import ConvBertConfig, read_json_object
from convbert_np.data import TINY
from convbert_np.interface.models import ConvBertForMaskedLM
from convbert_np.interface.pretraining import ConvBertForPreTraining
from convbert_np.progress import Progress
from convbert_np.tokenization import ConvBertTokenizerFast, train_wordpiece, write_vocabulary
from convbert_np.training.corpus import Corpus, documents_of, held_out
from convbert_np.training.loop import OPTIMIZERS, NotFinite, Settings, run_directory
from convbert_np.training.parallel import Ranks, alone, mpi_ranks
from convbert_np.training.pretraining import OBJECTIVES, corpus_of, fill_mask, finished, pretrain
from convbert_np.training.schedule import SCHEDULES
from convbert_np.training.sizes import SIZES, config_of_size, size_of
from convbert_np.training.state import read_log

FIELDS = {
    "hidden_size": "--hidden-size", "embedding_size": "--embedding-size", "num_hidden_layers": "--layers",
    "num_attention_heads": "--heads", "intermediate_size": "--intermediate-size", "conv_kernel_size": "--kernel-size",
    "num_groups": "--groups", "head_ratio": "--head-ratio",
}  # fmt: skip


def share(text: str) -> float:
    """A number between 0 and 1, for argparse."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, got {text}")
    return number


def add_pretrain(commands: argparse._SubParsersAction) -> None:
    """`pretrain CORPUS... --out DIR`."""
    command = commands.add_parser(
        "pretrain", help="train a ConvBERT from text",
        description="Train a ConvBERT from UTF-8 text, in which a blank line ends a document. Killed at any moment and started "
        "again with the same arguments it goes on from its last checkpoint, and ends with the same parameters, bit for bit.",
    )  # fmt: skip
    command.add_argument("corpus", metavar="CORPUS", nargs="+", help="text files")
    command.add_argument("--out", metavar="DIR", required=True, help="where model, vocabulary, log, curves and checkpoint go")
    command.add_argument("--objective", choices=tuple(OBJECTIVES), default="mlm", help="masked LM, or replaced-token detection")
    add_model_options(command)
    add_step_options(command)
    command.set_defaults(command=run_pretrain)


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Vocabulary and sizes."""
    group = command.add_argument_group("vocabulary and model")
    group.add_argument("--vocab", metavar="FILE", help="a vocab.txt (default: one is trained on the corpus)")
    group.add_argument("--vocab-size", metavar="N", type=positive, default=8000, help="of the one to train (default: 8000)")
    group.add_argument("--cased", action="store_true", help="do not lower-case")
    group.add_argument("--size", choices=tuple(SIZES), default="tiny", help="of the model (default: tiny)")
    for field, option in FIELDS.items():
        group.add_argument(option, metavar="N", type=positive, dest=field, help=f"{field}, in place of the size's")
    group.add_argument("--generator-size", metavar="SHARE", type=share, help="of the generator's hidden size (rtd)")
    group.add_argument("--dropout", metavar="P", type=share, default=0.1, help="default: 0.1")
    group.add_argument("--config", metavar="FILE.json", help="a configuration in place of all these; vocab_size is set")


def add_step_options(command: argparse.ArgumentParser) -> None:
    """Steps, optimizer, data."""
    group = command.add_argument_group("training")
    group.add_argument("--steps", metavar="N", type=positive, default=10000, help="default: 10000")
    group.add_argument("--batch-size", metavar="N", type=positive, help="rows per step (default: the size's)")
    group.add_argument("--accumulation", metavar="N", type=positive, help="parts of a batch (default: one for each process)")
    group.add_argument("--length", metavar="N", type=positive, default=128, help="tokens of a row (default: 128)")
    group.add_argument("--learning-rate", metavar="X", type=float, help="at the peak (default: the size's)")
    group.add_argument("--warmup", metavar="N", type=int, help="steps (default: a hundredth of all, as in the released models)")
    group.add_argument("--schedule", choices=tuple(SCHEDULES), default="bert", help="of the learning rate (default: bert)")
    group.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="bert", help="form of AdamW (default: bert)")
    group.add_argument("--weight-decay", metavar="X", type=float, default=0.01, help="default: 0.01")
    group.add_argument("--clip", metavar="X", type=float, default=1.0, help="norm of the gradients at most (default: 1)")
    group.add_argument("--recompute", action="store_true", help="less memory, more time: gradient checkpointing")
    group.add_argument("--seed", metavar="N", type=int, default=0, help="default: 0")
    group.add_argument("--held-out", metavar="SHARE", type=share, default=0.02, help="of the documents (default: 0.02)")
    group.add_argument("--evaluate-every", metavar="N", type=positive, default=500, help="steps (default: 500)")
    group.add_argument("--save-every", metavar="N", type=positive, default=200, help="steps (default: 200)")
    group.add_argument("--mpi", action="store_true", help="share each batch with the other processes that mpirun has started")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def run_pretrain(parsed: argparse.Namespace) -> int:
    """`pretrain CORPUS... --out DIR`."""
    ranks = mpi_ranks() if parsed.mpi else alone()
    with ranks.or_abort():
        parsed.quiet = parsed.quiet or ranks.rank > 0
        corpus, checked, config = prepared(parsed, ranks)
        with Progress("", parsed.steps, "steps", show=False if parsed.quiet else None) as progress:
            with ranks.together():
                model, records = pretrain(
                    corpus, config, settings_of(parsed), objective=parsed.objective,
                    batch_size=parsed.batch_size or size_of(parsed.size).batch_size,
                    accumulation=parsed.accumulation or ranks.size, seed=parsed.seed, held_out=checked, directory=parsed.out,
                    progress=progress, ranks=ranks,
                )  # fmt: skip
            if not ends_well(records, progress):
                return FAILED
        with ranks.together():
            if ranks.rank == 0:
                write_model(model, Path(parsed.out))
    return OK


def prepared(parsed: argparse.Namespace, ranks: Ranks) -> tuple[Corpus, Corpus, ConvBertConfig]:
    """Rows to train on, rows to evaluate on, the configuration. Rank 0 makes what the others read: directory and vocabulary."""
    with ranks.together():
        settings_of(parsed)  # what is wrong there is said before a vocabulary is trained
        documents, held = held_out(list(documents_of(all_lines(parsed.corpus))), parsed.held_out, parsed.seed)
        if ranks.rank == 0:
            make_tokenizer(parsed, documents, run_directory(parsed.out))
    with ranks.together():
        tokenizer = tokenizer_of(parsed, Path(parsed.out))
        corpus, checked = (corpus_of(texts, tokenizer, parsed.length, not parsed.quiet) for texts in (documents, held))
        return corpus, checked, config_of(parsed, corpus.vocab_size)


def write_model(model: Any, directory: Path) -> None:
    """Write the trained model and its curves, and say so."""
    finished(model).save_pretrained(directory)
    log = read_log(directory)
    print(f"{told(log[-1])}\nwritten: {directory}, {model.num_parameters():,} parameters")
    draw(log, directory)


def ends_well(records: Iterable[dict[str, Any]], progress: Progress) -> bool:
    """Go through the steps of a training, telling of the evaluations; False if it met a number that is not finite."""
    try:
        for record in records:
            if "evaluation" in record and progress.show:
                sys.stderr.write("\r" + told(record) + "\n")
    except NotFinite as error:
        print(f"convbert-np: {error}", file=sys.stderr)
        return False
    return True


def settings_of(parsed: argparse.Namespace) -> Settings:
    """How to train, as the options ask."""
    rate = parsed.learning_rate if parsed.learning_rate is not None else size_of(parsed.size).learning_rate
    warmup = parsed.steps // 100 if parsed.warmup is None else parsed.warmup
    return Settings(
        steps=parsed.steps, learning_rate=rate, warmup_steps=warmup, schedule=parsed.schedule, optimizer=parsed.optimizer,
        weight_decay=parsed.weight_decay, max_norm=parsed.clip, recompute=parsed.recompute, evaluate_every=parsed.evaluate_every,
        save_every=parsed.save_every,
    )  # fmt: skip


def make_tokenizer(parsed: argparse.Namespace, documents: list[str], directory: Path) -> None:
    """Train a vocabulary, unless one is given or the run has made it already, and put the tokenizer into the run's directory."""
    if not parsed.vocab and not vocabulary_of(parsed, directory).is_file():
        tokens = train_wordpiece(
            documents, parsed.vocab_size, do_lower_case=not parsed.cased, progress=not parsed.quiet,
        )  # fmt: skip
        write_vocabulary(tokens, vocabulary_of(parsed, directory))
    tokenizer_of(parsed, directory).save_pretrained(directory)


def vocabulary_of(parsed: argparse.Namespace, directory: Path) -> Path:
    """The file of the vocabulary: the one that is given, or the run's own."""
    return Path(parsed.vocab) if parsed.vocab else directory / "vocab.txt"


def tokenizer_of(parsed: argparse.Namespace, directory: Path) -> ConvBertTokenizerFast:
    """The tokenizer of the run's vocabulary."""
    path = str(vocabulary_of(parsed, directory))
    return ConvBertTokenizerFast(path, do_lower_case=not parsed.cased, model_max_length=parsed.length)


def config_of(parsed: argparse.Namespace, vocab_size: int) -> ConvBertConfig:
    """The configuration, as the options ask."""
    if parsed.config:
        return ConvBertConfig.from_dict(read_json_object(parsed.config) | {"vocab_size": vocab_size})
    given: dict[str, Any] = {field: getattr(parsed, field) for field in FIELDS if getattr(parsed, field) is not None}
    if parsed.generator_size is not None:
        given["generator_hidden_size"] = parsed.generator_size
    given |= {"hidden_dropout_prob": parsed.dropout, "attention_probs_dropout_prob": parsed.dropout}
    return config_of_size(parsed.size, vocab_size, max_position_embeddings=parsed.length, **given)


def told(record: dict[str, Any]) -> str:
    """A record with an evaluation in words."""
    metrics = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in record.get("evaluation", {}).items())
    return f"step {record['step']:,}: loss {record['loss']:.4f}" + (f"; held out: {metrics}" if metrics else "")


def draw(log: list[dict[str, Any]], directory: Path) -> None:
    """Write the picture of the curves, if matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        print('no picture of the curves: that needs matplotlib, pip install "convbert-np[plot]"')
        return
    from convbert_np.learn.curves import save_curves

    print(f"written: {save_curves(log, directory / 'curves.png')}")


def add_fill_mask(commands: argparse._SubParsersAction) -> None:
    """`fill-mask TEXT`."""
    command = commands.add_parser("fill-mask", help="guess what stands behind [MASK]", description="Guess each [MASK] in TEXT.")
    command.add_argument("text", metavar="TEXT", help='for example "How now, my [MASK]?"')
    command.add_argument("--model", metavar="DIR", help="a model's directory (default: the model of the package)")
    command.add_argument("--top", metavar="N", type=positive, default=5, help="how many guesses to show (default: 5)")
    command.set_defaults(command=run_fill_mask)


def run_fill_mask(parsed: argparse.Namespace) -> int:
    """`fill-mask TEXT`."""
    directory = parsed.model or TINY
    model = masked_lm_in(directory)
    tokenizer = ConvBertTokenizerFast.from_pretrained(directory)
    for number, (_, guesses) in enumerate(fill_mask(parsed.text, model, tokenizer, parsed.top), 1):
        print(f"[MASK] {number}: " + ", ".join(f"{token} {probability:.1%}" for token, probability in guesses))
    return OK


def masked_lm_in(directory: str | Path) -> ConvBertForMaskedLM:
    """The masked language model in a directory; of replaced-token detection the generator."""
    file = Path(directory) / "config.json"
    fields = read_json_object(file) if file.is_file() else {}
    if fields.get("architectures") == [ConvBertForPreTraining.__name__]:
        whole, report = load_pretrained(ConvBertForPreTraining, directory)
        warn_of(report, directory)
        return whole.generator()
    model, report = load_pretrained(ConvBertForMaskedLM, directory)
    warn_of(report, directory)
    return model

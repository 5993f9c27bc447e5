"""One side of the benchmark of the model: a process that answers requests.

python tests/benchmarks/model_sides.py SIDE          (ours, reference, onnx, numpy)

Reads requests, one JSON object a line, and answers each with another. Before the clock of the import runs it imports the
standard library only, and of the packages only what its side needs, so that each side may have a Python of its own.
"""

import contextlib
import gc
import hashlib
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_onnx import Onnx, export

PACKAGES = {"ours": "convbert_np", "reference": "transformers", "onnx": "onnxruntime", "numpy": "numpy"}
TINY = {"vocab_size": 1000, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 256, "embedding_size": 64}
LABELLED = 0.15
SPREAD = 0.05  # of the weights
LEARNING_RATE = 1e-3
Json = dict[str, Any]
Run = Callable[[], Any]


def example(vocabulary: int, batch: int, length: int) -> tuple[Any, Any]:
    """Ids (B, S) and labels for 15 % of the positions, the same in every process."""
    import numpy as np

    rng = np.random.default_rng([batch, length])
    ids = rng.integers(5, vocabulary, (batch, length))
    labels = np.full_like(ids, -100)
    chosen = rng.permutation(ids.size)[: max(1, round(LABELLED * ids.size))]
    labels.flat[chosen] = rng.integers(5, vocabulary, chosen.size)
    return ids, labels


class Ours:
    """This package."""

    def __init__(self, directory: str):
        from convbert_np import ConvBertForMaskedLM, ConvBertModel

        self.model = ConvBertForMaskedLM.from_pretrained(directory)
        parameters = self.model.named_parameters()
        self.encoder = ConvBertModel.assembled(self.model.config, lambda name, shape: parameters["convbert." + name])

    def prepare(self, task: str, ids: Any, labels: Any) -> Run:
        """What runs the task once."""
        model, encoder = self.model, self.encoder
        match task:
            case "encoder":
                return lambda: encoder(ids, keep_cache=False).last_hidden_state
            case "masked_lm":
                return lambda: model(ids, keep_cache=False).logits
            case "backward":
                return lambda: self.gradients(ids, labels)
            case _:
                return self.stepper(ids, labels)

    def gradients(self, ids: Any, labels: Any) -> Json:
        """The loss and the gradient of every parameter."""
        out = self.model(ids, labels=labels, keep_cache="backward")
        return {"loss": out.loss} | self.model.backward(out)

    def stepper(self, ids: Any, labels: Any) -> Run:
        """What makes a step of AdamW, the next one at each call."""
        from convbert_np.training.optimizer import PYTORCH, adamw, new_moments

        parameters = self.model.named_parameters()
        moments, settings, count = new_moments(parameters), PYTORCH._replace(exclude=""), itertools.count(1)

        def step() -> None:
            grads = self.gradients(ids, labels)
            del grads["loss"]
            adamw(parameters, grads, moments, next(count), LEARNING_RATE, settings)

        return step

    def results(self, task: str, run: Run) -> Json:
        """The outputs by name, as arrays; for a step, by how much it changed each parameter."""
        if task in ("encoder", "masked_lm"):
            return {"last_hidden_state" if task == "encoder" else "logits": run()}
        if task == "backward":
            return run()
        before = {name: value.copy() for name, value in self.model.named_parameters().items()}
        run()
        return {name: value - before[name] for name, value in self.model.named_parameters().items()}


class Reference:
    """transformers on PyTorch, eager."""

    def __init__(self, directory: str):
        import torch
        from transformers import ConvBertForMaskedLM  # type: ignore[import-not-found]

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.torch: Any = torch
        self.model: Any = ConvBertForMaskedLM.from_pretrained(directory).eval()  # eval: without dropout

    def prepare(self, task: str, ids: Any, labels: Any) -> Run:
        """What runs the task once."""
        ids, labels = self.torch.from_numpy(ids), self.torch.from_numpy(labels)
        model: Any = self.model
        match task:
            case "encoder":
                return self.inference(lambda: model.convbert(ids).last_hidden_state)
            case "masked_lm":
                return self.inference(lambda: model(ids).logits)
            case "backward":
                return lambda: self.gradients(ids, labels)
            case _:
                optimizer = self.torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
                return lambda: (self.gradients(ids, labels), optimizer.step())

    def inference(self, run: Run) -> Run:
        """The same in inference mode."""
        return self.torch.inference_mode()(run)

    def gradients(self, ids: Any, labels: Any) -> Json:
        """The loss and the gradient of every parameter."""
        self.model.zero_grad()
        loss = self.model(ids, labels=labels).loss
        loss.backward()
        return {"loss": loss.detach()} | {name: value.grad for name, value in self.model.named_parameters()}

    def results(self, task: str, run: Run) -> Json:
        """The outputs by name, as arrays; for a step, by how much it changed each parameter."""
        if task in ("encoder", "masked_lm"):
            return {"last_hidden_state" if task == "encoder" else "logits": run().numpy()}
        if task == "backward":
            return {name: value.numpy() for name, value in run().items()}
        before = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        run()
        return {name: (value.detach() - before[name]).numpy() for name, value in self.model.named_parameters()}


SIDES = {"ours": Ours, "reference": Reference, "onnx": Onnx}


class Server:
    """Answers the requests of one side: `prepare` says what is to be run, the others run it."""

    def __init__(self, kind: str):
        self.kind = kind
        self.side: Any = None
        self.directory, self.task = "", ""
        self.run: Run = lambda: None
        self.floor: Run = lambda: None

    def make(self, directory: str, size: str, positions: int, layers: int | None) -> Json:
        """Write a model of random parameters: weights large enough for attention that chooses, gains not 1, biases not 0."""
        import numpy as np

        from convbert_np import ConvBertConfig, ConvBertForMaskedLM
        from convbert_np.verify.releases import MEDIUM_SMALL, SMALL

        fields: Json = {"base": {}, "medium-small": MEDIUM_SMALL, "small": SMALL, "tiny": TINY}[size]
        depth: Json = {} if layers is None else {"num_hidden_layers": layers}
        model = ConvBertForMaskedLM(
            ConvBertConfig(**fields, **depth, max_position_embeddings=positions, initializer_range=SPREAD)
        )
        rng = np.random.default_rng(1)
        for name, value in model.named_parameters().items():
            if name.endswith(("bias", "LayerNorm.weight")):
                value += 0.05 * rng.standard_normal(value.shape, dtype=np.float32)
        model.save_pretrained(directory)
        return {"parameters": model.num_parameters()}

    def export(self, directory: str, batch: int, length: int) -> Json:
        """Write the ONNX graph of the encoder."""
        return {"path": export(directory, batch, length)}

    def truth(self, directory: str, batch: int, length: int, tasks: list[str], target: str) -> Json:
        """Write what the reference computes in float64."""
        from model_truth import write_truth

        reference = Reference(directory)
        write_truth(reference.model, *example(reference.model.config.vocab_size, batch, length), tasks, target, LEARNING_RATE)
        return {"tasks": tasks}

    def prepare(self, directory: str, task: str, batch: int, length: int) -> Json:
        """Load the model, unless it is there; the memory of the process, and a digest of the ids and labels."""
        fields = json.loads((Path(directory) / "config.json").read_text())
        ids, labels = example(fields["vocab_size"], batch, length)
        if directory != self.directory or self.task == "step":  # a step changes the parameters
            self.side = None
            self.side, self.directory = SIDES[self.kind](directory), directory
        self.task, self.shape, self.floor = task, (batch, length), lambda: None
        try:
            self.run = self.side.prepare(task, ids, labels)
        except NotImplementedError as error:
            return {"missing": str(error)}
        gc.collect()
        digest = hashlib.sha256(ids.tobytes() + labels.tobytes()).hexdigest()
        return {"inputs": digest, "level": level("VmRSS")}

    def prepare_products(self) -> Json:
        """Get the product floor of the task ready."""
        from model_products import floor

        batch, length = self.shape
        labelled = max(1, round(LABELLED * batch * length))
        self.floor, operations = floor(self.side.model.config, self.task, batch, length, labelled)
        return {"operations": operations}

    def check(self, truth: str) -> Json:
        """Squared error and squared norm of every result, against the files in `truth`."""
        import numpy as np

        found = {}
        for name, value in self.side.results(self.task, self.run).items():
            exact = np.load(Path(truth) / f"{name}.npy").astype(np.float64)
            if exact.shape != value.shape:
                raise ValueError(f"{name}: has shape {value.shape}, must have {exact.shape}")
            found[name] = [float(np.sum((value - exact) ** 2)), float(np.sum(exact**2))]
        return found

    def time(self, repeat: int, products: bool = False) -> Json:
        """Run the task, or its product floor, that often: the seconds of each run, and the processors' seconds of all."""
        run, walls = self.floor if products else self.run, []
        cpu = time.process_time()
        for _ in range(repeat):
            start = time.perf_counter()
            run()  # nothing holds the result: freeing it is part of the work
            walls.append(time.perf_counter() - start)
        return {"wall": walls, "cpu": time.process_time() - cpu}

    def memory(self) -> Json:
        """The peak of memory while the task runs twice, and what is left afterwards."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
        for _ in range(2):
            self.run()
        gc.collect()
        return {"peak": level("VmHWM"), "after": level("VmRSS")}


def level(field: str) -> int:
    """A field of the process's memory, in bytes; Linux only, elsewhere 0."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return 1024 * int(line.split()[1])
    return 0


def versions(kind: str) -> Json:
    """The packages of a side and their threads and kernels."""
    found = {kind: f"{PACKAGES[kind]} {sys.modules[PACKAGES[kind]].__version__}"}
    if kind == "reference":
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        found |= {"PyTorch": torch.__version__, "kernels": torch.backends.cpu.get_cpu_capability()}
        return found | {"threads": torch.get_num_threads(), "BLAS": "MKL" if torch.backends.mkl.is_available() else "no MKL"}
    if kind == "ours":
        from model_machine import blas

        own = blas()
        found |= {"NumPy": sys.modules["numpy"].__version__, "BLAS": own.get("config", "unknown")}
        found |= {"kernels": own.get("corename", "unknown"), "threads": own.get("num_threads", "unknown")}
    return found


def main(kind: str) -> None:
    start = time.perf_counter()
    package = importlib.import_module(PACKAGES[kind])
    if kind in ("ours", "reference"):
        _ = package.ConvBertForMaskedLM  # both packages load their models when they are first asked for
    seconds = time.perf_counter() - start
    answers, sys.stdout = sys.stdout, sys.stderr  # what a package prints is no answer
    print(json.dumps({"import": seconds, "level": level("VmRSS"), "versions": versions(kind)}), file=answers, flush=True)
    server = Server(kind)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(server, request.pop("do"))(**request)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

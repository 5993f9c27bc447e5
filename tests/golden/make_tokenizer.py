"""Record in tokenizer.json what both tokenizer classes of transformers 4.37.2 make of nasty texts, calls and additions.

    python tests/golden/make_tokenizer.py

It needs transformers 4.37.2 and imports nothing of ours but tests/tools. There are two vocabularies: the bundled
one, and one of single characters (c and ##c for every character that occurs), so that no difference hides behind
[UNK]. What the slow class is asked holds only code points that were assigned long before Unicode 14, the oldest
version that a supported Python has; the fast class, whose tables are its own, is also asked others. To keep the
file small, an answer that equals the one it is recorded beside (see `unless_equal`) is null. Run it again when
the bundled vocabulary or the cases change.
"""

import hashlib
import itertools
import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import transformers
from transformers import ConvBertTokenizer, ConvBertTokenizerFast

sys.path.append(str(Path(__file__).parents[1] / "tools"))

import tokenizer_cases as cases
from tokenizer_compare import made, obey, outcome, write_vocabulary

HERE = Path(__file__).parent
BUNDLED = cases.TINY
SPECIAL = [*cases.SPECIAL, "<mask>"]
CLASSES = {"slow": ConvBertTokenizer, "fast": ConvBertTokenizerFast}
MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "cased": {"do_lower_case": False},
    "cased, no accents": {"do_lower_case": False, "strip_accents": True},
    "lower, accents": {"strip_accents": False},
    "no chinese": {"tokenize_chinese_chars": False},
    "own mask": {"mask_token": "<mask>", "pad_token": "[SEP]"},
}
ONLY = {"slow": {"no basic": {"do_basic_tokenize": False}}, "fast": {"not cleaned": {"clean_text": False}}}
WRITTEN = [
    "",
    " ",
    "\t\n\r \u00a0\u3000",
    "The capital of France is [MASK].",
    "To be, or not to be: that is the question.",
    "O, it came o'er my ear like the sweet sound",
    "don't! can't? they've, we're; I'm (it's)",
    "Hello, World! HELLO WORLD hello world",
    "unhappiness carelessly kingdoms loving",
    "a-b_c d/e\\f g+h=i j<k>l m^n`o p|q~r s$t {u}",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "1,234.56 3.14159 0x1F 50% $99.99 #1 a@b.c",
    "...!!!???---",
    "the[MASK]sat",
    "[MASK][MASK]",
    "[CLS] the king [SEP] a queen [SEP][PAD][PAD]",
    "[mask] [Mask] [ MASK ] [MASK [UNK] ##ing [unused0]",
    "[[MASK]] ([MASK]) x[SEP]y \u00e9[MASK]\u0301",
    "[MA\u0000SK] [MA\u00adSK] [M\u00c1SK] [MAS\u212a] \uff3bMASK\uff3d [MA\u0301SK]",
    "[MASK]\u200d[MASK] \ufeff[MASK]",
    "<mask> <MASK> <Ma\u0000sk> the<mask>sat <M\u00c1SK>",
    "caf\u00e9 cafe\u0301 CAF\u00c9 na\u00efve \u00c5ngstr\u00f6m \u212bngstr\u00f6m \u1e9b\u0323",
    "Stra\u00dfe STRASSE \u1e9e \ufb01nger \ufb00 o\ufb03ce \u0132 \u01c4 \u01c5 \u01c6",
    "\u0130stanbul I\u0307 \u0131 i\u0307 \u0399 \u1fbe",
    "\u039f\u0394\u039f\u03a3 \u03a3\u0391\u03a3 \u03c2\u03c3 \u0386\u03bb\u03c6\u03b1",
    "\u1f86 \u1ffc \u2126 \u212a",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "\u0401\u0436\u0438\u043a \u0419\u043e\u0433\u0443\u0440\u0442",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
    "\u0627\u0644\u0633\u0651\u064e\u0644\u0627\u0645\u064f \u0622\u0627\u0653",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u093c\u0958",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0b95\u0bca\u0b95\u0bc6\u0bbe",
    "\u6211\u7231ChatGPT\uff0c\u4f60\u5462\uff1f\u3002",
    "\u6771\u4eac\u30bf\u30ef\u30fc\u304c\u3042\u308b \u30ac\u30ab\u3099 \uff76\uff9e \u3042\u3099",
    "\u3400\u4dbf\u4e00\u9fa5\uf900\ufa2d\U00020000",
    "\U0002a6d6\U0002f800\U0002fa1d\u3005\u3007\u2e80\u33ff\u4dc0",
    "x\u33ffx\u3400x\u4dbfx\u4dc0x\u4dffx\u4e00x\u9ffcx\ua000x\uf8ffx\uf900x\ufad9x\ufb00x",
    "x\U00020000x\U0002a6d6x\U0002a700x\U0002b734x\U0002b740x\U0002b81dx\U0002b820x",
    "x\U0002cea1x\U0002ceb0x\U0002ebe0x\U0002f800x\U0002fa1dx\U00030000x",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8 \u3131\u314f",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u2764\ufe0f \U0001f1eb\U0001f1f7 1\ufe0f\u20e3",
    "zero\u200bwidth soft\u00adhyphen rtl\u202eabc bom\ufeff",
    "nul\u0000 bell\u0007 del\u007f nel\u0085 c1\u009f",
    "line\u2028sep para\u2029sep vt\u000bff\u000c fs\u001cgs\u001drs\u001eus\u001f end",
    "a\u00a0b\u1680c\u2003d\u202fe\u205ff\u3000g\u180eh",
    "\ufffdreplacement\ufffd \ue000private \ufdd0 \uffff \U000e0041tag \U0010ffff",
    "\u201cquoted\u201d \u2018it\u2019s\u2019 \u2026 \u2013 \u2014",
    "\u00ab\u00bb \u00bf\u00a1 \u00a7\u00b6\u00b7 \u2030 \u2020",
    "\u20ac\u00a3\u00a5 \u00b1\u00d7\u00f7 \u2264\u221e\u2211 \u00b2\u00bd",
    "\u2122\u00a9 \u00b0 \u2160 \u2460 \u00a8\u00b4\u00b8",
    "\u037e\u0387\u1fef\u2329\u232a\u1ffd\u2000\u2001 \u0344 \u0374 \u0958 \ufb1d \u2adc \U0001d15e",
    "e\u0301\u0323\u0308 e\u0323\u0301 \u0301alone \u0301 \u20dd \u0903 \u0488 a\u0315\u0300\u05ae",
    "\uff21\uff22\uff43 \uff11\uff12 \uff01 \U0001d400\U0001d7d8 \U00010400\U00010428 \u24b6",
    "x" * 100,
    "x" * 101,
    "\u00e9" * 100 + " " + "e\u0301" * 51 + " " + "\u0130" * 60,
    "the" * 34 + " " + "king" * 25 + " " + "king" * 25 + "s",
    "\u4e00" * 120,
    "." * 120,
]

NEW = [  # for the fast class only: unassigned code points, and some that Unicode 14 to 16 brought
    "a\u0378b \U000e0fffx \U0002b820y \U0002b91fz \U0002ebf0 \U00031350 \u0c3c \u1acf\u2e53 \U0001f9cb\U0001fae8",
    "\U00010ec2 \u0897x \ua7da\U00010d50 \U0001e6ff \u166d\u1734 \u061d \u0890 \ud7ff \U0010fffe",
]


def random_texts(number: int) -> list[str]:
    """Random texts that hold only characters that Unicode 3.2 already had."""
    old = unicodedata.ucd_3_2_0.category
    texts = [text[:40] for text in cases.random_texts("golden", 20 * number)]
    return [text for text in texts if text.strip() and all(old(character) != "Cn" for character in text)][:number]


def characters_of(texts: list[str]) -> str:
    """Every character that a token of these texts can hold."""
    forms = list(texts) + [character.lower() for text in texts for character in text]
    forms += [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in tuple(forms)]
    found = {character for text in forms for character in text}
    return "".join(sorted(c for c in found if unicodedata.category(c)[0] != "Z" and c not in "\n\r\t"))


def unless_equal(answers: list, others: list) -> list:
    """The answers with null for each that equals the other one in its place."""
    return [None if answer == other else answer for answer, other in zip(answers, others, strict=True)]


def tokens_of(vocabulary: Path, texts: list[str], new: list[str]) -> dict[str, dict[str, list]]:
    """The tokens, joined by a space, by class and mode; null where another mode or class gives the same.

    A mode of the slow class is recorded against its default mode. A mode of the fast class is recorded against
    the same mode of the slow class or, where that has none, against the fast default mode.
    """
    answers: dict[str, dict[str, list]] = {"slow": {}, "fast": {}}
    for kind, asked in (("slow", texts), ("fast", texts + new)):
        for mode, options in (MODES | ONLY[kind]).items():
            tokenizer = CLASSES[kind](vocabulary, **options)
            obey(tokenizer, options)
            answers[kind][mode] = [" ".join(tokenizer.tokenize(text)) for text in asked]
    slow, fast = answers["slow"], answers["fast"]
    blank = [None] * len(texts)
    recorded = {
        "slow": {mode: unless_equal(rows, blank if mode == "default" else slow["default"]) for mode, rows in slow.items()}
    }
    others = {mode: [*slow[mode], *[None] * len(new)] if mode in slow else fast["default"] for mode in fast}
    recorded["fast"] = {mode: unless_equal(rows, others[mode]) for mode, rows in fast.items()}
    return recorded


def positions_of(vocabulary: Path, texts: list[str]) -> list[list]:
    """The offsets, in one row, and the word ids that the fast class gives for each text without special tokens."""
    tokenizer = ConvBertTokenizerFast(vocabulary)
    encoding = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=False)
    offsets = [[*itertools.chain.from_iterable(row)] for row in encoding["offset_mapping"]]
    return [[row, encoding.word_ids(index)] for index, row in enumerate(offsets)]


def written_outcome(tokenizer: Any, arguments: dict[str, Any]) -> Any:
    """What a call gives, or {"raises": name of the exception}."""
    found = outcome(tokenizer, **arguments)
    return {"raises": type(found).__name__} if isinstance(found, BaseException) else found


def calls_of(kind: str, every: int, longest: int = 800) -> list[list]:
    """Some of the combinations of arguments of a call: attributes, arguments and the outcome; few that are refused.

    Those whose record would be longer than `longest` characters are left out.
    """
    tokenizer = CLASSES[kind](BUNDLED)
    recorded = []
    for padding, truncation in itertools.product(cases.PADDINGS, cases.TRUNCATIONS):
        refused = 0
        start = len(recorded) * 7 % every
        for call in itertools.islice(cases.calls(kind, padding, truncation), start, None, every):
            for name, value in call.attributes.items():
                setattr(tokenizer, name, value)
            answer = written_outcome(tokenizer, call.arguments)
            refused += isinstance(answer, dict)
            entry = [call.attributes, call.arguments, answer]
            if (refused <= 1 or not isinstance(answer, dict)) and len(json.dumps(entry)) <= longest:
                recorded.append(entry)
    return recorded


def decodings() -> list[list]:
    """Ids of the bundled vocabulary, the two flags, the text of the slow class, and that of the fast or null if equal."""
    slow, fast = (tokenizer_class(BUNDLED) for tokenizer_class in CLASSES.values())
    generator = random.Random(21)
    marks = slow.convert_tokens_to_ids([*".,?!'", "##s", "n", "t", "m", "s", "ve", "re", "##t", "don", "[SEP]"])
    rows = [slow(text)["input_ids"] for text in WRITTEN[:20]]
    rows += [[generator.choice([*marks, generator.randrange(1210)]) for _ in range(16)] for _ in range(24)]
    rows += [slow.convert_tokens_to_ids(text.split()) for text in ("it ' s", "##s the", "a ' b do n ' t , i ' ve .")]
    recorded = []
    for ids, skip, clean in itertools.product(rows, (False, True), (False, True)):
        texts = [one.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean) for one in (slow, fast)]
        recorded.append([ids, skip, clean, texts[0], None if texts[0] == texts[1] else texts[1]])
    return recorded


def additions() -> list[list]:
    """Settings and additions (a token is its text, or its text and flags), texts, and the tokens of both classes."""
    recorded = []
    for seed in range(24):
        generator = random.Random(f"golden {seed}")
        settings = cases.random_settings(generator)
        changes = [cases.random_addition(generator) for _ in range(generator.randint(1, 3))]
        texts = cases.addition_texts(f"golden {seed}", 8)
        tokens = [added_tokens_of(kind, settings, changes, texts) for kind in CLASSES]
        recorded.append([settings, changes, texts, tokens[0], None if tokens[0] == tokens[1] else tokens[1]])
    return recorded


def added_tokens_of(kind: str, settings: dict, changes: list, texts: list[str]) -> list[list[str]]:
    """The tokens of texts after some additions."""
    tokenizer = CLASSES[kind](BUNDLED, **made(settings, transformers.AddedToken))
    for name, value in changes:
        value = made(value, transformers.AddedToken)
        _ = getattr(tokenizer, name)(*value) if name.startswith("add_") else setattr(tokenizer, name, value)
    return [tokenizer.tokenize(text) for text in texts]


def main() -> None:
    """Write tokenizer.json."""
    transformers.logging.set_verbosity(transformers.logging.FATAL + 1)
    texts = list(dict.fromkeys(WRITTEN + random_texts(110)))
    characters = characters_of(texts + NEW)
    ids = {kind: [tokenizer_class(BUNDLED).encode(text) for text in texts] for kind, tokenizer_class in CLASSES.items()}
    golden = {
        "source": f"ConvBertTokenizer and ConvBertTokenizerFast of transformers {transformers.__version__}, "
        f"Unicode {unicodedata.unidata_version}; written by make_tokenizer.py",
        "bundled_sha256": hashlib.sha256(BUNDLED.read_bytes()).hexdigest(),
        "modes": {kind: MODES | ONLY[kind] for kind in CLASSES},
        "special": SPECIAL,
        "characters": characters,
        "texts": texts,
        "new": NEW,
        "ids": {"slow": ids["slow"], "fast": unless_equal(ids["fast"], ids["slow"])},
        "calls": {kind: calls_of(kind, 383) for kind in CLASSES},
        "decodings": decodings(),
        "additions": additions(),
    }
    with tempfile.TemporaryDirectory() as folder:
        tokens = [*SPECIAL, *characters, *("##" + character for character in characters)]
        vocabulary = write_vocabulary(Path(folder), tokens)
        golden["tokens"] = tokens_of(vocabulary, texts, NEW)
        golden["positions"] = positions_of(vocabulary, texts + NEW)
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()]
    (HERE / "tokenizer.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

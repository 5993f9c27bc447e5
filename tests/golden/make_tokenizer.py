"""Record in tokenizer.json what the slow ConvBertTokenizer of transformers 4.37.2 makes of nasty texts.

    python tests/golden/make_tokenizer.py

It needs transformers 4.37.2 and imports nothing of ours. There are two vocabularies: the bundled one, and one
of single characters (c and ##c for every character that occurs), so that no difference hides behind [UNK].
All code points were assigned long before Unicode 14, the oldest version that a supported Python has. Run it
again when the bundled vocabulary changes.
"""

import hashlib
import json
import random
import tempfile
import unicodedata
from pathlib import Path

import transformers
from transformers import ConvBertTokenizer

HERE = Path(__file__).parent
BUNDLED = HERE.parents[1] / "convbert_np" / "data" / "tiny" / "vocab.txt"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<mask>"]
MODES = {
    "default": {},
    "cased": {"do_lower_case": False},
    "cased, no accents": {"do_lower_case": False, "strip_accents": True},
    "lower, accents": {"strip_accents": False},
    "no chinese": {"tokenize_chinese_chars": False},
    "own mask": {"mask_token": "<mask>", "pad_token": "[SEP]"},
}
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
RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x00, 0x9F), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
    (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x3300, 0x4E40), (0xAC00, 0xAD00), (0xF8F0, 0xFFFD),
    (0x1D15E, 0x1D17A), (0x1D400, 0x1D4FF), (0x2F800, 0x2F830), (0xE0020, 0xE0030),
]  # fmt: skip


def random_texts(number: int) -> list[str]:
    """Texts of 15 characters or words, of two scripts each; only characters that Unicode 3.2 already had."""
    generator = random.Random(20)
    pools = [[chr(c) for c in range(a, b + 1) if unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"] for a, b in RANGES]
    words = [
        "[MASK]",
        "[SEP]",
        "<mask>",
        " ",
        "\n",
        "the",
        "King",
        "\u0301",
        "\u0327",
        "\u00c9",
        "##ing",
        "love",
        "d",
    ]
    texts = []
    for _ in range(number):
        pool = [*generator.choice(pools), *generator.choice(pools)]
        texts.append("".join(generator.choice(words if generator.random() < 0.3 else pool) for _ in range(15)))
    return [text for text in texts if all(unicodedata.category(c) != "Cs" for c in text)]


def characters_of(texts: list[str]) -> str:
    """Every character that a token of these texts can hold."""
    forms = [text for text in texts] + [character.lower() for text in texts for character in text]
    forms += [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in forms]
    found = {character for text in forms for character in text}
    return "".join(sorted(c for c in found if unicodedata.category(c)[0] not in "CZ"))


def write_vocabulary(path: Path, characters: str) -> Path:
    """The vocabulary of single characters; the tests build the same."""
    tokens = [*SPECIAL, *characters, *("##" + character for character in characters)]
    path.write_text("".join(token + "\n" for token in tokens), encoding="utf-8", newline="\n")
    return path


def encodings() -> list[dict]:
    """Calls of the tokenizer with the bundled vocabulary: pairs, padding and truncation."""
    tokenizer = ConvBertTokenizer(BUNDLED)
    short, long = "the king is dead", "o, what a noble mind is here overthrown! [MASK]"
    cases = [
        (short, None),
        (long, short),
        (short, long),
        ("", None),
        ("", ""),
        (short, ""),
        ("", long),
        (short, short),
    ]
    batches = [([short, long, ""], None), ([short, long, ""], [long, short, short])]
    recorded = []
    for text, pair in cases + batches:
        settings = [
            {},
            {"padding": True},
            {"padding": "max_length", "max_length": 20},
            {"padding": "longest"},
        ]
        settings += [{"truncation": True, "max_length": length} for length in (3, 4, 5, 7, 8, 9, 12, 30)]
        settings += [{"truncation": True, "padding": "max_length", "max_length": length} for length in (6, 16)]
        for setting in settings:
            answer = tokenizer(text, pair, **{"truncation": False, **setting})
            recorded.append({"text": text, "text_pair": pair, "settings": setting, "encoding": dict(answer)})
    return recorded


def decodings() -> list[dict]:
    """Ids of the bundled vocabulary to text."""
    tokenizer = ConvBertTokenizer(BUNDLED)
    generator = random.Random(21)
    marks = tokenizer.convert_tokens_to_ids([*".,?!'", "##s", "n", "t", "m", "s", "ve", "re", "##t", "don", "[SEP]"])
    rows = [tokenizer(text)["input_ids"] for text in WRITTEN[:20]]
    rows += [[generator.choice([*marks, generator.randrange(-2, 1210)]) for _ in range(20)] for _ in range(40)]
    rows += [tokenizer.convert_tokens_to_ids(text.split()) for text in ("it ' s", "##s the", "a ' b do n ' t , i ' ve .")]
    recorded = []
    for ids in rows:
        for skip in (False, True):
            for clean in (False, True):
                text = tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
                recorded.append({"ids": ids, "skip": skip, "clean": clean, "text": text})
    return recorded


def main() -> None:
    """Write tokenizer.json."""
    texts = list(dict.fromkeys(WRITTEN + random_texts(260)))
    characters = characters_of(texts)
    golden = {
        "source": f"slow ConvBertTokenizer of transformers {transformers.__version__}, "
        f"Unicode {unicodedata.unidata_version}; written by make_tokenizer.py",
        "bundled_sha256": hashlib.sha256(BUNDLED.read_bytes()).hexdigest(),
        "modes": MODES,
        "special": SPECIAL,
        "characters": characters,
        "texts": texts,
        "ids": [ConvBertTokenizer(BUNDLED).encode(text) for text in texts],
        "encodings": encodings(),
        "decodings": decodings(),
    }
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = write_vocabulary(Path(folder) / "vocab.txt", characters)
        tokenizers = {mode: ConvBertTokenizer(vocabulary, **settings) for mode, settings in MODES.items()}
        golden["tokens"] = {mode: [" ".join(t.tokenize(text)) for text in texts] for mode, t in tokenizers.items()}
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()]
    (HERE / "tokenizer.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

"""From text to words: the stages of BERT's basic tokenization, each a function of one character.

    clean          drop control characters, turn white space into a space
    chinese        a space on both sides of each Chinese character
    lower          lower-case each character by itself
    strip          the canonical decomposition, without its nonspacing marks
    punctuation    a space on both sides of each punctuation character

Because every stage maps one character to a string, stages compose: `fuse` makes one table of several, and a text
goes through all of them in one `str.translate`. What is not a function of one character is the canonical order
of marks (`canonical_order`) and the normal form NFC (`compose`), which only the slow class takes.

The two classes of the reference differ in the order of the stages and in their character tables:

    slow    clean, chinese, NFC, lower, strip, punctuation; and lower before everything, save in special tokens.
            Words of `never_split` stay as they are: lower to strip if they are such before, punctuation if then
    fast    clean, chinese, strip, lower, punctuation

Source: BasicTokenizer of transformers 4.37.2; BertNormalizer and BertPreTokenizer of tokenizers 0.15.2.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import regex

from convbert_np.tokenization.characters import PINNED, UNICODEDATA, Characters

Stage = Callable[[str], str]

WHOLE = ("clean", "chinese", "strip", "lower", "punctuation")
NORMAL = WHOLE[:-1]
BEFORE = ("clean", "chinese")
BETWEEN = ("lower", "strip")
MARKS = regex.compile(r"\p{M}{32,}")


class CharacterTable(dict[int, str]):
    """A table for `str.translate` from a function of one character: an entry is made when it is first met.

    `uneven` are the characters met so far that become none or several.
    """

    def __init__(self, function: Stage):
        super().__init__()
        self.function = function
        self.uneven: set[str] = set()

    def __missing__(self, codepoint: int) -> str:
        """Compute the entry of a character that is met for the first time."""
        replacement = self[codepoint] = self.function(chr(codepoint))
        if len(replacement) != 1:
            self.uneven.add(chr(codepoint))
        return replacement


def fuse(stages: Iterable[Stage]) -> Stage:
    """One function of a character that does what the stages do one after the other."""
    stages = list(stages)

    def fused(character: str) -> str:
        text = character
        for stage in stages:
            text = "".join(map(stage, text))
        return text

    return fused


@dataclass(frozen=True)
class Normalization:
    """How text is cut into words: the options of a tokenizer and the rules of its class.

    fast         follow the fast class, not the slow one
    clean, chinese, lower, strip
                 which of the stages are done
    never_split  words of white space that stay as they are (slow class)
    basic        False: cut at white space only, as the slow class with do_basic_tokenize=False
    """

    fast: bool
    clean: bool = True
    chinese: bool = True
    lower: bool = True
    strip: bool = True
    basic: bool = True
    never_split: frozenset[str] = frozenset()
    _marks: set[str] = field(default_factory=set, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """The settings without the tables, for pickle and for copies."""
        return type(self), (self.fast, self.clean, self.chinese, self.lower, self.strip, self.basic, self.never_split)

    @property
    def characters(self) -> Characters:
        """The character tables of the class."""
        return PINNED if self.fast else UNICODEDATA

    def cleaned(self, character: str) -> str:
        """Nothing for a control character, a space for white space."""
        if self.characters.is_dropped(character):
            return ""
        return " " if self.characters.is_space(character) else character

    def spaced(self, character: str) -> str:
        """A Chinese character between spaces."""
        return f" {character} " if self.characters.is_chinese(character) else character

    def stripped(self, character: str) -> str:
        """The canonical decomposition without nonspacing marks."""
        kept = [c for c in self.characters.decompose(character) if not self.characters.is_mark(c)]
        self._marks.update(c for c in kept if self.characters.combining(c))
        return "".join(kept)

    def split_off(self, character: str) -> str:
        """A punctuation character between spaces, and any white space as a space."""
        if self.characters.splits(character):
            return " "
        return f" {character} " if self.characters.is_punctuation(character) else character

    @property
    def stages(self) -> list[tuple[str, Stage]]:
        """The stages of the class that are done, by name and in order; "compose" works on the whole text."""
        if not self.basic:
            return []
        clean = ("clean", self.cleaned) if self.clean else None
        chinese = ("chinese", self.spaced) if self.chinese else None
        lower = ("lower", self.characters.lower) if self.lower else None
        strip = ("strip", self.stripped) if self.strip else None
        punctuation = ("punctuation", self.split_off)
        slow = (clean, chinese, ("compose", compose), lower, strip, punctuation)
        fast = (clean, chinese, strip, lower, punctuation)
        return [stage for stage in (fast if self.fast else slow) if stage]

    def apply(self, name: str, stage: Stage, text: str) -> str:
        """Put a whole text through one stage."""
        if name == "compose":
            return stage(text)
        if name != "strip":
            return text.translate(CharacterTable(stage))
        text = "".join(map(self.characters.decompose, text))
        return "".join([text[i] for i in canonical_order(text, self.characters) if not self.characters.is_mark(text[i])])

    def through(self, text: str, table: CharacterTable, names: Collection[str]) -> str:
        """Put a text through a fused table; stage by stage if `strip` has left marks, for their order is not fused."""
        result = text.translate(table)
        if not self.has_marks(result):
            return result
        for name, stage in self.stages:
            text = self.apply(name, stage, text) if name in names else text
        return text

    def has_marks(self, text: str) -> bool:
        """Whether a text that went through `strip` has combining characters left, which are few and rare."""
        return bool(self._marks) and not self._marks.isdisjoint(text)

    def table(self, names: Collection[str]) -> CharacterTable:
        """The table of the named stages fused into one; a line end stays one, it is white space like any other."""
        table = CharacterTable(fuse(stage for name, stage in self.stages if name in names))
        table[ord("\n")] = "\n"
        return table

    @cached_property
    def whole(self) -> CharacterTable:
        """All stages of the fast class in one table."""
        return self.table(WHOLE)

    @cached_property
    def before(self) -> CharacterTable:
        """The stages of the slow class before NFC."""
        return self.table(BEFORE)

    @cached_property
    def between(self) -> CharacterTable:
        """The stages of the slow class between NFC and punctuation."""
        return self.table(BETWEEN)

    @cached_property
    def normal(self) -> CharacterTable:
        """The stages of the fast class before punctuation is split off: what its added tokens are looked for in."""
        table = self.table(NORMAL)
        del table[ord("\n")]  # here it becomes what the stages make of it, for an added token may hold white space
        return table

    @cached_property
    def punctuation(self) -> CharacterTable:
        """The last stage alone."""
        return self.table({"punctuation"})

    def words(self, text: str) -> list[str]:
        """The words of a text in which no added token stands (slow class: of a text that is lower-cased if it is to be)."""
        if not self.basic:
            return text.split()
        if self.fast:
            return self.split(self.through(text, self.whole, WHOLE))
        words = compose(text.translate(self.before)).split()
        if self.never_split.isdisjoint(words):
            return self.words_of_word(" ".join(words))
        parts = ([word] if word in self.never_split else self.words_of_word(word) for word in words)
        return [word for part in parts for word in part]

    def words_of_word(self, word: str) -> list[str]:
        """What the slow class makes of a word, or of words, that NFC has left: words that are never split stay again."""
        parts = self.through(word, self.between, BETWEEN).split()
        if self.never_split.isdisjoint(parts):
            return " ".join(parts).translate(self.punctuation).split()
        pieces = ([part] if part in self.never_split else part.translate(self.punctuation).split() for part in parts)
        return [piece for part in pieces for piece in part]

    def words_of_lines(self, lines: Sequence[str]) -> list[list[str]]:
        """The words of each of many short texts, which hold no line end: all at once, for that is faster."""
        text = "\n".join(lines)
        if self.fast and lines:
            result = text.translate(self.whole)
            if self.clean and not self.has_marks(result):
                return [line.split() for line in result.split("\n")]
        elif self.basic and lines:
            text = compose(text.translate(self.before))
            result = text.translate(self.between)
            if self.never_split.isdisjoint([*text.split(), *result.split()]) and not self.has_marks(result):
                return [line.split() for line in result.translate(self.punctuation).split("\n")]
        return [self.words(line) for line in lines]

    def normalized(self, text: str) -> str:
        """A text as the fast class normalizes it, before punctuation is split off."""
        return self.through(text, self.normal, NORMAL)

    def split_normal(self, text: str) -> list[str]:
        """The words of a text that is normalized already (fast class)."""
        return self.split(text.translate(self.punctuation))

    def aligned(self, text: str, at: int = 0) -> tuple[str, Sequence[int]]:
        """The normalized text, and for each of its characters the place in `text` it comes from, counted from `at`."""
        normal = text.translate(self.normal)
        if self.normal.uneven.isdisjoint(text):
            return normal, range(at, at + len(text))
        if self.has_marks(normal):
            return self.aligned_by_stage(text, at)
        parts = map(self.normal.__getitem__, map(ord, text))
        return normal, [place for place, part in enumerate(parts, at) for _ in part]

    def aligned_by_stage(self, text: str, at: int) -> tuple[str, list[int]]:
        """The same, stage by stage."""
        pairs = list(zip(text, range(at, at + len(text)), strict=True))
        for name, stage in self.stages[:-1]:
            strips = name == "strip"
            pairs = self.aligned_strip(pairs) if strips else [(new, place) for old, place in pairs for new in stage(old)]
        return "".join([new for new, _ in pairs]), [place for _, place in pairs]

    def aligned_strip(self, pairs: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """The stage `strip` on characters with their places.

        As in the library the places are not sorted along with the characters: in the new order, the first character
        of each decomposition takes the next place, and every other one that of the character before it.
        """
        characters = self.characters
        parts = [(new, index) for old, _ in pairs for index, new in enumerate(characters.decompose(old))]
        places = iter([place for _, place in pairs])
        place = 0
        sorted_pairs = []
        for i in canonical_order("".join([new for new, _ in parts]), characters):
            new, index = parts[i]
            place = place if index else next(places)
            sorted_pairs.append((new, place))
        return [(new, place) for new, place in sorted_pairs if not characters.is_mark(new)]

    def split(self, text: str) -> list[str]:
        """Cut at spaces: all other white space has become one, save what is none for this class."""
        if self.fast and not self.clean:
            return [word for word in text.replace("\n", " ").split(" ") if word]
        return text.split()


def canonical_order(text: str, characters: Characters) -> list[int]:
    """The places of the characters of a decomposed text in canonical order.

    Each run of characters with a combining class other than 0 is sorted by class; equal classes keep their order
    (Unicode Standard, Canonical Ordering Algorithm).
    """
    classes = [characters.combining(character) for character in text]
    order = []
    start = 0
    while start < len(text):
        end = start + 1
        if classes[start]:
            while end < len(text) and classes[end]:
                end += 1
        order += sorted(range(start, end), key=classes.__getitem__)
        start = end
    return order


def compose(text: str) -> str:
    """The normal form NFC, in time that grows with the length only.

    Python's own sorts marks by insertion, which takes forever on a long run of them: such runs are decomposed
    and sorted first.
    """
    if text.isascii():
        return text
    if MARKS.search(text):
        text = MARKS.sub(lambda run: sort_marks(run.group()), text)
    return unicodedata.normalize("NFC", text)


def sort_marks(text: str) -> str:
    """A run of marks, decomposed and in canonical order."""
    text = "".join(map(UNICODEDATA.decompose, text))
    return "".join(text[i] for i in canonical_order(text, UNICODEDATA))

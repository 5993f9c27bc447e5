"""Training a WordPiece vocabulary: the pieces into which words are cut, chosen by how well they explain a text.

Words start as single characters. The pair of neighbouring pieces whose merge adds most to the log-likelihood of
the text (each piece being drawn by itself, with the frequency it has) becomes one piece, and so on. A
vocabulary is used in another way than it is made, however: WordPiece cuts a word greedily, longest piece first,
and knows nothing of merges. Pieces that were only steps to longer ones are then hardly used. So half as many
pieces again as wanted are made, and those that greedy cutting misses least are taken out.

Source of the criterion: Schuster and Nakajima, "Japanese and Korean voice search" (2012).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from functools import partial

from convbert_np.progress import Progress, Tell
from convbert_np.tokenization.checks import check_flag, check_text, check_token, is_integer
from convbert_np.tokenization.merges import CRITERIA, Merger, characters, make_pieces
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.segments import lower_case
from convbert_np.tokenization.wordpiece import CONTINUATION, MAX_CHARACTERS

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROUNDS = 4  # in which surplus pieces are taken out: what one is worth depends on which others are left

Frequencies = Mapping[str, int]
Bar = Callable[..., Progress]


def train_wordpiece(
    texts: Iterable[str],
    vocab_size: int,
    *,
    min_frequency: int = 2,
    limit_alphabet: int | None = 1000,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    unused: int = 0,
    do_lower_case: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    criterion: str = "likelihood",
    surplus: float = 0.5,
    progress: bool | Tell = True,
) -> list[str]:
    """Make a vocabulary from texts: its tokens in the order of their ids.

    texts            lines or documents
    vocab_size       the number of tokens, all kinds together
    min_frequency    pieces that stand side by side less often are not merged
    limit_alphabet   only so many characters, the most frequent ones, are kept; None: all
    special_tokens   the first tokens
    unused           the number of tokens [unused0], [unused1], ... that come next
    do_lower_case, strip_accents, tokenize_chinese_chars
                     how texts are cut into words, as in ConvBertTokenizer
    criterion        the pair to merge next: "likelihood", the one with the highest
                     count(ab) log(count(ab) N / (count(a) count(b))); "ratio", the one with the highest
                     count(ab) / (count(a) count(b)); "count", the most frequent one, as byte pair encoding has it
    surplus          the share of vocab_size that is made in excess and taken out again; 0: merges only
    progress         True: a bar on stderr if that is a terminal; or a function of (title, done, total)

    Then follow the alphabet, in the order of code points: every kept character c, and after these every "##c" that
    is met inside a word; and the other pieces in the order in which they were made. Words with another character,
    or of more than 100, are passed over. If the merges run out, further ones are made that count every different
    word once; if these run out too, the list is shorter than vocab_size.

    The result depends on how often each word occurs, not on the order of the texts. Scores (of "ratio"
    the logarithm) are compared to six decimals; of equal ones the more frequent pair is merged, and then the one
    whose merged text comes first by code point. Of pieces that are missed equally little the one made last is taken
    out.

    `write_vocabulary(tokens, "vocab.txt")` makes the file that ConvBertTokenizer reads.

    Raises TypeError or ValueError naming the argument: also if the texts hold no word, and if vocab_size is less
    than the special and unused tokens and the alphabet together need.
    """
    check_numbers(vocab_size=(vocab_size, 1), min_frequency=(min_frequency, 1), unused=(unused, 0))
    if limit_alphabet is not None:
        check_numbers(limit_alphabet=(limit_alphabet, 1))
    check_surplus(surplus)
    if not isinstance(criterion, str) or criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, not {criterion!r}")
    first = [*check_special(special_tokens), *(f"[unused{number}]" for number in range(unused))]
    bar = progress_bar(progress)
    lower = check_flag(do_lower_case, "do_lower_case")
    normalization = Normalization(
        fast=False,
        lower=lower,
        strip=lower if strip_accents is None else check_flag(strip_accents, "strip_accents"),
        chinese=check_flag(tokenize_chinese_chars, "tokenize_chinese_chars"),
    )
    cut_text = partial(words_of, normalization=normalization)
    kept, frequencies = keep_alphabet(count_words(texts, cut_text, bar), limit_alphabet)
    fixed = list(dict.fromkeys([*first, *alphabet(kept, frequencies)]))
    if len(fixed) > vocab_size:
        raise ValueError(
            f"vocab_size must be at least {len(fixed)}, not {vocab_size}: {len(first)} special and unused tokens and "
            f"{len(fixed) - len(first)} of single characters (a lower limit_alphabet makes them fewer)"
        )
    wanted = int(vocab_size * (1 + surplus)) - len(fixed)
    pieces = candidates(frequencies, wanted, fixed, criterion, min_frequency, bar)
    return fixed + prune(pieces, fixed, frequencies, vocab_size - len(fixed), bar)


def words_of(text: str, normalization: Normalization) -> list[str]:
    """The words of a text, cut as ConvBertTokenizer cuts it where no special token stands."""
    return normalization.words(lower_case(text) if normalization.lower else text)


def count_words(texts: Iterable[str], cut_text: Callable[[str], list[str]], bar: Bar) -> Counter[str]:
    """How often each word of at most 100 characters occurs; TypeError or ValueError if there is none."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be an iterable of strings, such as the lines of a file, not {type(texts).__name__}")
    counts: Counter[str] = Counter()
    with bar("words", len(texts) if isinstance(texts, Sized) else None, "texts") as progress:
        for index, text in enumerate(texts):
            counts.update(cut_text(check_text(text, f"texts[{index}]")))
            progress.advance()
    counts = Counter({word: count for word, count in counts.items() if len(word) <= MAX_CHARACTERS})
    if not counts:
        raise ValueError(f"texts hold no word of at most {MAX_CHARACTERS} characters")
    return counts


def keep_alphabet(frequencies: Frequencies, limit: int | None) -> tuple[set[str], Frequencies]:
    """The `limit` most frequent characters (of equally frequent ones the lower code point), and the words of them alone."""
    counts: Counter[str] = Counter()
    for word, frequency in frequencies.items():
        for character in word:
            counts[character] += frequency
    kept = set(sorted(counts, key=lambda character: (-counts[character], character))[:limit])
    return kept, {word: frequency for word, frequency in frequencies.items() if kept.issuperset(word)}


def alphabet(kept: Iterable[str], words: Iterable[str]) -> list[str]:
    """The kept characters, and after them "##c" for every character c that a word has inside, each in order."""
    return sorted(kept) + sorted({piece for word in words for piece in characters(word)[1:]})


def candidates(
    frequencies: Frequencies, wanted: int, fixed: Iterable[str], criterion: str, min_frequency: int, bar: Bar
) -> list[str]:
    """At most `wanted` pieces that are not in `fixed`, in the order in which they are made.

    If the merges run out before, those follow that come about when every different word is counted once.
    """
    pieces: list[str] = []
    for title, counts in (("merges", frequencies), ("further merges", dict.fromkeys(frequencies, 1))):
        if len(pieces) < wanted:
            merger = Merger(counts, criterion, min_frequency)
            with bar(title, wanted - len(pieces), "pieces") as progress:
                for piece in make_pieces(merger, wanted - len(pieces), {*fixed, *pieces}):
                    pieces.append(piece)
                    progress.advance()
    return pieces


def prune(pieces: Sequence[str], fixed: Sequence[str], frequencies: Frequencies, size: int, bar: Bar) -> list[str]:
    """The `size` pieces without which the text, cut greedily, would grow most; `fixed` are there in any case."""
    start = len(pieces)
    with bar("pruning", ROUNDS, "rounds") as progress:
        for done in range(1, ROUNDS + 1):
            if len(pieces) > size:
                costs = losses(pieces, {*fixed, *pieces}, frequencies)
                number = max(size, int(start * (size / start) ** (done / ROUNDS))) if done < ROUNDS else size
                ranked = sorted(range(len(pieces)), key=lambda index: (-costs[pieces[index]], index))
                pieces = [pieces[index] for index in sorted(ranked[:number])]
            progress.advance()
    return list(pieces)


def losses(pieces: Iterable[str], vocabulary: set[str], frequencies: Frequencies) -> dict[str, int]:
    """About how many more pieces the text would have without each piece: the rest of a word is taken as cut before."""
    used: Counter[str] = Counter()
    for word, frequency in frequencies.items():
        for piece in cut_greedily(word, vocabulary):
            used[piece] += frequency
    return {piece: used[piece] and used[piece] * (len(cut_piece(piece, vocabulary)) - 1) for piece in pieces}


def cut_piece(piece: str, vocabulary: set[str]) -> list[str]:
    """The pieces into which a piece falls if the vocabulary has it no more."""
    vocabulary.discard(piece)
    inside = piece.startswith(CONTINUATION)
    parts = cut_greedily(piece.removeprefix(CONTINUATION), vocabulary, CONTINUATION if inside else "")
    vocabulary.add(piece)
    return parts


def cut_greedily(word: str, vocabulary: Collection[str], prefix: str = "") -> list[str]:
    """The longest pieces from the left; all characters of the word must be in the vocabulary."""
    pieces = []
    start, end = 0, len(word)
    while start < len(word):
        piece = prefix + word[start:end]
        if piece in vocabulary:
            pieces.append(piece)
            start, end, prefix = end, len(word), CONTINUATION
        else:
            end -= 1
    return pieces


def progress_bar(progress: object) -> Bar:
    """What makes the bar of each stage; TypeError if `progress` is neither a boolean nor a function."""
    if not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress must be True, False or a function, not {progress!r}")
    if isinstance(progress, bool):
        return partial(Progress, show=None if progress else False)
    return partial(Progress, tell=progress)


def check_numbers(**numbers: tuple[object, int]) -> None:
    """Raise TypeError or ValueError unless each named (value, least) is an integer of at least the least."""
    for name, (value, least) in numbers.items():
        if not is_integer(value):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def check_surplus(surplus: object) -> None:
    """Raise TypeError or ValueError unless it is a number from 0 to 10."""
    if not isinstance(surplus, int | float) or isinstance(surplus, bool):
        raise TypeError(f"surplus must be a number, not {surplus!r}")
    if not 0 <= surplus <= 10:
        raise ValueError(f"surplus must be from 0 to 10, not {surplus}")


def check_special(tokens: object) -> list[str]:
    """A list of distinct strings, none empty or with a line break; else TypeError or ValueError."""
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise TypeError(f"special_tokens must be a sequence of strings, not {tokens!r:.80}")
    names = [check_text(check_token(token, f"special_tokens[{i}]"), f"special_tokens[{i}]") for i, token in enumerate(tokens)]
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise ValueError(f"special_tokens must not have a line break: {broken[0]!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"special_tokens must be distinct: {names}")
    return names

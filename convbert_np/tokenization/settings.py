"""The files that stand beside a vocabulary: which settings they give a tokenizer, and what is written into them.

Source: PreTrainedTokenizerBase._from_pretrained and save_pretrained of transformers 4.37.2.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.special_tokens import ADDITIONAL, NAMES

CONFIG = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"
VOCABULARY = "vocab.txt"
TOKENIZER = "tokenizer.json"

NO_LIMIT = int(1e30)
NOT_SETTINGS = ("tokenizer_class", "init_inputs", "auto_map", "vocab_file", "special_tokens_map_file", "tokenizer_type")
NOT_SAVED = ("vocab_file", "tokenizer_file", "name_or_path", "special_tokens_map_file", "verbose")


def read_settings(directory: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tokenizer that a folder and the caller give; what the caller gives goes first.

    An "added_tokens_decoder" of tokenizer_config.json lists all added tokens with their flags. Without it they come,
    as in older folders, from special_tokens_map.json, added_tokens.json and tokenizer.json. Raises ValueError,
    naming the file and what is wrong in it.
    """
    config = read_object(directory / CONFIG)
    settings = {**config, **given}
    if settings.get("added_tokens_decoder") is not None:
        where = "added_tokens_decoder" if "added_tokens_decoder" in given else f"{directory / CONFIG}"
        settings["added_tokens_decoder"] = read_decoder(settings["added_tokens_decoder"], where)
    else:
        settings.update(read_special_map(directory / SPECIAL, config, given))
        settings = with_tokens(settings, directory / CONFIG)
        settings["added_tokens_decoder"] = {
            **read_added(directory / ADDED, settings),
            **read_added_of_json(directory / TOKENIZER),
        }
    settings = with_tokens(settings, directory / CONFIG)
    known = {token.content: token for token in settings["added_tokens_decoder"].values()}
    for name in NAMES:
        if settings.get(name) is not None:
            settings[name] = known.get(str(settings[name]), settings[name])
    return {name: value for name, value in settings.items() if name not in NOT_SETTINGS or name in given}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, {} if there is no such file; ValueError if it holds anything else."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if type(value) is not dict:
        raise ValueError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def as_token(value: Any, where: str, special: bool | None = None) -> Any:
    """An AddedToken from the dict that a file writes for one; strings and None stay; ValueError for the rest."""
    if value is None or isinstance(value, str | AddedToken):
        return value
    try:
        flags = {"special": special} if special is not None and isinstance(value, dict) else {}
        return AddedToken.from_dict({**flags, **value} if flags else value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} has a token that cannot be read, {value!r:.80}: {error}") from None


def as_number(key: Any, where: str) -> int:
    """The id that a file writes as a string, or a caller as an integer; ValueError if it is none."""
    text = str(key)
    if isinstance(key, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{where} has the id {key!r:.40}, which is no integer of at most 9 digits")
    return int(text)


def read_decoder(value: Any, where: str) -> dict[int, AddedToken]:
    """Id to AddedToken from an added_tokens_decoder."""
    if not isinstance(value, Mapping) or not all(isinstance(token, Mapping | AddedToken) for token in value.values()):
        raise ValueError(f"{where}: added_tokens_decoder must map ids to tokens with their flags, not {value!r:.80}")
    return {as_number(number, where): as_token(token, where) for number, token in value.items()}


def read_special_map(path: Path, config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens of special_tokens_map.json but those that the caller gives himself."""
    found: dict[str, Any] = {}
    for name, value in read_object(path).items():
        if given.get(name):
            continue
        if name == ADDITIONAL and isinstance(value, list):
            own = [as_token(token, str(path)) for token in config.get(ADDITIONAL) or []]
            more = [as_token(token, str(path), special=True) for token in value]
            found[name] = own + [token for token in more if token not in own]
        else:
            found[name] = as_token(value, str(path), special=True)
    return found


def with_tokens(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings with AddedTokens for the dicts that stand for them."""
    settings = dict(settings)
    for name in NAMES:
        if name in settings:
            settings[name] = as_token(settings[name], str(path))
    if isinstance(settings.get(ADDITIONAL), list):
        settings[ADDITIONAL] = [as_token(token, str(path)) for token in settings[ADDITIONAL]]
    return settings


def read_added(path: Path, settings: Mapping[str, Any]) -> dict[int, AddedToken]:
    """The tokens of added_tokens.json, which holds ids only: special are those that the settings name."""
    special = {str(settings[name]) for name in NAMES if settings.get(name) is not None}
    special.update(str(token) for token in settings.get(ADDITIONAL) or [])
    numbers = read_object(path)
    twice = [number for number, count in Counter(map(str, numbers.values())).items() if count > 1]
    if twice:
        raise ValueError(f"{path} gives the id {twice[0]} to several tokens")
    return {as_number(number, str(path)): AddedToken(token, special=token in special) for token, number in numbers.items()}


def read_added_of_json(path: Path) -> dict[int, AddedToken]:
    """The added tokens of tokenizer.json by id."""
    entries = read_object(path).get("added_tokens") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "id" in entry for entry in entries):
        raise ValueError(f"{path}: added_tokens must be a list of tokens with their ids")
    return {as_number(entry["id"], str(path)): as_token(entry, str(path)) for entry in entries}


def json_text(value: Any) -> str:
    """The text of one of the files: sorted, indented by two, ended by a line end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, AddedToken):
        return value.to_dict(typed=True)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple | set | frozenset) else value


def config_text(
    settings: Mapping[str, Any], special: Mapping[str, Any], added: Mapping[int, AddedToken], tokenizer_class: str
) -> str:
    """tokenizer_config.json: the settings, the special tokens as strings, and all added tokens with their flags."""
    config = {name: plain(value) for name, value in settings.items() if name not in (*NOT_SAVED, ADDITIONAL)}
    config |= special
    tokens = {str(number): token.to_dict() for number, token in sorted(added.items())}
    config |= {"tokenizer_class": tokenizer_class, "added_tokens_decoder": tokens}
    ordered = json.loads(json.dumps(config, sort_keys=True))
    ordered["added_tokens_decoder"] = {number: dict(sorted(token.items())) for number, token in tokens.items()}
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


def special_map_text(special: Mapping[str, Any]) -> str:
    """special_tokens_map.json: strings as they are, AddedTokens with their flags but "special"."""

    def written(token: Any) -> Any:
        if isinstance(token, list):
            return [written(item) for item in token]
        return {n: v for n, v in token.to_dict().items() if n != "special"} if isinstance(token, AddedToken) else token

    return json_text({name: written(token) for name, token in special.items() if token})

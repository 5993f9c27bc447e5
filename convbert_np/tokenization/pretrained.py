"""The settings of a tokenizer in the folder of a checkpoint."""

import json
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
SETTINGS = ("do_lower_case", "tokenize_chinese_chars", "strip_accents", "model_max_length", *SPECIAL_TOKENS)
NO_LIMIT = 10**20  # the reference writes 10**30 for "no limit"


def read_settings(directory: Path) -> dict[str, Any]:
    """The arguments of ConvBertTokenizer that a folder sets; {} if it holds a vocab.txt only.

    As in the reference, special_tokens_map.json is read too, and has the last word, unless
    tokenizer_config.json holds an added_tokens_decoder. Raises ValueError, naming the file or the folder, for
    a file that is no JSON object, and for settings that would change the ids and that this tokenizer does not
    know.
    """
    config = read_object(directory / "tokenizer_config.json")
    special = {} if "added_tokens_decoder" in config else read_object(directory / "special_tokens_map.json")
    merged = {**config, **special}
    settings = {name: token_text(merged[name]) for name in SETTINGS if name in merged}
    known = [settings.get(name, f"[{name.removesuffix('_token').upper()}]") for name in SPECIAL_TOKENS]
    refuse_unknown(directory, merged, known)
    limit = settings.get("model_max_length")
    if isinstance(limit, int | float) and limit > NO_LIMIT:
        settings["model_max_length"] = None
    return settings


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


def token_text(value: Any) -> Any:
    """The text of a token, which these files write as a string or as a dict with its "content"."""
    return value.get("content") if isinstance(value, dict) else value


def refuse_unknown(directory: Path, config: dict[str, Any], known: list[Any]) -> None:
    """Raise ValueError for further tokens, and for settings that change how text is cut."""
    added = read_object(directory / "added_tokens.json")
    decoder = config.get("added_tokens_decoder") or {}
    extra = config.get("additional_special_tokens") or []
    if not isinstance(decoder, dict) or not isinstance(extra, list):
        raise ValueError(f"{directory} has added_tokens_decoder or additional_special_tokens of a wrong type")
    others = [config[name] for name in ("bos_token", "eos_token") if config.get(name) is not None]
    tokens = [token_text(token) for token in (*added, *decoder.values(), *extra, *others)]
    unknown = [token for token in tokens if token not in known]
    if unknown:
        raise ValueError(f"{directory} adds tokens, which this tokenizer cannot do: {unknown}")
    flags = [*decoder.values(), *(config.get(name) for name in SPECIAL_TOKENS)]
    if any(isinstance(flag, dict) and flag.get("single_word") for flag in flags):
        raise ValueError(f"{directory} has a special token with single_word, which this tokenizer cannot do")
    for name, supported in (("do_basic_tokenize", True), ("never_split", None)):
        if config.get(name, supported) not in (supported, []):
            raise ValueError(f"{directory} sets {name} to {config[name]!r}, which this tokenizer cannot do")

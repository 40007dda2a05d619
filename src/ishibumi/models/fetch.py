"""A model from the hub into a directory. The only user of the hub. hub id → directory."""

from pathlib import Path

from ishibumi.errors import ModelError

# Weights as safetensors, tokenizer and configuration. No pickle: *.bin and *.pt run code when they are loaded.
WANTED = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "chat_template*",
    "LICENSE*",
    "README.md",
]


def fetch_model(hub_id: str, directory: Path) -> Path:
    """`directory`, holding the model `hub_id`. What is there already is not loaded again.

    Raises ModelError if the hub cannot be reached, has no such model, wants a login, or has no safetensors of it.
    """
    from huggingface_hub import HfApi, logging, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

    logging.set_verbosity_error()  # its notes on retries would stand before our own words
    try:
        names = HfApi().list_repo_files(hub_id)
        if not any(name.endswith(".safetensors") for name in names):
            raise _no_safetensors(hub_id, names)
        snapshot_download(hub_id, local_dir=directory, allow_patterns=WANTED)
    except GatedRepoError:
        raise ModelError(
            f"{hub_id} is given only to those who accepted its terms.",
            hint="Accept the terms on the model's page, then log in: hf auth login",
            hint_ja="モデルのページで利用条件に同意してから hf auth login でログインしてください。",
        ) from None
    # A missing model, a refused connection and the hub's offline mode are all HTTPError or OSError.
    except (HFValidationError, HTTPError, OSError) as error:
        raise ModelError(
            f"Cannot fetch {hub_id}: {_first_line(error)}",
            hint="Check the name (OWNER/MODEL) and the network, and run the same command: it goes on from there.",
            hint_ja="名前（所有者/モデル）とネットワークを確かめ、同じコマンドを実行すると続きから進みます。",
        ) from error
    return directory


def _no_safetensors(hub_id: str, names: list[str]) -> ModelError:
    shown = ", ".join(sorted(names)[:10]) or "none"
    return ModelError(
        f"{hub_id} has no weights in safetensors format, and ishibumi loads no pickle. Files: {shown}.",
        hint="Look for another repository of the same model that has .safetensors files.",
        hint_ja="同じモデルで .safetensors のあるリポジトリを探してください。",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

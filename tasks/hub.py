"""Whether a model of the Hugging Face hub can be had: on this machine already, or else from the hub right now."""

import functools

from genrec.errors import GenrecError

_TIMEOUT_S = 3.0
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def check_hub_model(setting: str, name: str, revision: str | None) -> None:
    """Raises GenrecError, naming the setting and the fix, where loading the model could only fail."""
    problem = _problem(name, revision or "main")
    if problem:
        raise GenrecError(
            f"{setting}: {name}: {problem}; correct the name, fetch it while there is a connection "
            f"(hf download {name}), or give the folder of a model"
        )


@functools.cache
def _problem(name: str, revision: str) -> str | None:
    """What keeps a model from being loaded, or None. One small request where it is not in the local cache."""
    from huggingface_hub import HfApi, constants, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        cached = [
            isinstance(try_to_load_from_cache(name, f, revision=revision), str) for f in ("config.json", *_WEIGHTS)
        ]
        if cached[0] and any(cached[1:]):
            return None
        HfApi().get_hf_file_metadata(url=hf_hub_url(name, "config.json", revision=revision), timeout=_TIMEOUT_S)
    except HFValidationError:
        return "neither a folder nor a hub id like owner/name"
    except OfflineModeIsEnabled:
        return "not in the local cache, and HF_HUB_OFFLINE forbids to fetch it"
    except GatedRepoError:
        return "its owner has to let you in first, and HF_TOKEN must be a token of your account"
    except RevisionNotFoundError:
        return f"has no revision {revision}"
    except RemoteEntryNotFoundError:
        return "holds no config.json"
    except RepositoryNotFoundError:
        return f"there is no such model at {constants.ENDPOINT}, or HF_TOKEN gives no access to it"
    except (HTTPError, OSError) as error:
        return f"not in the local cache, and {constants.ENDPOINT} cannot be reached ({error})"
    return None

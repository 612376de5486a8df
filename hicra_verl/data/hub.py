"""The hub: which commit of a data set is read, fetching it, and asking what there is without fetching.

The commit is, in this order: what ``--revision`` says, what ``revisions.json`` beside the data says (so that a folder
stays as it is), what ``sources`` pins, the newest. ``HF_ENDPOINT`` and ``HF_TOKEN`` are huggingface_hub's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.data.problems import DataError
from hicra_verl.data.sources import Source
from hicra_verl.files import make_folder, write_json
from hicra_verl.records import read_json

LOCK = "revisions.json"


@dataclass(frozen=True)
class Listing:
    """What the hub holds of a data set.

    Attributes:
        revision: the commit that was listed (40 hex digits).
        files: the files that would be fetched, those to read first, with their sizes in bytes.
        others: how many files would not be fetched.
        newest: the hub's newest commit.
        changed: whether the newest commit has other files to read than this one, or of other content.
    """

    revision: str
    files: dict[str, int]
    others: int
    newest: str
    changed: bool

    @property
    def bytes(self) -> int:
        """Of all that would be fetched."""
        return sum(self.files.values())


def locked(folder: Path) -> dict[str, str]:
    """Data set to commit, as ``FOLDER/revisions.json`` holds them; empty if there is none.

    Raises:
        InputError: if the file cannot be read.
    """
    path = folder / LOCK
    entries = read_json(path, "delete it to begin anew") if path.exists() else {}
    return {str(name): str(commit) for name, commit in entries.items()}


def lock(folder: Path, name: str, commit: str) -> None:
    """Note the commit that was read."""
    write_json(make_folder(folder) / LOCK, dict(sorted({**locked(folder), name: commit}.items())))


def fetch(name: str, source: Source, revision: str | None) -> tuple[Path, str]:
    """Download a data set's files from the hub, or find them in its cache.

    Returns:
        Their folder, and the commit they are of.

    Raises:
        DataError: if they cannot be had; says why and what to do.
    """
    from huggingface_hub import snapshot_download

    patterns = [*source.files, *source.extra_files]
    with _explained(name, source, revision):
        folder = Path(snapshot_download(source.hub, repo_type="dataset", revision=revision, allow_patterns=patterns))
    return folder, folder.name


def list_files(name: str, source: Source, revision: str | None) -> Listing:
    """Ask the hub for its listing alone.

    Raises:
        DataError: if there is no such repository or revision, if it may not be read, or if it holds no file that would
            be read; says what to do.
    """
    from huggingface_hub import HfApi, RepoFile

    api = HfApi()
    with _explained(name, source, revision):
        newest = api.dataset_info(source.hub)
        if newest.gated:
            api.auth_check(source.hub, repo_type="dataset")
        commit = newest.sha if revision is None else api.dataset_info(source.hub, revision=revision).sha

        def tree(at: str | None) -> dict[str, RepoFile]:
            entries = api.list_repo_tree(source.hub, recursive=True, revision=at, repo_type="dataset")
            return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

        found = tree(commit)
        latest = found if newest.sha == commit else tree(newest.sha)
    files, extra = source.select(found), source.select(found, extra=True)
    lacking = source.files if not files else source.extra_files if not extra else ()
    if lacking:
        holds = ", ".join(sorted(found)[:10]) + (", …" if len(found) > 10 else "")
        raise DataError(
            f"{name}: {source.hub} at {str(commit)[:12]} holds nothing that matches {', '.join(lacking)}, but {holds}. "
            f"Its layout has changed: name an older commit (--revision {name}=COMMIT), or download it and give its "
            "file (--from FILE)."
        )
    read_then = source.select(latest) + source.select(latest, extra=True)
    changed = read_then != files + extra or any(latest[path].blob_id != found[path].blob_id for path in read_then)
    return Listing(
        str(commit),
        {path: found[path].size for path in files + extra},
        len(found) - len(files) - len(extra),
        str(newest.sha),
        changed,
    )


@contextmanager
def _explained(name: str, source: Source, revision: str | None) -> Iterator[None]:
    """Turn what huggingface_hub raises into a message with a remedy."""
    from httpx import HTTPError
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if not source.hub:
        raise DataError(f"{name}: is not on the hub; give its file (--from FILE)")
    page = f"{constants.ENDPOINT}/datasets/{source.hub}"
    advice = {
        GatedRepoError: f"{source.hub} is gated. Accept its terms at {page} and log in (`hf auth login`, or HF_TOKEN)",
        RepositoryNotFoundError: f"{page} is absent or private. Log in if it is yours to read (`hf auth login`)",
        RevisionNotFoundError: f"{source.hub} has no revision {revision}. Take its newest (--revision {name}=main)",
    }
    try:
        yield
    except (HfHubHTTPError, HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        known = next((text for kind, text in advice.items() if isinstance(error, kind)), None)
        why = known or f"{source.hub} cannot be fetched from {constants.ENDPOINT} ({reason}); try again"
        raise DataError(f"{name}: {why}, or give a local copy (--from FOLDER).") from error

"""Weights and training states on disk: safetensors with a JSON header, no pickle, checked when read.

A weights file carries in its metadata a JSON header (architecture, configuration, data, commit,
figures) and the SHA-256 of header and tensors. A training state is a folder of such files, none
larger than ``MAX_FILE_BYTES``, with an index written last: a state without an index does not exist.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from ..core.errors import CheckpointError, ConfigError
from ..core.system.held_folders import unfinished_folder
from ..core.system.reading import malformed

FORMAT = "joint-registration-weights-1"
STATE_FORMAT = "joint-registration-training-state-1"
MAX_FILE_BYTES = 15 * 2**20
#: Room for names and header in a file of ``MAX_FILE_BYTES``.
_SHARD_BYTES = MAX_FILE_BYTES - 2**18

Json = dict[str, Any]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Header:
    """What is known about weights.

    Args:
        architecture: name of the network, e.g. ``"avsm"``.
        configuration: every value that decides the layers and how they are run.
        data: what they were trained on.
        commit: of the code that trained them.
        figures: measurements, by name.
    """

    architecture: str
    configuration: Json = field(default_factory=dict)
    data: str = ""
    commit: str = ""
    figures: Json = field(default_factory=dict)


def save_weights(path: Path, module: nn.Module, header: Header, *, half: bool = False) -> str:
    """Write a module's tensors, whole or not at all; ``half`` stores float16.

    Returns:
        SHA-256 of the file, hexadecimal.
    """
    tensors = {name: _stored(value, half) for name, value in module.state_dict().items()}
    return _write(path, tensors, {"format": FORMAT, "header": _json(asdict(header))})


def read_header(path: Path) -> Header:
    """The header of a weights file, its checksum verified.

    Raises:
        CheckpointError: see :func:`read_tensors`.
    """
    return read_tensors(path)[0]


def read_tensors(path: Path, architecture: str | None = None) -> tuple[Header, dict[str, Tensor]]:
    """Header and tensors of a weights file.

    Args:
        path: the file. If there is a :func:`checksum_file` beside it, it must have that checksum.
        architecture: what it must have been made for; None for anything.

    Raises:
        CheckpointError: if the file is missing, truncated, changed, not ours, or for another architecture.
    """
    beside = checksum_file(path)
    checksum = beside.read_text(errors="replace").partition(" ")[0].strip() if beside.exists() else None
    metadata, tensors = _read(path, FORMAT, checksum)
    try:
        header = Header(**json.loads(metadata["header"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header cannot be read ({error}); get the file again") from error
    if architecture not in (None, header.architecture):
        raise CheckpointError(
            f"{path}: these weights are for {header.architecture!r}, but {architecture!r} is needed; "
            "choose another file"
        )
    return header, tensors


def load_network(
    path: Path, architecture: str, build: Callable[[Json], Network], device: torch.device | str = "cpu"
) -> tuple[Network, Header]:
    """A trained network in evaluation mode, and what is known about it.

    Args:
        path: a weights file.
        architecture: what it must have been made for.
        build: makes the untrained network from the header's configuration.
        device: where to compute.

    Raises:
        CheckpointError: see :func:`read_tensors`; or for tensors missing, left over or of another shape.
    """
    header, tensors = read_tensors(path, architecture)
    try:
        network = build(header.configuration)
    except ConfigError as error:
        raise CheckpointError(f"{path}: made by another version of this program ({error}); update it") from error
    fit_tensors(network, tensors, path)
    return network.to(device).eval(), header


def checksum_file(path: Path) -> Path:
    """Return where the checksum of a weights file is kept."""
    return path.with_name(f"{path.name}.sha256")


def fit_tensors(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``tensors`` into ``module``; names and shapes must agree exactly."""
    wanted = module.state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        raise CheckpointError(
            f"{path}: the tensors do not fit the network: {len(missing)} missing (e.g. {missing[:1]}), "
            f"{len(extra)} unknown (e.g. {extra[:1]})"
        )
    for name, value in wanted.items():
        if value.shape != tensors[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {tuple(tensors[name].shape)}, the network {tuple(value.shape)}"
            )
    module.load_state_dict({name: tensors[name].to(value.dtype) for name, value in wanted.items()})


# -- training states --------------------------------------------------------------------------------


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Json) -> None:
    """Write a training state in place of the one in ``folder``, safe to be killed at any moment.

    Args:
        folder: holds ``state.json`` and one sub-folder of shards a state.
        tensors: network, optimizer and random state.
        values: everything else, as JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = _index(folder) if (folder / "state.json").exists() else None
    number = int(old["number"]) + 1 if old else 0
    shards = folder / f"state-{number:06d}"
    if shards.exists():
        shutil.rmtree(shards)  # left by a run that was killed before it wrote the index
    shards.mkdir()
    files = {}
    for n, part in enumerate(_shards(tensors)):
        name = f"part-{n:03d}.safetensors"
        files[name] = _write(shards / name, part, {"format": STATE_FORMAT})
    index = {"format": STATE_FORMAT, "number": number, "files": files, "values": values}
    _replace(folder / "state.json", _json(index).encode())
    for other in folder.glob("state-*"):
        if other != shards:
            shutil.rmtree(other, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], Json]:
    """The state in ``folder``: tensors and values.

    Raises:
        CheckpointError: if there is none, or a part is missing or damaged.
    """
    index = _index(folder)
    with malformed(folder / "state.json", "a training state", "restore the folder from a copy"):
        tensors: dict[str, Tensor] = {}
        for name, sha256 in index["files"].items():
            tensors.update(_read(folder / f"state-{int(index['number']):06d}" / name, STATE_FORMAT, sha256)[1])
        values: Json = index["values"]
        return _joined(tensors), values


def _index(folder: Path) -> Json:
    path = folder / "state.json"
    try:
        index: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: there is no training state here; start without --resume") from error
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); restore the folder from a copy") from error
    if not isinstance(index, dict):
        raise CheckpointError(
            f"{path}: a JSON object is needed, but it holds {str(index)[:40]}; restore it from a copy"
        )
    if index.get("format") != STATE_FORMAT:
        raise CheckpointError(f"{path}: the format is {index.get('format')!r}, but {STATE_FORMAT!r} is needed")
    return index


def _shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Tensors dealt out to parts of at most ``_SHARD_BYTES``; a larger one is cut along its flat values."""
    parts: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, tensor in tensors.items():
        for piece_name, piece in _pieces(name, tensor.detach().cpu()):
            size = piece.numel() * piece.element_size()
            if used and used + size > _SHARD_BYTES:
                parts.append({})
                used = 0
            parts[-1][piece_name] = piece
            used += size
    return parts


def _pieces(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    if tensor.numel() * tensor.element_size() <= _SHARD_BYTES:
        return [(name, tensor.contiguous())]
    length = _SHARD_BYTES // tensor.element_size()
    shape = "x".join(map(str, tensor.shape))
    return [(f"{name}|{shape}|{n:04d}", p.clone()) for n, p in enumerate(torch.split(tensor.flatten(), length))]


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    joined = {name: value for name, value in tensors.items() if "|" not in name}
    cut: dict[tuple[str, str], list[Tensor]] = {}
    for key in sorted(name for name in tensors if "|" in name):
        name, shape, _ = key.split("|")
        cut.setdefault((name, shape), []).append(tensors[key])
    for (name, shape), pieces in cut.items():
        joined[name] = torch.cat(pieces).reshape([int(n) for n in shape.split("x")])
    return joined


# -- files ------------------------------------------------------------------------------------------


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() else value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over metadata, names, dtypes, shapes and bytes."""
    digest = hashlib.sha256(_json({k: v for k, v in metadata.items() if k != "sha256"}).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> str:
    metadata = {**metadata, "sha256": _digest(tensors, metadata)}
    content = safetensors_bytes(dict(tensors), metadata)
    _replace(path, content)
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` is either the old file or the whole new one."""
    try:
        with unfinished_folder(path.parent) as folder:
            temporary = folder / path.name
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); choose a writable folder with room") from error


def _read(path: Path, expected_format: str, sha256: str | None) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such weights file; reinstall the package or give another path")
    if sha256 is not None:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != sha256:
            raise CheckpointError(
                f"{path}: the SHA-256 is {found}, but {sha256} is expected: the file is damaged or was changed; "
                "get it again"
            )
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = dict(stream.metadata() or {})
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}); get it again") from error
    if metadata.get("format") != expected_format:
        raise CheckpointError(
            f"{path}: the format is {metadata.get('format')!r}, but {expected_format!r} is needed; choose another file"
        )
    if metadata.get("sha256") != _digest(tensors, metadata):
        raise CheckpointError(
            f"{path}: header and values do not fit the checksum inside: the file was changed; get it again"
        )
    return metadata, tensors

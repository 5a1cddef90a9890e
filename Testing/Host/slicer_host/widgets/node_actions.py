"""The entries below the nodes of a selector: create, rename, edit and delete, offered whatever is chosen."""

from __future__ import annotations

from typing import Any


def nodeActions(selector: Any) -> list[tuple[str, str]]:
    """Text and command ("create vtkMRML...") of each entry; a separator, without text, before them."""
    types = selector.nodeTypes
    label = selector.nodeTypeLabel(types[0] if len(types) == 1 else "")
    entries = [("Rename current " + label, "rename")] if selector.renameEnabled else []
    entries += [("Edit current " + label, "edit")] if selector.editEnabled else []
    for kind in types if selector.addEnabled else ():
        created = "Create new " + selector.nodeTypeLabel(kind)
        entries.append((created, f"create {kind}"))
        if selector.renameEnabled:
            entries.append((created + " as...", f"createAs {kind}"))
    entries += [("Delete current " + label, "delete")] if selector.removeEnabled else []
    return [("", ""), *entries] if entries else []

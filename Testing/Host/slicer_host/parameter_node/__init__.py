"""Stand-in for ``slicer.parameterNodeWrapper``, written from its documented behaviour."""

from __future__ import annotations

import types


def makeModule() -> types.ModuleType:
    """The module as scripted modules import it."""
    from . import annotations, connectors, serializers, wrapper

    module = types.ModuleType("slicer.parameterNodeWrapper")
    offered = {
        annotations: (
            "Choice Decimals Default IsInstance Label Maximum Minimum NotNone SingleStep Validator WithinRange "
            "findFirstAnnotation splitAnnotations unannotatedType"
        ),
        serializers: "parameterPack isParameterPack",
        wrapper: "parameterNodeWrapper isParameterNodeWrapper SlicerParameterNamePropertyName",
    }
    for source, names in offered.items():
        for name in names.split():
            setattr(module, name, getattr(source, name))
    module.createGuiConnector = connectors.createConnector
    module.isNodeOrUnionOfNodes = lambda kind: bool(serializers.nodeClasses(annotations.unannotatedType(kind)))
    module.getNodeTypes = lambda kind: tuple(
        c.__name__ for c in serializers.nodeClasses(annotations.unannotatedType(kind))
    )
    return module

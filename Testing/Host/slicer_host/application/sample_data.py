"""Stand-in for the Sample Data module's registry: what it lists, and what a click on an entry does."""

from __future__ import annotations

import types
from typing import Any

import slicer


class SampleDataSource:
    """One entry; a source given as text stands for one file, and is kept as lists of one."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
    ) -> None:
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        single = isinstance(uris, str)
        self.uris, self.fileNames, self.nodeNames = (
            [value] if single else list(value or ()) for value in (uris, fileNames, nodeNames)
        )
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        if not len(self.uris) == len(self.fileNames) == len(self.nodeNames):
            raise ValueError("All fields of sample data source must have the same length")


class SampleDataLogic:
    """Only the arguments that every Slicer since 5.6 takes; others would raise TypeError in some of them."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
    ) -> None:
        source = SampleDataSource(sampleName, None, uris, fileNames, nodeNames, customDownloader, thumbnailFileName)
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])


def makeModule() -> types.ModuleType:
    """The module as others import it."""
    module = types.ModuleType("SampleData")
    module.SampleDataSource = SampleDataSource
    module.SampleDataLogic = SampleDataLogic
    return module

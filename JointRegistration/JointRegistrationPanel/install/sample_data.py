"""The computed knee pair in Slicer's Sample Data module."""

from __future__ import annotations

from typing import Any

import slicer

from ..window import alive, showVolumes

CATEGORY = "Joint Registration"
#: Name and, since the registration takes no description, what stands below the picture.
SAMPLE = "Pair of knees (computed)"


def registerSource(thumbnail: str) -> None:
    """Offer the pair in Sample Data, under its own category. It is computed here: nothing is downloaded."""
    try:
        import SampleData
    except ImportError:  # an application without the module
        return
    if not hasattr(slicer.modules, "sampleDataSources"):
        slicer.modules.sampleDataSources = {}
    if any(source.sampleName == SAMPLE for source in slicer.modules.sampleDataSources.get(CATEGORY, [])):
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        uris="computed:knees",  # Sample Data wants one of each, also where nothing is downloaded
        fileNames="",
        nodeNames=SAMPLE,
        thumbnailFileName=thumbnail,
        customDownloader=addPair,
    )


def addPair(source: Any = None) -> list[Any]:
    """Add the pair to Slicer's scene and show it; what Sample Data calls. Returns the nodes."""
    from JointRegistrationMRML.scene.sample_pair import samplePairSteps

    pair = alive(samplePairSteps(slicer.mrmlScene))
    showVolumes(pair.fixed, pair.moving)
    return [pair.fixed, pair.moving]

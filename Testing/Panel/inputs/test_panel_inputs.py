"""What the panel says of its inputs and settings before a run, and what it saves with the scene."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Union, get_args, get_origin, get_type_hints

import pytest
import slicer

from JointRegistrationLib.core.config import DETAIL_WEIGHTS, DEVICES, METHODS, SIDES, SIMILARITIES, RegistrationConfig
from JointRegistrationMRML.scene.view_state import slicesOf
from Testing.Support.inspect_cases import publishKnown
from Testing.Support.panel_cases import Person


def test_the_first_sentence_says_what_to_do_and_the_tooltip_what_is_missing(person: Person) -> None:
    person.open()
    assert person.ui.introductionLabel.visible
    assert "Then press Register" in person.ui.introductionLabel.text
    assert not person.ui.registerButton.enabled
    assert person.ui.registerButton.toolTip == "<p>Choose a fixed volume.<br>Choose a moving volume.</p>"
    assert person.problems() == []
    assert not person.ui.reasonLabel.visible
    assert person.ui.estimateLabel.text == "given once both volumes are chosen"
    person.picture("empty")


def test_every_choice_of_a_node_may_be_empty(person: Person) -> None:
    """Slicer's wrapper writes None first, which a union of node classes takes only if it names it."""
    person.open()
    from JointRegistrationPanel.inputs import parameters

    hints = get_type_hints(parameters.PanelParameters)
    unions = {name: get_args(kind) for name, kind in hints.items() if get_origin(kind) is Union}
    assert {"fixedMask", "movingMask"} <= set(unions) <= set(parameters.NODE_PARAMETERS)
    assert [name for name, kinds in unions.items() if type(None) not in kinds] == []
    assert len(parameters.NODE_PARAMETERS) == 18


def test_two_volumes_enable_register_and_show_an_estimate(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    person.host.wait(lambda: "CPU, 2 threads" in person.ui.deviceFound.text)
    assert "memory" in person.ui.estimateLabel.text
    assert "about" in person.ui.estimateLabel.text
    assert not person.ui.introductionLabel.visible
    person.picture("ready")


def test_volumes_that_cannot_be_used_are_named_and_nothing_is_estimated(person: Person) -> None:
    person.open()
    fixed, moving = person.addVolumes()
    fixed.SetAndObserveImageData(None)
    fixed.SetName("Knee & <hip>")
    person.parameters.fixedVolume, person.parameters.movingVolume = fixed, moving
    person.host.wait(lambda: person.problems() == ["Knee & <hip>: the volume holds no voxels; load it first."])
    assert "Knee &amp; &lt;hip&gt;" in person.ui.registerButton.toolTip
    assert not person.ui.registerButton.enabled
    assert person.ui.estimateLabel.text == "not known for these volumes"


def test_a_gpu_is_shown_in_the_workers_words(person: Person) -> None:
    person.open("--device", "cuda=NVIDIA RTX 4000, 8 GB free;cpu=CPU, 8 threads")
    person.chooseVolumes()
    person.host.wait(lambda: person.ui.deviceFound.text == "NVIDIA RTX 4000, 8 GB free")
    person.host.wait(lambda: "the time is known after a first run" in person.ui.estimateLabel.text)
    person.picture("gpu")
    person.host.choose(person.ui.deviceComboBox, "Processor (CPU)")
    person.host.wait(lambda: person.ui.deviceFound.text == "CPU, 8 threads")
    person.host.choose(person.ui.deviceComboBox, "Apple GPU (MPS)")
    person.host.wait(lambda: "not found" in person.ui.deviceFound.text)


def test_the_same_volume_twice_cannot_be_registered(person: Person) -> None:
    person.open()
    fixed, _moving = person.chooseVolumes()
    person.host.choose(person.ui.movingVolumeSelector, fixed)
    assert not person.ui.registerButton.enabled
    assert "same volume" in person.ui.registerButton.toolTip
    assert person.ui.reasonLabel.visible
    assert person.ui.reasonLabel.text == "Fixed and moving are the same volume: choose two."
    person.picture("same")


def test_volumes_apart_are_a_problem_whose_button_centres_them_and_undo_takes_it_back(person: Person) -> None:
    person.open()
    _fixed, moving = person.addVolumes()
    moving.SetOrigin(500, 0, 0)
    person.parameters.fixedVolume, person.parameters.movingVolume = _fixed, moving
    person.host.wait(lambda: any("do not overlap" in text for text in person.problems()))
    assert not person.ui.registerButton.enabled
    assert "do not overlap" in person.ui.registerButton.toolTip
    person.picture("no-overlap")
    person.host.click(person.ui.remedy1Button)
    assert moving.GetParentTransformNode() is not None
    person.waitUntilReady()
    assert "was put onto the middle" in person.problems()[0]
    person.picture("centred")
    person.host.click(person.ui.remedy1Button)
    assert moving.GetParentTransformNode() is None


def test_a_lack_of_memory_is_solved_by_a_lower_resolution(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.open()
    from JointRegistrationPanel.run import estimate

    monkeypatch.setattr(estimate, "availableMemoryBytes", lambda: 441_000_000)
    person.chooseVolumes()
    person.host.wait(lambda: any("memory are needed" in text for text in person.problems()))
    assert person.ui.registerButton.enabled
    before = person.parameters.workingMillions
    if person.ui.remedy1Button.visible:
        person.host.click(person.ui.remedy1Button)
        assert person.parameters.workingMillions < before


def test_swap_exchanges_what_belongs_to_each_image(person: Person) -> None:
    person.open()
    fixed, moving = person.chooseVolumes()
    segments = person.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    person.parameters.movingSegmentation = segments
    start = person.scene.AddNewNodeByClass("vtkMRMLTransformNode", "an earlier run's")
    person.parameters.initialTransform = person.parameters.startTransform = start
    person.host.processEvents()
    assert person.ui.startTransformSelector.currentNode() is start
    person.host.click(person.ui.swapButton)
    assert person.parameters.initialTransform is None
    assert person.parameters.startTransform is None
    assert person.ui.fixedVolumeSelector.currentNode() is moving
    assert person.ui.movingVolumeSelector.currentNode() is fixed
    assert person.parameters.fixedSegmentation is segments
    assert person.parameters.movingSegmentation is None


def test_sample_button_adds_the_pair_and_chooses_it(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from JointRegistrationMRML.scene import sample_pair

    person.open()
    shown = []

    def add(scene: object) -> Generator[None, None, sample_pair.SamplePair]:
        yield
        shown.append(person.ui.stageLabel.text)
        fixed, moving = person.addVolumes()
        segments = [scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("a", "b")]
        return sample_pair.SamplePair(fixed, moving, *segments)

    monkeypatch.setattr(sample_pair, "samplePairSteps", add)
    person.fit()
    person.host.click(person.ui.sampleButton)
    assert "Making two knees" in shown[0]
    assert person.parameters.fixedVolume.GetName() == "Fixed knee"
    assert person.parameters.movingSegmentation.GetName() == "b"
    assert not person.ui.sampleRow.visible


def test_why_there_is_no_sample_pair_is_said_below_its_button(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from JointRegistrationLib.core.errors import ResourceError
    from JointRegistrationMRML.scene import sample_pair

    def fail(scene: object) -> Generator[None, None, None]:
        yield
        raise ResourceError("SimpleITK is needed to compute the sample knees; install it")

    person.open()
    monkeypatch.setattr(sample_pair, "samplePairSteps", fail)
    person.fit()
    person.host.click(person.ui.sampleButton)
    assert person.problems() == []
    assert person.ui.sampleProblemFrame.visible
    assert person.ui.sampleProblemText.text == "SimpleITK is needed to compute the sample knees; install it."
    person.picture("no-sample")
    person.addVolumes()
    person.host.processEvents()
    assert not person.ui.sampleProblemFrame.visible


def test_method_shows_its_explanation_and_only_the_networks_are_refined(person: Person) -> None:
    person.open()
    for row in range(person.ui.methodComboBox.count):
        person.host.choose(person.ui.methodComboBox, row)
        text = person.ui.methodExplanation.text
        assert text.endswith(".")
        assert len(text) > 15
        assert person.ui.refineSpinBox.enabled == (person.parameters.method == "avsm")
    assert person.ui.methodComboBox.count == len(METHODS)


def test_every_choice_of_the_library_is_offered_with_words_of_our_own(person: Person) -> None:
    person.open()
    from JointRegistrationPanel.inputs import choices

    offered = (
        choices.METHOD_CHOICES,
        choices.DEVICE_CHOICES,
        choices.SIDE_CHOICES,
        choices.SIMILARITY_CHOICES,
        choices.DETAIL_CHOICES,
    )
    for names, labels in zip((METHODS, DEVICES, SIDES, SIMILARITIES, DETAIL_WEIGHTS), offered, strict=True):
        assert set(labels) == set(names)
        assert not set(labels.values()) & set(names)


def test_first_settings_are_the_librarys_and_every_control_reaches_the_configuration(person: Person) -> None:
    person.open()
    from JointRegistrationPanel.inputs.parameters import configFrom, parametersFromConfig

    assert configFrom(person.parameters) == RegistrationConfig()
    person.openSection("advanced")
    person.fit()
    person.picture("advanced")
    person.host.choose(person.ui.sideComboBox, "Left knee")
    person.host.choose(person.ui.similarityComboBox, "Correlation of the whole image")
    person.host.choose(person.ui.detailComboBox, "Smooth: same knee, noise")
    person.host.click(person.ui.checkSideCheckBox)
    for name, text in (("refine", "7"), ("affineSteps", "3"), ("vsvfSteps", "4"), ("regularity", "2.5")):
        person.host.type(getattr(person.ui, f"{name}SpinBox"), text)
    person.host.type(person.ui.resolutionSpinBox, "1.25")
    person.host.type(person.ui.landmarkWeightSpinBox, "0.125")
    config = configFrom(person.parameters)
    assert (config.network.side, config.network.refine) == ("left", 7)
    assert (config.network.affine_steps, config.network.vsvf_steps) == (3, 4)
    assert config.vsvf.similarity.name == config.lddmm.similarity.name == "ncc"
    assert (config.vsvf.regularity, config.preprocess.max_working_voxels) == (2.5, 1_250_000)
    assert config.vsvf.velocity.weights == DETAIL_WEIGHTS["smooth"] != DETAIL_WEIGHTS["fine"]
    assert config.check_side is False
    assert config.landmarks == dataclasses.replace(RegistrationConfig().landmarks, weight=0.125)
    shown = parametersFromConfig(config)
    assert (shown["workingMillions"], shown["detail"]) == (1.25, "smooth")
    person.host.click(person.ui.defaultsButton)
    assert configFrom(person.parameters) == RegistrationConfig()


def test_a_saved_scene_brings_the_panel_back(person: Person, tmp_path: Path) -> None:
    person.open()
    fixed, moving = person.chooseVolumes()
    person.host.choose(person.ui.methodComboBox, "Optimisation")
    person.host.choose(person.ui.deviceComboBox, "Processor (CPU)")
    person.openSection("advanced")
    person.fit()
    person.host.type(person.ui.landmarkWeightSpinBox, "0.5")
    person.openSection("outputs")
    person.fit()
    person.host.click(person.ui.jacobianCheckBox)
    person.picture("outputs")
    person.saveAndClose(tmp_path, fixed, moving)
    assert person.ui.fixedVolumeSelector.currentNode() is None
    assert person.parameters.method == RegistrationConfig().method
    person.scene.SetURL(str(tmp_path / "scene.mrml"))
    assert person.scene.Connect()
    person.waitUntilReady()
    assert person.ui.fixedVolumeSelector.currentNode().GetName() == "Fixed knee"
    assert person.ui.movingVolumeSelector.currentNode().GetName() == "Moving knee"
    assert person.ui.methodComboBox.currentText == "Optimisation"
    assert person.ui.deviceComboBox.currentText == "Processor (CPU)"
    assert person.ui.landmarkWeightSpinBox.value == 0.5
    assert not person.ui.jacobianCheckBox.checked
    assert not person.ui.jacobianSelector.enabled


def test_parameters_and_input_nodes_have_the_same_names(person: Person) -> None:
    person.open()
    from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes
    from JointRegistrationPanel.inputs.parameters import inputNodes, wants

    nodes = inputNodes(person.parameters)
    assert not any(getattr(nodes, field.name) for field in dataclasses.fields(InputNodes))
    for field in dataclasses.fields(OutputNodes):
        assert isinstance(wants(person.parameters, field.name), bool)
        assert getattr(person.parameters, f"{field.name}Node") is None


def test_the_module_is_listed_and_offers_the_sample_data(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from JointRegistrationMRML.scene import sample_pair

    person.open()
    module = slicer.modules.jointregistration
    assert (module.title, tuple(module.categories), module.hidden) == ("Joint Registration", ("Registration",), False)
    assert "Register" in module.helpText
    person.host.finishStartup()
    (source,) = slicer.modules.sampleDataSources["Joint Registration"]
    assert source.sampleName == "Pair of knees (computed)"
    assert Path(source.thumbnailFileName).is_file()

    fixed, moving = person.addVolumes()

    def add(scene: object) -> Generator[None, None, sample_pair.SamplePair]:
        yield
        return sample_pair.SamplePair(fixed, moving, None, None)

    monkeypatch.setattr(sample_pair, "samplePairSteps", add)
    assert source.customDownloader(source) == [fixed, moving]
    shown = {(view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) for view in slicesOf(person.scene)}
    assert shown == {(fixed.GetID(), moving.GetID())}


def test_a_registration_of_a_scene_that_is_opened_is_interpolated_as_it_was(person: Person, tmp_path: Path) -> None:
    person.host.loadModule("JointRegistration")
    person.host.finishStartup()
    made = publishKnown(person.scene).nodes
    person.saveAndClose(tmp_path, made.transform, made.inverseTransform)
    person.scene.SetURL(str(tmp_path / "scene.mrml"))
    person.scene.Connect()
    for name in ("Moving knee to Fixed knee", "Fixed knee to Moving knee"):
        grid = person.scene.GetFirstNodeByName(name).GetTransformFromParentAs("vtkOrientedGridTransform")
        assert grid.GetInterpolationModeAsString() == "Linear"
        assert grid.GetInverseTolerance() < 0.001


def test_a_panel_that_goes_while_the_pair_is_made_is_left_alone(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from JointRegistrationMRML.scene import sample_pair

    panel = person.open()

    def add(scene: object) -> Generator[None, None, sample_pair.SamplePair]:
        yield
        panel.cleanup()
        return sample_pair.SamplePair(*person.addVolumes(), None, None)

    monkeypatch.setattr(sample_pair, "samplePairSteps", add)
    person.host.click(person.ui.sampleButton)
    assert person.parameters.fixedVolume is None

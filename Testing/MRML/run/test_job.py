"""A run in the worker process, from nodes to nodes: its course, its cancel, and the scene under it."""

from __future__ import annotations

import dataclasses
import os
import sys

import numpy as np
import pytest
import slicer

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import (
    InputError,
    JointRegistrationError,
    OutOfMemory,
    RegistrationCancelled,
    ResourceError,
)
from JointRegistrationLib.core.progress import Progress
from JointRegistrationLib.worker.client import State
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, segmentationFromLabels
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationMRML.run import worker_job as jobModule
from JointRegistrationMRML.run.job import RegistrationJob
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions
from JointRegistrationMRML.run.runner import WorkerRunner
from JointRegistrationMRML.run.worker_job import JobState
from JointRegistrationMRML.scene.content import contentState
from JointRegistrationMRML.scene.transaction import discard, nodesOf
from Testing.Support.at_once import gridTransformNode
from Testing.Support.known_scene import FIXED_GRID, addVolume, sceneState
from Testing.Support.stub_worker import STAGES, stub_command
from Testing.Support.worker_cases import JobBench, Recorder, StubWorker, idleWorker, stubWorker  # noqa: F401


class Listener:
    def __init__(self):
        self.stages, self.fractions = [], []
        self.outputs = self.error = self.message = None

    def onProgress(self, progress):
        self.stages.append(progress.stage)
        self.fractions.append(progress.fraction)

    def proceed(self):
        self.stages.append("result")

    def onDone(self, outputs):
        self.outputs = outputs

    def onFailed(self, error):
        if isinstance(error, RegistrationCancelled):
            self.message = str(error)
        else:
            self.error = error

    @property
    def ends(self):
        return [end for end in (self.outputs, self.error, self.message) if end is not None]


class Bench(JobBench):
    """A scene with two knees, and the folder that jobs use."""

    def __init__(self, knee, root, worker):
        super().__init__(knee.scene, worker)
        self.knee, self.root, self.transport = knee, root, worker.transport

    def job(self, behaviour="", options=None, reuse=None, **config):
        self.knee.nodes.fixed.SetName(behaviour)
        self.listener = Listener()
        options, reuse = options or OutputOptions(), reuse or OutputNodes()
        config = RegistrationConfig(**config)
        listener = self.listener
        return RegistrationJob(
            self.scene, self.knee.nodes, config, options, reuse, self.client, listener, listener.proceed
        )

    def adding(self, behaviour="", **more):
        """A job whose result is there, but not in the scene yet."""
        job = self.prepared(behaviour, **more)
        self.untilResult(job)
        return job

    def started(self, behaviour="", **more):
        job = self.job(behaviour, **more)
        job.start()
        return job

    def prepared(self, behaviour="", **more):
        return self.handedOver(self.job(behaviour, **more))

    def untilStage(self, stage):
        self.until(lambda: stage in self.listener.stages)

    def folders(self):
        return list(self.root.iterdir())


@pytest.fixture
def bench(knee, tmp_path, idleWorker):  # noqa: F811
    return Bench(knee, tmp_path, idleWorker)


def fullState(scene):
    """Every node as text (its attributes and references), and the state of its content."""
    nodes = scene.GetNodes()
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return {node.GetID(): (_asText(node), contentState(node)) for node in found}


def _asText(node):
    passing = ("MTime", "Modified Time", "Reference Count", "0x")
    return [line for line in str(node).splitlines() if not any(word in line for word in passing)]


def test_a_job_puts_its_results_into_the_scene_and_leaves_no_folder(bench):
    job = bench.prepared()
    assert job.state is JobState.RUNNING
    bench.untilOver(job)
    assert job.state is JobState.FINISHED
    assert bench.listener.ends == [bench.listener.outputs]
    nodes = bench.listener.outputs.nodes
    for field in dataclasses.fields(OutputNodes):
        assert getattr(nodes, field.name).GetScene() is bench.scene, field.name
    np.testing.assert_array_equal(
        imageFromVolume(nodes.warpedVolume).array, imageFromVolume(bench.knee.nodes.fixed).array
    )
    assert bench.folders() == []


def test_progress_names_every_stage_and_grows(bench):
    bench.client.close()
    bench.untilOver(bench.prepared())
    listener = bench.listener
    assert listener.fractions == sorted(listener.fractions)
    assert listener.fractions[0] >= 0 and listener.fractions[-1] <= 1
    stages = list(dict.fromkeys(listener.stages))
    assert stages == [
        "preparing",
        "starting the registration process",
        *STAGES[1:],
        "segments",
        "adding the results",
        "result",
    ]


def test_nothing_more_is_told_of_a_run_that_is_being_cancelled(bench):
    job = bench.prepared("wait in affine")
    bench.untilStage("affine")
    told = list(bench.listener.stages)
    job.cancel()
    job.onProgress(Progress("affine", 0.9))
    assert bench.listener.stages == told
    bench.untilOver(job)
    assert (bench.listener.stages, bench.listener.ends) == (told, [RegistrationJob.texts.cancelled])


def test_second_run_is_on_the_warm_worker_and_may_reuse_the_nodes(bench):
    first = bench.prepared()
    bench.untilOver(first)
    nodes, pid = bench.listener.outputs.nodes, bench.client.ready.pid
    before = {identifier for identifier, _ in sceneState(bench.scene)}
    bench.untilOver(bench.prepared(reuse=nodes))
    assert "starting the registration process" not in bench.listener.stages
    assert bench.listener.outputs.nodes == nodes
    assert bench.client.ready.pid == pid
    assert {identifier for identifier, _ in sceneState(bench.scene)} == before


def test_inputs_are_read_one_at_a_time_and_before_anything_is_written(bench):
    job = bench.started("wait")
    reading = 0
    while job.step() and bench.folders() == []:
        reading += 1
    assert reading >= 6  # two volumes, two masks, two layers of segments
    assert len(bench.folders()) == 1
    job.cancel()
    assert bench.folders() == []


def test_segments_under_a_bent_transform_are_carried_too(bench):
    parent = gridTransformNode(np.full((*FIXED_GRID.shape, 3), 2.0, np.float32), FIXED_GRID, "bend")
    segmentation = bench.knee.nodes.movingSegmentation
    segmentation.SetAndObserveTransformNodeID(bench.scene.AddNode(parent).GetID())
    bench.untilOver(bench.prepared())
    found = labelsFromSegmentation(bench.listener.outputs.nodes.warpedSegmentation, FIXED_GRID)
    expected = labelsFromSegmentation(segmentation, FIXED_GRID)  # the stub's map is the identity
    for here, there in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(here.labels, there.labels)
        assert there.labels.sum() > 50
    assert "segments" not in bench.listener.stages


def test_segments_are_carried_by_the_worker_and_compared(bench):
    labels = labelsFromSegmentation(bench.knee.nodes.movingSegmentation, FIXED_GRID)
    fixed = bench.scene.AddNode(segmentationFromLabels(labels, "fixed labels"))
    bench.knee.nodes = dataclasses.replace(bench.knee.nodes, fixedSegmentation=fixed)
    bench.untilOver(bench.prepared())
    assert "segments" in bench.listener.stages
    found = labelsFromSegmentation(bench.listener.outputs.nodes.warpedSegmentation, FIXED_GRID)
    for here, there in zip(found.layers, labels.layers, strict=True):
        np.testing.assert_array_equal(here.labels, there.labels)
    assert [(entry.before, entry.after) for entry in bench.listener.outputs.overlaps] == [(1.0, 1.0)] * 3


def test_a_segment_without_a_name_is_carried_and_goes_by_its_id(bench):
    segmentation = bench.knee.nodes.movingSegmentation.GetSegmentation()
    segmentation.GetSegment("bone").SetName(None)
    bench.untilOver(bench.prepared())
    warped = bench.listener.outputs.nodes.warpedSegmentation.GetSegmentation()
    assert [warped.GetSegment(name).GetName() for name in warped.GetSegmentIDs()] == [
        "bone",
        "Femoral cartilage",
        "Lesion",
    ]


def test_unfit_nodes_are_refused_before_anything_is_started(bench):
    bench.client.close()
    bench.knee.nodes = InputNodes(bench.knee.nodes.fixed, bench.knee.nodes.fixed)
    job = bench.job("knee")
    with pytest.raises(InputError, match="knee: fixed and moving are the same volume"):
        job.start()
    assert (job.state, bench.client.state, bench.folders()) == (JobState.NEW, State.STOPPED, [])


# -- cancel and failure: the scene is as it was -----------------------------------------------------------


def test_cancel_while_preparing(bench):
    job = bench.started()
    before = fullState(bench.scene)
    assert job.step()
    job.cancel()
    assert not job.step()
    assert (job.state, len(bench.listener.ends)) == (JobState.CANCELLED, 1)
    assert "cancelled" in bench.listener.message
    assert fullState(bench.scene) == before
    assert bench.folders() == []


def test_cancel_while_the_worker_starts(bench):
    bench.client.close()
    job = bench.prepared()
    before = fullState(bench.scene)
    job.cancel()
    assert job.state is JobState.CANCELLED
    bench.until(lambda: bench.client.state is State.READY)
    assert (fullState(bench.scene), bench.folders(), len(bench.listener.ends)) == (before, [], 1)


@pytest.mark.parametrize("behaviour, stage", [*(("wait", stage) for stage in STAGES), ("hang", "affine")])
def test_cancel_in_a_stage_leaves_the_scene_as_it_was(bench, behaviour, stage):
    job = bench.prepared(f"{behaviour} in {stage}")
    before = fullState(bench.scene)
    bench.until(lambda: bench.client.state is State.BUSY)
    bench.untilStage(stage)
    job.cancel()
    bench.untilOver(job)
    assert (job.state, len(bench.listener.ends)) == (JobState.CANCELLED, 1)
    assert fullState(bench.scene) == before
    assert bench.folders() == []


@pytest.mark.parametrize("stage", STAGES)
def test_death_of_the_worker_in_a_stage_fails_the_job(bench, stage):
    job = bench.prepared(f"die in {stage}")
    before = fullState(bench.scene)
    bench.untilOver(job)
    assert job.state is JobState.FAILED
    assert isinstance(bench.listener.error, ResourceError) and "a last word" in str(bench.listener.error)
    assert (fullState(bench.scene), bench.folders(), len(bench.listener.ends)) == (before, [], 1)


def test_death_of_the_worker_while_preparing_does_not_matter(bench):
    job = bench.started()
    bench.until(lambda: bench.client.state is State.READY)
    os.kill(bench.client.ready.pid, 9)
    bench.until(lambda: bench.client.state is State.STOPPED)
    while job.step():
        pass
    bench.untilOver(job)
    assert job.state is JobState.FINISHED


def test_failure_of_the_run_reaches_the_listener(bench):
    job = bench.prepared("refuse")
    before = fullState(bench.scene)
    bench.untilOver(job)
    assert type(bench.listener.error) is InputError and "moving knee: nothing to align" in str(bench.listener.error)
    assert fullState(bench.scene) == before
    assert bench.folders() == []


@pytest.mark.parametrize(
    "error, kind, words",
    [(MemoryError(), OutOfMemory, "memory"), (KeyError("x"), JointRegistrationError, "see the log")],
)
def test_failure_while_publishing_leaves_the_scene_as_it_was(bench, monkeypatch, error, kind, words):
    from JointRegistrationMRML.run import publish

    def failing(*args, **kwargs):
        real(*args, **kwargs)
        raise error

    real = publish._intoFolder
    monkeypatch.setattr(publish, "_intoFolder", failing)
    job = bench.prepared()
    before = sceneState(bench.scene)
    bench.untilOver(job)
    assert job.state is JobState.FAILED and words in str(bench.listener.error)
    assert type(bench.listener.error) is kind
    assert (sceneState(bench.scene), bench.folders()) == (before, [])


def test_a_full_disk_fails_the_job(bench, monkeypatch):
    def full(folder, job):
        yield 0.5
        raise ResourceError("no space")

    monkeypatch.setattr(jobModule, "job_steps", full)
    job = bench.prepared()
    assert (job.state, str(bench.listener.error), bench.folders()) == (JobState.FAILED, "no space", [])


@pytest.mark.parametrize(
    "error, kind, words",
    [(MemoryError(), OutOfMemory, "memory ran out while the volumes were read"), (KeyError("x"), None, "see the log")],
)
def test_whatever_fails_while_inputs_are_read_ends_the_job(bench, monkeypatch, error, kind, words):
    def failing(folder, job):
        yield 0.5
        raise error

    monkeypatch.setattr(jobModule, "job_steps", failing)
    job = bench.started()
    before = fullState(bench.scene)
    while job.step():
        pass
    assert (job.state, job.active) == (JobState.FAILED, False)
    assert type(bench.listener.error) is (kind or JointRegistrationError)
    assert words in str(bench.listener.error)
    assert (fullState(bench.scene), bench.folders(), len(bench.listener.ends)) == (before, [], 1)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_20_kills_of_the_worker_leave_the_scene_and_the_folders_as_they_were(bench):
    """``JOINTREG_FAULTS`` multiplies the number; ``make faults`` sets it."""
    for number in range(20 * int(os.environ.get("JOINTREG_FAULTS", "1"))):
        stage = STAGES[number % len(STAGES)]
        job = bench.prepared(f"wait in {stage}")
        before = fullState(bench.scene)
        bench.until(lambda: bench.client.state is State.BUSY)
        bench.untilStage(stage)
        os.kill(bench.client.ready.pid, 9)
        bench.untilOver(job)
        assert job.state is JobState.FAILED and "ended at its work" in str(bench.listener.error)
        assert (fullState(bench.scene), bench.folders(), len(bench.listener.ends)) == (before, [], 1)
    bench.untilOver(bench.prepared())
    assert bench.folders() == []


def test_a_second_job_at_the_same_time_is_refused(bench):
    job = bench.prepared("wait")
    first = bench.listener
    other = bench.prepared("wait")
    assert other.state is JobState.FAILED and "running already" in str(bench.listener.error)
    assert job.active and first.ends == []
    job.cancel()
    bench.untilOver(job)


def test_out_of_memory_is_noted_in_the_result(bench):
    job = bench.prepared("gpu", device="cuda")
    bench.untilOver(job)
    notes = bench.listener.outputs.result.notes
    assert any("ran on the CPU" in note for note in notes)


# -- the results come in steps, all or none ------------------------------------------------------------------


def _stepsOfAdding(bench):
    """How many steps a job takes to add its results; they are taken away again."""
    job, count = bench.adding(), 1
    while job.step():
        count += 1
    discard(bench.scene, bench.listener.outputs.record)
    return count


def test_a_cancel_between_any_two_steps_of_adding_takes_everything_back(bench):
    count = _stepsOfAdding(bench)
    assert count > 2 * len(dataclasses.fields(OutputNodes))  # each is built, and each is added, in a step of its own
    options, seen = OutputOptions(showMovingTransformed=True), set()
    for number in range(count):
        job = bench.adding(options=options)
        before = fullState(bench.scene)
        for _ in range(number):
            assert job.step()
        seen.add(len(fullState(bench.scene)) - len(before))
        assert not bench.scene.IsBatchProcessing()
        job.cancel()
        assert (job.state, job.step(), len(bench.listener.ends)) == (JobState.CANCELLED, False, 1)
        assert "The scene is as it was" in bench.listener.message
        assert (fullState(bench.scene), bench.folders()) == (before, [])
    assert len(seen) > len(dataclasses.fields(OutputNodes))  # the nodes came one after the other


def _steppedIntoTheScene(bench, job):
    """Go on until some of the results, not all, are in the scene."""
    before = bench.scene.GetNumberOfNodes()
    while bench.scene.GetNumberOfNodes() < before + 3:
        assert job.step()


def test_a_cancel_while_reused_nodes_are_filled_gives_them_their_old_content_back(bench):
    bench.untilOver(bench.prepared())
    reused = bench.listener.outputs.nodes
    job = bench.adding(reuse=reused)
    before, state = sceneState(bench.scene), contentState(reused.warpedVolume)
    while contentState(reused.warpedVolume) == state:
        assert job.step()
    job.cancel()
    assert (sceneState(bench.scene), contentState(reused.warpedVolume)) == (before, state)


def test_what_others_add_in_a_pause_stays_after_a_cancel_and_after_a_discard(bench):
    for ends in (RegistrationJob.cancel, None):
        job = bench.adding()
        _steppedIntoTheScene(bench, job)
        mine = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
        if ends is not None:
            ends(job)
        while job.step():
            pass
        if ends is None:
            discard(bench.scene, bench.listener.outputs.record)
            assert bench.listener.outputs.nodes.transform.GetScene() is None
        assert mine.GetScene() is bench.scene


def test_closing_the_scene_between_two_steps_of_adding_is_safe(bench):
    job = bench.adding()
    _steppedIntoTheScene(bench, job)
    bench.scene.Clear(False)
    after = fullState(bench.scene)
    assert (job.state, job.step(), len(bench.listener.ends)) == (JobState.CANCELLED, False, 1)
    assert bench.listener.message == "The scene was closed, so the registration was cancelled."
    assert (fullState(bench.scene), bench.folders(), bench.scene.IsBatchProcessing()) == (after, [], False)
    assert not [node for node in after if "Transform" in node or "Volume1" in node]


def test_removing_an_input_between_two_steps_of_adding_takes_everything_back(bench):
    moving = bench.knee.nodes.moving
    job = bench.adding(options=OutputOptions(showMovingTransformed=True))
    before = fullState(bench.scene)
    _steppedIntoTheScene(bench, job)
    bench.scene.RemoveNode(moving)
    assert job.state is JobState.CANCELLED and "was removed from the scene" in bench.listener.message
    assert set(fullState(bench.scene)) < set(before)


def test_removing_a_result_between_two_steps_of_adding_fails_the_job(bench):
    job = bench.adding()
    before = fullState(bench.scene)
    _steppedIntoTheScene(bench, job)
    transform = next(node for node in nodesOf(bench.scene) if node.GetID() not in before)
    name = transform.GetName()
    bench.scene.RemoveNode(transform)
    while job.step():
        pass
    assert job.state is JobState.FAILED and f"{name} was removed from the scene" in str(bench.listener.error)
    assert fullState(bench.scene) == before


# -- the scene changes under the job --------------------------------------------------------------------------


def _inputs(bench):
    nodes = bench.knee.nodes
    mask = addVolume(bench.scene, np.ones(FIXED_GRID.shape, np.uint8), FIXED_GRID, "mask")
    bench.knee.nodes = dataclasses.replace(nodes, fixedMask=mask)
    return bench.knee.nodes


@pytest.mark.parametrize(
    "which, phase",
    [
        ("fixed", "preparing"),
        ("moving", "starting"),
        ("fixed", "running"),
        ("moving", "running"),
        ("movingSegmentation", "running"),
        ("fixedMask", "running"),
    ],
)
def test_removing_an_input_cancels_the_job(bench, which, phase):
    node = getattr(_inputs(bench), which)
    if phase == "starting":
        bench.client.close()
    job = bench.started("wait") if phase == "preparing" else bench.prepared("wait")
    if phase == "running":
        bench.untilStage("affine")
    name = node.GetName()
    bench.scene.RemoveNode(node)
    after = fullState(bench.scene)
    bench.untilOver(job)
    assert job.state is JobState.CANCELLED
    assert f"{name} was removed from the scene" in bench.listener.message
    assert (fullState(bench.scene), bench.folders(), len(bench.listener.ends)) == (after, [], 1)


def test_removing_a_chosen_output_cancels_the_job(bench):
    output = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "my warped")
    job = bench.prepared("wait", reuse=OutputNodes(warpedVolume=output))
    bench.scene.RemoveNode(output)
    bench.untilOver(job)
    assert "my warped was removed" in bench.listener.message


def test_removing_another_node_does_not_matter(bench):
    other = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    job = bench.prepared()
    bench.scene.RemoveNode(other)
    bench.untilOver(job)
    assert job.state is JobState.FINISHED


@pytest.mark.parametrize("stage", ["starting", "affine"])
def test_closing_the_scene_cancels_the_job(bench, stage):
    if stage == "starting":
        bench.client.close()
    job = bench.prepared("wait")
    if stage == "affine":
        bench.untilStage("affine")
    bench.scene.Clear(False)
    after = fullState(bench.scene)
    bench.untilOver(job)
    assert bench.listener.message == "The scene was closed, so the registration was cancelled."
    assert (fullState(bench.scene), bench.folders(), len(bench.listener.ends)) == (after, [], 1)


def test_a_job_that_is_over_does_not_watch_the_scene_any_more(bench):
    scene = slicer.vtkMRMLScene
    job = bench.prepared()
    assert bench.scene.HasObserver(scene.StartCloseEvent)
    bench.untilOver(job)
    bench.scene.Clear(False)
    assert (job.state, bench.listener.message) == (JobState.FINISHED, None)


# -- the synchronous form ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runner():
    runner = WorkerRunner(stub_command())
    yield runner
    runner.close()


def test_synchronous_form_registers_in_the_worker_and_keeps_it_warm(bench, runner):
    pids, seen = [], []
    for _ in range(2):
        outputs = registerVolumes(
            bench.scene, bench.knee.nodes, runner=runner, progress=lambda *step: seen.append(step[0])
        )
        pids.append(outputs.result.timings_s["total"])
    assert pids[0] == pids[1]
    assert [stage for stage in seen if stage in STAGES] == [*STAGES, *STAGES]
    assert bench.folders() == []


def test_synchronous_form_raises_what_the_run_raises(bench, runner):
    before = sceneState(bench.scene)
    for behaviour, kind, words in (
        ("refuse", InputError, "nothing to align"),
        ("die", ResourceError, "a last word"),
        ("memory", OutOfMemory, "ran out"),
    ):
        bench.knee.nodes.fixed.SetName(behaviour)
        with pytest.raises(kind, match=words):
            registerVolumes(bench.scene, bench.knee.nodes, runner=runner)
    bench.knee.nodes.fixed.SetName("fixed knee")
    assert (sceneState(bench.scene), bench.folders()) == (before, [])
    assert registerVolumes(bench.scene, bench.knee.nodes, runner=runner).nodes.transform is not None


def test_synchronous_form_is_cancelled_although_the_worker_does_not_listen(bench, runner):
    bench.knee.nodes.fixed.SetName("hang")
    with pytest.raises(RegistrationCancelled):
        registerVolumes(bench.scene, bench.knee.nodes, runner=runner, cancelled=lambda: True)
    assert bench.folders() == []


def test_an_error_in_the_caller_s_progress_ends_the_worker(bench, runner):
    def progress(stage, fraction, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registerVolumes(bench.scene, bench.knee.nodes, runner=runner, progress=progress)
    assert not runner._transport.running
    assert bench.folders() == []

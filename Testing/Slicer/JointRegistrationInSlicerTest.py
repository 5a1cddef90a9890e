"""What only the real application can tell. Run by ctest, or in Slicer's Python console:

    slicer.testing.runUnitTest(["/path/to/Testing/Slicer"], "JointRegistrationInSlicerTest")

Every test takes seconds; none downloads or installs anything.
"""

import sys
import unittest

import slicer


class JointRegistrationInSlicerTest(unittest.TestCase):
    """The module in desktop Slicer, with a stub in place of the process that registers."""

    def setUp(self):
        from JointRegistration import addLibraryToPath

        addLibraryToPath()
        slicer.mrmlScene.Clear()

    def openedPanel(self):
        """A second panel with the stub as its worker; the module's own and the worker of that stay as they are."""
        from JointRegistration import JointRegistrationLogic
        from JointRegistrationPanel.selftests import tests
        from JointRegistrationPanel.widget import Panel

        path = slicer.modules.jointregistration.path.replace(
            "JointRegistration.py", "Resources/UI/JointRegistration.ui"
        )
        worker = tests.stubWorker()
        panel = Panel(path, JointRegistrationLogic().getParameterNode, slicer.mrmlScene, worker)
        self.addCleanup(worker.close)
        self.addCleanup(panel.cleanup)
        return panel

    def test_module_is_listed(self):
        module = slicer.modules.jointregistration
        self.assertEqual(module.title, "Joint Registration")
        self.assertFalse(module.hidden)

    def test_opening_imports_no_torch(self):
        hadTorch = "torch" in sys.modules
        self.openedPanel()
        self.assertEqual("torch" in sys.modules, hadTorch)

    def test_every_control_is_tied_to_its_parameter(self):
        panel = self.openedPanel()
        parameters = panel._getParameters()
        panel.ui.refineSpinBox.value = 7
        panel.ui.jacobianCheckBox.checked = False
        panel.ui.methodComboBox.setCurrentIndex(1)
        self.assertEqual(parameters.refine, 7)
        self.assertFalse(parameters.wantsJacobian)
        parameters.regularity = 2.5
        self.assertEqual(panel.ui.regularitySpinBox.value, 2.5)

    def test_register_and_discard(self):
        from JointRegistrationPanel.selftests import tests

        tests.registersAndDiscards(self, stub=True)

    def test_cancel_leaves_the_scene_as_it_was(self):
        from JointRegistrationPanel.run import worker as workerModule
        from JointRegistrationPanel.selftests import tests

        panel = self.openedPanel()
        panel._worker.transport._command = tests.stubCommand("--stay-at", "affine")
        tests.chooseEllipsoids(panel)
        tests.waitFor(lambda: panel.ui.registerButton.enabled)
        before = tests.nodeIds()
        panel.ui.registerButton.click()
        tests.waitFor(lambda: panel.ui.progressBar.value > 100)
        panel.ui.cancelButton.click()
        tests.waitFor(lambda: not workerModule.isBusy(panel._worker))
        self.assertEqual(tests.nodeIds(), before)

    def test_a_closed_scene_empties_the_panel(self):
        from JointRegistrationPanel.selftests import tests

        panel = self.openedPanel()
        panel.ui.fixedVolumeSelector.setCurrentNode(tests.addEllipsoid("fixed", 0.0))
        slicer.mrmlScene.Clear()
        self.assertIsNone(panel.ui.fixedVolumeSelector.currentNode())

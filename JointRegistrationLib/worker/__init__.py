"""Registration in a process of its own, which stays warm between runs. Imports no PyTorch by itself.

``client`` speaks to ``server`` in ``messages``; images and results go through a folder of ``exchange``.
"""

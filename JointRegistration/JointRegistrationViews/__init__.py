"""Off-screen slice views of a MRML scene, pictures, report, and the demo program. Imports no Qt."""

"""Stand-ins for the CTK and qMRML widgets that panels use, with no name that the real ones lack."""

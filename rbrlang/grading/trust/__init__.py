"""How far can a grader be trusted: agreement with people, calibration, probes."""

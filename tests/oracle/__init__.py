"""Does rbrlang decide as the language says? An answer that shares no code with it.

Random policies (`policies`) are decided by enumerating every truth assignment in plain Python (`truth`), and the
results compared (`compare`) with those of the package: its findings, classes, class probabilities of both kinds,
rewards, bounds, reasons, explanations, differences, layout and fingerprints, for each way of evaluating a reward that
`evaluators` names. A few hundred policies run with the tests, any number with

    cd tests && python -m oracle --policies 100000 --seed 1 --workers 2 --log oracle.jsonl
"""

"""How does a trainer on another machine, or in another language, get the reward?

Over HTTP, from one process that holds the artefact and the grader: `forms` reads and writes the bodies of the
three forms that trainers speak, concurrent requests reach the grader together (`scoring.batching`),
`meters` counts, and `app` is the ASGI application with its limits. `rbrc serve` runs it; docs/serving.md is for
its users. Needs the extra `serve`.
"""

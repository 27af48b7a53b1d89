"""Is the reward still measuring what it did when training began?

    from rbrlang.monitor import Jsonl, Monitor, Watched
    monitor = Monitor(scorer.circuit, [Jsonl("run/rbr.jsonl")])
    alarms = monitor.observe(step, rollouts, scores)         # or: reward.scorer = Watched(reward.scorer, monitor)

`answers` makes a number of the answers to a question, `series` has the tests behind the alarms and their rate of false ones, `degenerate` says which texts are none,
`monitor` draws the curves and raises the alarms, `sinks` writes them, `watched` puts it all behind a scorer, and
`logs` reads what was written for `rbrc watch`. docs/monitoring.md is for users.
"""

from rbrlang.monitor.alarms import Alarm
from rbrlang.monitor.monitor import Monitor, Settings
from rbrlang.monitor.sinks import Jsonl, Sink, TensorBoard, WeightsAndBiases
from rbrlang.monitor.watched import Watched

__all__ = ["Alarm", "Jsonl", "Monitor", "Settings", "Sink", "TensorBoard", "Watched", "WeightsAndBiases"]

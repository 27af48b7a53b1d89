"""What the page says that does not hang on a number."""

INTRODUCTION = """\
# The paper's experiments in small

Mu et al. (2024) ask more than [three rewards](comparison.md) can answer: what the grader's mistakes cost, how much data is
enough, whether the number that is looked at before RL foretells what comes of it. `examples/jax_grpo` asks all of it of the world of
that comparison, a transformer of two blocks, simulated annotators and texts of known truth. This page is written by the
program from the results; a verdict is that of a 95 % interval, and an explanation is shown beside the verdict only that it was
written for. A sentence of it that says that one setting has more than another, or as much, is shown only where the interval of
their difference says so.

```sh
pip install 'rbrlang[examples]'
python examples/jax_grpo/paper.py --all --out paper              # goes on where it was stopped
python examples/jax_grpo/paper.py --from docs/paper.json --out docs   # this page and its picture, from the kept results
```

"""

PICTURE = """\
![Rates by study, and curves](paper.png)

"""

METHOD = """\
## What is done

A seed is a world, a warm model, a grader and three reward models of its own, made once and shared by all its runs. A run is a
reward and a way to train with it. In the middle of all studies stands `helpful + rules`, the run of the comparison: the helpful
annotator's reward model, rules with fitted weights, the embedded grader, 40 steps of GRPO. Every other run differs from it in what its
study asks about, and in nothing else. Its numbers are not the comparison's: package and machine were others, and which of the two
it is was not tried apart. The package was that from before scipy found its calibrations' slopes. With the package as it is after
that, on the same machine, `helpful + rules` was made and run anew on seed 0: models and results are the same to the last digit that
is kept. No other run was done again.

No number of a setting was chosen on a seed that is shown, and the program refuses to show those that were used for it: 100 and 101
for what the comparison has too, 100 for PPO and for the weak penalty of the last study (ten times the one that was then taken,
untried, made the model better there, and not worse).

**What is marked † was expected, or worded as it is, after results on these seeds were seen**, and so were all explanations: take
them for what the next seeds should be asked.

"""

READING = """\
The measures are those of [the comparison](comparison.md#the-measures), by the judge, on prompts that no training saw. **Ranking
error** is that of the reward that is trained with, before RL, on labelled texts that nothing learned from: the mean over
response types of the share of pairs with the worse text first. Tables have means over seeds with Student's 95 % interval. Verdicts
are on differences taken seed by seed, for runs of one seed share everything but the setting.
"""

ABOUT = {
    "reward": """\
`rules only` has no base reward, and weights fitted to stand alone. `weights by hand` are the policy's own, which nobody fitted:
1 for the ideal class down to -1 for the disallowed one. `human preferences` is the cautious annotator's reward model, from 8,000
compared pairs; `as many labels as the rules` is the same from as many pairs as texts were labelled for the grader and the
weights together, in half the steps. A pair is counted like a text: that is one choice against one label a proposition.
`human preferences + rules` puts rules, fitted anew, on top of the cautious one.
""",
    "grader": """\
The paper takes graders of several sizes; here mistakes are planted. The grader is the judge itself, whose answers are the truth, turned round
at a rate, the same answers about the same text every time; all of them are equally sure (0.98). Weights are fitted to each
grader's own answers. The embedded grader stands below, with the mistakes that it has.
""",
    "safety prompts": """\
How many of each step's 16 prompts are safety prompts, whose reward has the rules in it. The others are harmless ones that do not look risky,
with the base reward alone; `none` is therefore the paper's helpful-only model, which never saw a request about safety.
""",
    "refusals": """\
How many of the safety prompts call for a refusal, hard or soft.
""",
    "comparisons": """\
How many prompts of each response type the weights are fitted to, with some nine texts each. The grader and the reward model stay as they are.
""",
    "ridge": """\
How strongly the fit pulls weights towards the policy's own. The comparison takes the least hinge, as published; the package by
itself chooses a ridge ([fitting](fitting.md#the-ridge-weights-that-rl-can-use)).
""",
    "optimiser": """\
The paper trains with PPO. Here both loops see the same prompts, take as many completions a step, and are held near the warm model by the same
penalty; PPO has a critic of its own and two updates a batch. A text without a reward takes no part in PPO's updates; under GRPO it
has no advantage, but its words count in the penalty and in what losses are divided by. GRPO measures a reward in the spread of its
prompt's group, PPO in that of the whole batch, so that under PPO it matters whether the rules' rewards spread alike in all response
types.
""",
    "hacking": """\
Half as many steps again, and a penalty fifty times weaker, so that the model may go where the reward pays. `no mistakes` grades with
the judge's answers. `product` multiplies literals for the probability of a class and normalises, as the paper does, where the
package counts exactly. `lazy` leaves out questions that could move a rule reward by no more than 1 all together.
""",
    "foretelling": """\
Every setting of which the reward differs (those of the first two questions, of comparisons and of the ridge) has a ranking error
before RL and an F1 after it; the picture has all of them. The settings are ours and fixed, and the intervals are over seeds alone:
they say nothing of settings that were not tried.
""",
}

LOOKED_ON = """\
Those who look on: the grader in training and the judge, under the same weights, every fourth step (rises are last three looks less first
three, in units of the rules' reward, or of a share); [the monitor](monitoring.md) on all steps, with the judge as second grader for eight completions a
step; and before it all [`rbrc probe`](commands.md#rbrc-probe)'s payloads on two good and two bad texts a response type.
"""

LIMITS = """\
## What none of this can show

- Annotators, requests, texts and rules come from one hand. What people or a large grader do differently is not in it.
- Planted mistakes are independent of what a text says; those of a real grader are not, and may be worse for it.
- A model of this size cannot learn to write for a grader as a large one can: how little harm comes of it here says nothing about one
  that writes better than its grader reads. The penalty was weak and the runs were short; none was run until it fell apart.
- PPO's numbers are the usual ones, and were tried on seed 100 alone; another critic, or more updates a batch, may do better.
- Five seeds decide large differences only. Many verdicts on one page: at 95 % about one in twenty would be wrong by chance alone.
"""

"""What is a batch of completions worth, when all there is of them is text?

The way from a trainer's rollouts to rewards, the same for every trainer: columns become rows (`columns`),
a grader answers them (`graders`), the reward scores them (`score`), and what has no reward is settled as
the user said (`invalid`); `batching` puts small requests in front of the grader together. A trainer's adapter
only puts the result into the form that it expects.
"""

"""What do JAX's loops and conditionals do where numpy has none?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from rbrlang.reward.algebra import Column, Plain, Stack

T = TypeVar("T")


class _Names:
    """`jax.numpy`, but for `where` of columns of one shape: a single operation, which is lowered and compiled sooner."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def where(self, condition: Column, yes: Column, no: Column) -> jax.Array:
        columns = [c for c in (condition, yes, no) if isinstance(c, jax.Array)]
        values = [c for c in (yes, no) if isinstance(c, jax.Array)]
        alike = len({c.shape for c in columns}) == 1 and len({c.dtype for c in values}) == 1
        numbers = all(isinstance(c, jax.Array | float) for c in (yes, no))
        if not (alike and numbers and columns[0] is condition and values[0].dtype != jnp.bool_):
            return jnp.where(condition, yes, no)
        filled = (c if isinstance(c, jax.Array) else jax.lax.full_like(values[0], c) for c in (yes, no))
        return jax.lax.select(condition, *filled)


class JaxEngine(Plain):
    """`Engine` for JAX where a circuit is unrolled."""

    xp: Any = _Names()

    def top(self, stack: Stack) -> Column:
        found = stack[0]
        for column in stack[1:]:
            found = jnp.maximum(found, column)
        return found

    def each(self, size: int, term: Callable[[Stack], Column]) -> Stack:
        """One loop over unit vectors: its columns are computed before they are interleaved as rows.

        Otherwise XLA computes each element of the interleaved result by itself, ten times slower on a CPU.
        """

        def one(unit: jax.Array) -> Column:
            return term([unit[j] for j in range(size)])

        if size == 0:
            return []
        table = jax.lax.map(one, jnp.eye(size, dtype=jnp.float32))
        return [table[i] for i in range(size)]

    def when(self, condition: Column, column: Callable[[], T], otherwise: T) -> T:
        return jax.lax.cond(condition, column, lambda: otherwise)

    def until(self, done: Callable[[T], Column], step: Callable[[T], T], state: T) -> T:
        return jax.lax.while_loop(lambda s: ~done(s), step, jax.lax.stop_gradient(state))

    def stop(self, column: Column) -> Column:
        return jax.lax.stop_gradient(column)

    def as_if(self, column: Column, other: Column) -> Column:
        return column + (other - jax.lax.stop_gradient(other))

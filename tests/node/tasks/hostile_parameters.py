"""Parameters that a coordinator could send to put everybody on a rounding boundary."""

from typing import Any

import numpy as np

from connector.tasks import layer_shapes

# Found by a reviewer against matrix products. With nine features of 1, terms cancel but for what
# rounding leaves: 103 identical people lay next to the edge at a score of 0.5, and person 104 moved
# three of them across.
NINE_ONES = np.array(
    [
        *(66002.484375, -1.2524557438277546e29, 202645104.0, -14.40973933477769, -202645104.0),
        *(1.2524557438277546e29, -66002.484375, 1.7250657761230848e16, -1.7250657761230848e16, 0),
    ],
    dtype=np.float32,
)


def cancelling(generator: Any, hidden: tuple[int, ...], width: int, reach: int = 3) -> Any:
    """float32[p]: on equal features, each unit's terms cancel up to rounding and a tiny rest.

    Terms go up to 10**`reach`: beyond 10**16, what rounding leaves is the whole score.
    """
    parts = []
    for units, fan_in in layer_shapes(hidden, width):
        for _ in range(units):
            sizes = 10.0 ** generator.uniform(-3, reach, fan_in // 2)
            rest = generator.choice([-1, 1], 2) * 10.0 ** generator.uniform(-16, -13, 2)
            terms = np.concatenate([sizes, -sizes, rest[: fan_in % 2]])
            parts.append(generator.permutation(terms))
        parts.append(np.full(units, rest[1]))
    return np.concatenate(parts).astype(np.float32)

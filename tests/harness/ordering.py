"""A pytest plugin that runs test items in the order that the variable HANDBOOK_ORDER names."""

from __future__ import annotations

import os
import random
from itertools import chain, zip_longest

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = os.environ["HANDBOOK_ORDER"]
    if order == "reversed":
        items.reverse()
    elif order == "interleaved":
        pages: dict[str, list[pytest.Item]] = {}
        for item in items:
            pages.setdefault(str(item.path), []).append(item)
        items[:] = [item for item in chain(*zip_longest(*pages.values())) if item is not None]
    else:
        random.Random(order).shuffle(items)  # noqa: S311 - the same order in every process

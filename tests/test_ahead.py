"""mien.ahead: what is done ahead, in which order, and how it ends."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from mien.ahead import ahead, in_order


class Thing:
    """What a weak reference can refer to."""


def test_the_next_item_is_taken_while_one_is_used() -> None:
    taken = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(taken):
            event.set()
            yield number

    with ahead(items()) as numbers:
        assert taken[1].wait(10)
        assert next(numbers) == 0
        assert taken[2].wait(10)
        assert not taken[3].wait(0.1)
        assert list(numbers) == [1, 2, 3]


def test_items_that_were_used_are_let_go() -> None:
    alive: list[weakref.ref[Thing]] = []
    most = 0

    def items() -> Iterator[Thing]:
        for _ in range(20):
            thing = Thing()
            alive.append(weakref.ref(thing))
            yield thing
            del thing

    with ahead(items()) as things:
        for thing in things:
            gc.collect()
            most = max(most, sum(reference() is not None for reference in alive))
            del thing
    # One in use, two that are ready, and one that is just being made.
    assert 1 < most <= 4


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with ahead(items()) as numbers:
        assert next(numbers) == 1
        with pytest.raises(ValueError, match="no more"):
            next(numbers)


def test_nothing_runs_any_more_when_the_context_has_ended() -> None:
    running = threading.Event()

    def items() -> Iterator[int]:
        while True:
            running.set()
            time.sleep(0.02)
            running.clear()
            yield 0

    with pytest.raises(KeyError), ahead(items()) as numbers:
        next(numbers)
        raise KeyError
    assert not running.is_set()


def test_results_come_in_order_whatever_takes_long() -> None:
    def slow(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number

    assert list(in_order(slow, range(9), workers=3)) == list(range(9))


def test_several_are_worked_on_at_once_and_few_taken_ahead() -> None:
    both = threading.Barrier(2, timeout=10)
    taken = []

    def given() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    # Alone, neither would come past the barrier.
    results = in_order(lambda number: both.wait() * 0 + number, given(), workers=2)
    assert next(results) == 0
    assert len(taken) <= 3
    assert list(results) == list(range(1, 50))


def test_an_error_of_the_function_is_raised_in_its_place() -> None:
    results = in_order(lambda number: 1 // number, [1, 0, 1], workers=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)

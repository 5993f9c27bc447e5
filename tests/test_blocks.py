"""Work on large arrays, block by block and on several threads, against the plain form."""

import multiprocessing
import threading
from itertools import pairwise

import numpy as np
import pytest

from convbert_np import blocks
from convbert_np.blocks import in_blocks, number_of_threads, share

RNG = np.random.default_rng(3)


@pytest.fixture(params=[1, 2, 5])
def threads(request, monkeypatch):
    """So many threads, and blocks so small that all have work."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 800)
    monkeypatch.setattr(blocks, "SHARE_BYTES", 1600)
    monkeypatch.setattr(blocks, "number_of_threads", lambda: request.param)
    blocks.pool.cache_clear()
    yield request.param
    blocks.pool.cache_clear()


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (23, 57), (101,), (7, 3, 41), (1, 500)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elements_by_blocks_are_those_of_the_whole(threads, shape, dtype):
    x, z = (RNG.standard_normal(shape).astype(dtype) for _ in range(2))
    np.testing.assert_array_equal(in_blocks(lambda a, b: a - 2 * b, x, z), x - 2 * z)
    first, second = in_blocks(lambda a: (a + 1, a > 0), x)
    np.testing.assert_array_equal(first, x + 1)
    np.testing.assert_array_equal(second, x > 0)
    assert first.dtype == dtype and np.asarray(second).dtype == np.bool_


def test_arrays_that_are_not_contiguous(threads):
    x = RNG.standard_normal((23, 57))
    for view in (x.T, x[::-2, 1::3], np.broadcast_to(x[0], (60, 57))):
        np.testing.assert_array_equal(in_blocks(np.abs, view), np.abs(view))
    for order in ((0, 1, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0)):
        x, z = (RNG.standard_normal((13, 17, 19)).transpose(order) for _ in range(2))
        one, other = in_blocks(lambda a, b: (a - 2 * b, a > b), x, np.ascontiguousarray(z))
        np.testing.assert_array_equal(one, x - 2 * z)
        np.testing.assert_array_equal(other, x > z)
        assert np.argsort(one.strides).tolist() == np.argsort(x.strides).tolist()


def test_each_block_is_computed_once(threads):
    x = np.arange(5000.0)
    counts = np.zeros(5000, int)
    lock = threading.Lock()

    def function(a):
        with lock:
            counts[a.reshape(-1).astype(int)] += 1
        return a

    in_blocks(function, x)
    assert np.all(counts == 1)


def test_small_arrays_and_arrays_of_others_are_computed_in_one_piece(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 80)
    sizes = []

    def record(x):
        sizes.append(x.size)
        return x

    class Other(np.ndarray):
        pass

    in_blocks(record, np.ones(10))
    in_blocks(record, np.ones((5, 5)))
    in_blocks(record, np.ones((5, 5)).view(Other))
    assert sizes == [10, 10, 10, 5, 25]


def test_an_error_of_any_block_is_raised_and_the_others_are_done(threads):
    done = []

    def work(start, stop):
        if start <= 700 < stop:
            raise KeyError(start)
        done.append((start, stop))

    with pytest.raises(KeyError):
        share(work, 1000, 10)
    assert len(done) == threads - 1


def test_the_error_state_of_numpy_is_that_of_the_caller(threads):
    x = np.full(5000, -1.0)
    x[-1] = 0.0
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        in_blocks(lambda a: 1 / a, x)
    with np.errstate(divide="ignore"):
        assert np.isinf(in_blocks(lambda a: 1 / a, x)[-1])


def test_parts_cover_the_range_and_are_not_too_small(threads):
    for count, least in ((0, 1), (1, 1), (7, 3), (1000, 10), (999, 400)):
        parts = []
        share(lambda start, stop, parts=parts: parts.append((start, stop)), count, least)
        parts.sort()
        assert parts[0][0] == 0 and parts[-1][1] == count and len(parts) <= threads
        assert all(a[1] == b[0] for a, b in pairwise(parts))
        assert len(parts) == 1 or all(stop - start >= least for start, stop in parts)


@pytest.mark.parametrize(("told", "number"), [("3", 3), ("1", 1), ("0", None), ("x", None), ("", None)])
def test_the_number_of_threads(monkeypatch, told, number):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    number_of_threads.cache_clear()
    try:
        found = number_of_threads()
        assert found == number if number else found >= 1
    finally:
        number_of_threads.cache_clear()


def child(queue) -> None:
    queue.put(float(in_blocks(np.abs, np.full(100_000, -1.0)).sum()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    """The parent's threads do not live in the child, which would wait for them for ever."""
    in_blocks(np.abs, np.ones(100_000))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == 100_000
    process.join(60)
    assert process.exitcode == 0

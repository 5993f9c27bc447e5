"""Memory that is used again: nothing is handed out twice, everything comes back."""

import gc
import mmap
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

from convbert_np import memory
from convbert_np.memory import LARGE, Loan, Slab, empty, like, matmul, release, zeros_like


@pytest.fixture
def slabs(monkeypatch):
    """No slabs yet, and small ones."""
    gc.collect()
    monkeypatch.setattr(Loan, "slabs", [])
    monkeypatch.setattr(memory, "SLAB", 64 * LARGE)
    monkeypatch.setattr(memory, "HUGE", 32 * LARGE)
    return Loan.slabs


def test_a_slab_gives_what_is_free_and_joins_what_comes_back():
    """Against a plain map of the bytes, over random requests."""
    rng, slab = random.Random(0), Slab(1000)
    used, held = np.zeros(1000, bool), []
    for _ in range(5000):
        if held and rng.random() < 0.5:
            start, stop = held.pop(rng.randrange(len(held)))
            slab.give(start, stop)
            used[start:stop] = False
        else:
            size = rng.randint(1, 200)
            start = slab.take(size)
            fits = next((at for at in range(1001 - size) if not used[at : at + size].any()), None)
            assert start == fits, "the lowest place that is large enough"
            if start is not None:
                used[start : start + size] = True
                held.append((start, start + size))
        assert sum(stop - start for start, stop in slab.free) == 1000 - used.sum()
        assert all(a[1] < b[0] for a, b in zip(slab.free, slab.free[1:], strict=False)), "neighbours are joined"
        assert slab.is_idle() == (not held)


def test_arrays_do_not_overlap_and_keep_their_numbers(slabs):
    rng = np.random.default_rng(0)
    held = {}
    for turn in range(300):
        shape = tuple(rng.integers(200, 400, 2))
        array = empty(shape, np.float32)
        assert array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable
        array[...] = turn
        held[turn] = array[3:, ::2] if turn % 3 else array
        del array
        for old in rng.permutation(list(held))[: len(held) // 2]:
            assert np.all(held.pop(old) == old)
    assert len(slabs) >= 1
    held.clear()
    assert all(slab.is_idle() for slab in slabs)


def test_memory_is_used_again_once_all_views_are_gone(slabs):
    first = empty((LARGE,), np.uint8)
    address, view = first.__array_interface__["data"][0], first[5:].reshape(-1, 1).T
    del first
    second = empty((LARGE,), np.uint8)
    assert second.__array_interface__["data"][0] != address
    del view
    third = empty((LARGE,), np.uint8)
    assert third.__array_interface__["data"][0] == address
    assert np.shares_memory(third, third[1:]) and not np.shares_memory(second, third)


def test_starts_differ_in_their_page(slabs):
    """Arrays that start at one place of a page are slow together."""
    places = {array.__array_interface__["data"][0] % 4096 for array in [empty((1024, 256), np.float32) for _ in range(7)]}
    assert len(places) == 7


def test_small_arrays_are_those_of_numpy(slabs):
    assert empty((LARGE // 8 - 1,), np.float64).flags.owndata and not slabs
    assert not empty((LARGE // 8,), np.float64).flags.owndata and len(slabs) == 1
    assert empty((), np.float64).shape == () and empty((0, 3), np.int8).shape == (0, 3)


def test_a_huge_array_where_little_is_in_use_is_that_of_numpy_and_free_pages_go_before_it_comes(slabs):
    half = empty((32, LARGE), np.uint8)
    kept, free = empty((9, LARGE), np.uint8), empty((20, LARGE), np.uint8)
    assert len(slabs) == 1
    for array in (half, kept, free):
        array[...] = 7
    place = free.__array_interface__["data"][0] - slabs[0].memory.__array_interface__["data"][0]
    del free, half, array
    array = empty((33, LARGE), np.uint8)
    array[...] = 1
    assert len(slabs) == 1 and array.flags.owndata and array.sum(dtype=int) == 33 * LARGE and np.all(kept == 7)
    if hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux":
        middle = slabs[0].memory[place + mmap.PAGESIZE : place + 20 * LARGE - mmap.PAGESIZE]
        assert not np.any(middle) and not np.any(slabs[0].memory[mmap.PAGESIZE : 31 * LARGE])
    again = empty((20, LARGE), np.uint8)
    again[...] = 9
    assert np.all(again == 9) and np.all(kept == 7) and len(slabs) == 1


def test_a_huge_array_where_much_is_in_use_is_on_memory_that_is_used_again(slabs):
    much = [empty((10, LARGE), np.uint8) for _ in range(4)]
    array = empty((39, LARGE), np.uint8)
    assert not array.flags.owndata and len(slabs) == 2
    assert sum(slab.in_use() for slab in slabs) == 79 * LARGE + 5 * (memory.STAGGER)
    larger = empty((100, LARGE), np.uint8)
    assert larger.flags.owndata and len(slabs) == 2
    much.append(empty((35, LARGE), np.uint8))
    larger = empty((100, LARGE), np.uint8)
    larger[...] = 1
    assert not larger.flags.owndata and len(slabs) == 4 and len(much) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_writes_into_a_copy(slabs):
    array = empty((LARGE,), np.uint8)
    array[...] = 1
    child = os.fork()
    if not child:
        array[...] = 2
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0 and np.all(array == 1)


def test_no_more_memory_is_a_memory_error(slabs, monkeypatch):
    monkeypatch.setattr(memory, "SLAB", 1 << 62)
    monkeypatch.setattr(memory, "HUGE", 1 << 61)
    with pytest.raises(MemoryError, match="the system gives no"):
        empty((LARGE,), np.uint8)


def test_release_returns_what_is_idle(slabs):
    kept, small, gone = (empty((30, LARGE), np.uint8) for _ in range(3))
    del small
    assert len(slabs) == 2
    release()
    assert len(slabs) == 2
    del gone
    release()
    assert len(slabs) == 1
    kept[...] = 3
    del kept
    release()
    assert slabs == []


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0)])
def test_like_lies_as_its_model_does(axes):
    x = np.zeros((40, 50, 60)).transpose(axes)
    for made in (like(x), zeros_like(x), like(x[:2])):
        model = x if made.shape == x.shape else x[:2]
        assert made.shape == model.shape and made.dtype == model.dtype
        assert np.argsort(made.strides).tolist() == np.argsort(model.strides).tolist()
    assert not np.any(zeros_like(x))


def test_like_and_matmul_leave_other_arrays_to_their_own_library():
    class Other(np.ndarray):
        pass

    x = np.ones((300, 400)).view(Other)
    assert type(like(x)) is Other and type(zeros_like(x)) is Other and type(matmul(x, x.T)) is Other


def test_matmul_is_the_product():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 70, 80)), rng.standard_normal((3, 80, 90))
    np.testing.assert_array_equal(matmul(a, b), a @ b)
    np.testing.assert_array_equal(matmul(a[0], b[0] * 1j), a[0] @ (b[0] * 1j))
    assert matmul(a[:, :0], b).shape == (3, 0, 90) and matmul(a[:0], b[:0]).shape == (0, 70, 90)
    assert matmul(a[0, :0], b[0]).shape == (0, 90)


def test_a_product_is_made_in_blocks_of_rows(monkeypatch):
    rng, done = np.random.default_rng(0), []
    a, b = rng.standard_normal((2 * memory.BLOCK_ROWS + 5, 3)), rng.standard_normal((3, 4))
    expected, multiply = a @ b, np.matmul
    monkeypatch.setattr(memory.np, "matmul", lambda x, y, out: done.append(len(x)) or multiply(x, y, out=out))
    np.testing.assert_allclose(matmul(a, b), expected, rtol=1e-13)
    assert done == [memory.BLOCK_ROWS, memory.BLOCK_ROWS, 5]


def test_threads_take_and_give_at_the_same_time(slabs):
    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            arrays = [empty((int(rng.integers(1, 4)), LARGE), np.uint8) for _ in range(3)]
            for array in arrays:
                array[...] = seed
            assert all(np.all(array == seed) for array in arrays)

    errors = []
    threads = [threading.Thread(target=lambda s=s: errors.extend(_run(work, s))) for s in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all(slab.is_idle() for slab in slabs)


def _run(work, seed):
    try:
        work(seed)
    except BaseException as error:
        return [error]
    return []


SCRIPT = """
import hashlib, sys
import numpy as np
import convbert_np as cb
from convbert_np.memory import empty

config = cb.ConvBertConfig(vocab_size=300, hidden_size=128, num_attention_heads=4, intermediate_size=512, embedding_size=128,
                           num_hidden_layers=2, max_position_embeddings=128)
model, rng = cb.ConvBertForMaskedLM(config, seed=1), np.random.default_rng(2)
ids = rng.integers(5, 300, (8, 128))
between = [empty((size,), np.uint8) for size in rng.integers(1 << 17, 1 << 20, int(sys.argv[1]))]
for turn in range(2):
    out = model(ids, labels=ids, training=True, rng=3, keep_cache="backward")
    digest = hashlib.sha256(out.logits.tobytes())
    for name, gradient in model.backward(out).items():
        digest.update(gradient.tobytes())
    print(digest.hexdigest())
    between = between[::2]
"""


def test_the_same_bits_from_run_to_run():
    """Wherever the arrays lie: in two calls of a process, and in two processes that have other memory in use."""
    made = [subprocess.run([sys.executable, "-c", SCRIPT, n], capture_output=True, text=True, check=True) for n in ("0", "7")]
    assert len({digest for one in made for digest in one.stdout.split()}) == 1

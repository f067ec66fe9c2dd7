"""Pools of threads that are left early."""

import threading
import time

import pytest

from hornet_jax.data.threads import thread_pool


def test_a_pool_that_is_left_early_has_no_thread_at_work():
  begun, ended = [], []

  def work(number):
    begun.append(number)
    time.sleep(0.2)
    ended.append(number)
    return number

  def stop_at_two():
    with thread_pool(3) as pool:
      for number in pool.imap(work, range(1000)):
        if number == 2:
          raise KeyboardInterrupt

  before = threading.active_count()
  with pytest.raises(KeyboardInterrupt):
    stop_at_two()
  assert sorted(begun) == sorted(ended)
  assert 3 <= len(begun) < 20
  assert threading.active_count() == before


def test_results_are_those_of_all_in_order():
  with thread_pool(3) as pool:
    assert list(pool.imap(abs, range(-5, 0), chunksize=2)) == [5, 4, 3, 2, 1]

"""One thread count for everything that computes.

ONNX Runtime gets it for its sessions, OpenCV for its filters. All else works with one thread inside and is
spread over candidates instead: BLAS' own threads wait by spinning, which on a box that also scores, stores
and serves costs several times what they gain.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import cv2


def use_threads(threads: int) -> int:
    """Set OpenCV's threads; returns the count for sessions and workers. 0: every core allowed."""
    count = threads or len(os.sched_getaffinity(0))
    cv2.setNumThreads(count)
    return count


def workers(count: int) -> ThreadPoolExecutor:
    """A pool for independent work on arrays."""
    return ThreadPoolExecutor(count, thread_name_prefix="worker")

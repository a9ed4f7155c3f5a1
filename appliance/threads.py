"""One thread count for everything that computes: OpenCV, FAISS and ONNX Runtime."""

from __future__ import annotations

import os

import cv2
import faiss


def use_threads(threads: int) -> int:
    """Set OpenCV's and FAISS's; returns the count for ONNX Runtime's sessions. 0: every core this process has."""
    count = threads or len(os.sched_getaffinity(0))
    cv2.setNumThreads(count)
    faiss.omp_set_num_threads(count)
    return count

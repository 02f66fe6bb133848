"""A Cython module compiled at import, into one directory for all workers."""

import os
import sys

import pyximport

FOLDER = os.environ["SURROUNDINGS_OUT"] + ".pyx"
os.makedirs(FOLDER, exist_ok=True)
if not os.path.exists(f"{FOLDER}/fib.pyx"):
    with open(f"{FOLDER}/fib.pyx", "w") as source:
        source.write("def fib(int n):\n    cdef int a = 0, b = 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n")
sys.path.insert(0, FOLDER)
pyximport.install(build_dir=f"{FOLDER}/build", language_level=3)

from fib import fib


def handler(body):
    assert fib(20) == 6765

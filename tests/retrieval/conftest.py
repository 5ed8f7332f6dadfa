"""faiss on one thread: its k-means on two is many times slower where other processes keep the machine busy."""

import faiss
import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)

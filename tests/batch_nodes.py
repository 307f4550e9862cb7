"""Runs a Ray cluster of two machines on this one, until its input ends; prints its address."""

import os
import sys

# Before Ray is imported: it is to listen to this machine alone, and tell nobody that it is used.
from mien.batch.pipeline import QUIET

os.environ.update(QUIET)

from ray.cluster_utils import Cluster


def main() -> None:
    usual = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 10**8}
    cluster = Cluster(initialize_head=True, head_node_args={**usual, "include_dashboard": False})
    cluster.add_node(**usual)
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()

"""A rolling update: every process is replaced in turn under load, and nobody notices."""

import pytest

from tests.faults.cluster import Cluster
from tests.faults.restart import rehearse

pytestmark = pytest.mark.faults


def test_every_process_is_replaced_under_load(cluster: Cluster) -> None:
    assert rehearse(cluster, say=True) == []

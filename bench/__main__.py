"""`make bench`: measure a model, then the API."""

import sys
from unittest.mock import patch

from bench import model, service

if __name__ == "__main__":
    with patch.object(sys, "argv", ["bench.model", *sys.argv[1:]]):
        model.main()
    service.main()

"""Fetching interferograms from the archives that offer them: resumed, in parallel, checked, each file once.

``licsar`` and ``hyp3`` know what an archive offers and turn a request into a list of files; ``batch`` fetches such a
list, ``client`` one file of it. Folders come out as :func:`fringewatch.products.discover` takes them.
"""

from __future__ import annotations

from fringewatch.fetch.batch import FetchResult
from fringewatch.fetch.hyp3 import FetchHyp3Config
from fringewatch.fetch.hyp3 import run as fetch_hyp3
from fringewatch.fetch.licsar import FetchLicsarConfig
from fringewatch.fetch.licsar import run as fetch_licsar

__all__ = ["FetchHyp3Config", "FetchLicsarConfig", "FetchResult", "fetch_hyp3", "fetch_licsar"]

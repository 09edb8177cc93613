"""The samples of the last intervals, all of one run of the gateway."""

from collections import deque
from typing import Final

from gateway.commands.watching.sample import Sample, has_restarted
from gateway.commands.watching.view import View, view_of

_SPAN: Final = 6
"""Samples that are kept: rates and quantiles are of the last five intervals."""


class History:
    """Counts may fall for two reasons: a worker did not answer in time, and is there again in the next sample; or the
    gateway began anew, and then they stay low."""

    def __init__(self, first: Sample) -> None:
        self._samples = deque([first], maxlen=_SPAN)
        self._low: Sample | None = None

    def add(self, sample: Sample) -> None:
        if has_restarted(self._samples[-1], sample):
            low, self._low = self._low, sample
            if low is None:
                return
            self._samples.clear()
            self._samples.append(low)
            if has_restarted(low, sample):
                self._samples.clear()
        self._low = None
        self._samples.append(sample)

    @property
    def view(self) -> View:
        return view_of(self._samples[0], self._samples[-1])

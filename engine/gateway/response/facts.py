"""What a stream of the Responses API has said so far, for the event that ends it when it breaks off."""

from collections import deque

from engine.gateway.response.event_text import (
    MAX_EVENT,
    Fields,
    events_in,
    fields_of,
    number_of,
    response_of,
    text_of,
)

MAX_KEPT = 16 * 1024  # of a chunk that is read only when it is needed
_NUMBER = b'"sequence_number"'


class ResponseFacts:
    """`id`, `created_at` and `model` of the first event that has a response, as far as it has them.

    Numbers of events are read when the stream has broken off: the newest chunks are kept for that.
    """

    __slots__ = ("_newest", "_number", "_unread", "created_at", "id", "model")

    def __init__(self) -> None:
        self.id = ""
        self.created_at: int | None = None
        self.model = ""
        self._unread = MAX_EVENT  # how much is searched for the first response
        self._newest = deque[bytes](maxlen=4)
        self._number = -1  # of the newest event before them

    def observe(self, text: bytes) -> None:
        """Take notice of whole events."""
        if self._unread > 0:
            self._find_response(text)
        if _NUMBER in text:
            if len(text) > MAX_KEPT:
                self._number = _last_number(text, self.next_number() - 1)
                self._newest.clear()
            else:
                self._newest.append(text)

    def next_number(self) -> int:
        """The `sequence_number` that goes on from the newest event that has one; 0 if none has."""
        for text in reversed(self._newest):
            number = _last_number(text, -1)
            if number >= 0:
                return number + 1
        return self._number + 1

    def _find_response(self, text: bytes) -> None:
        self._unread -= len(text)
        for event in events_in(text):
            response = response_of(fields := fields_of(event.data))
            if response is not None:
                self._number = _number(fields, self._number)
                self.id = text_of(response.id)
                self.created_at = number_of(response.created_at)
                self.model = text_of(response.model)
                self._unread = 0
                return


def _last_number(text: bytes, number: int) -> int:
    for event in events_in(text):
        number = _number(fields_of(event.data), number)
    return number


def _number(fields: Fields, otherwise: int) -> int:
    number = number_of(fields.sequence_number)
    return otherwise if number is None else number

"""How much of a JSON body is text, beside images and files in base64."""

MAX_ENCODED = 256 * 1024  # bytes of base64 that count: a model reads no more of an image or file
MIN_ENCODED = 4096  # bytes without a quote from which on a string may be base64
_SAMPLE = 256
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\\"


def text_size(raw: bytes) -> int:
    """The size of a body of which base64 counts up to MAX_ENCODED. Looks at a sample of each long string.

    What stands between two quotes that follow each other is a string, or none is lost in it.
    """
    if len(raw) <= MAX_ENCODED:
        return len(raw)
    encoded = position = 0
    while (end := raw.find(b'"', position + MIN_ENCODED)) >= 0:
        start = raw.rfind(b'"', position, position + MIN_ENCODED) + 1
        if end - start >= MIN_ENCODED and _is_base64(raw, (start + end) // 2):
            encoded += end - start
        position = end
    return len(raw) - max(0, encoded - MAX_ENCODED)


def _is_base64(raw: bytes, middle: int) -> bool:
    """Whether what stands around the middle of a string has letters of base64 alone, and lines of it."""
    sample = raw[middle - _SAMPLE // 2 : middle + _SAMPLE // 2]
    return not sample.translate(None, _ALPHABET) and b"\\u" not in sample

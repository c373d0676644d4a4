"""The signers, and what each needs; used by load side and request side."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignerKind:
    """What a signer needs: a package to import, settings, and credentials by fixed names.

    `from_callers`: a caller may send them. Not where one is a local file.
    """

    package: str
    extra: str
    settings: tuple[str, ...]
    needs: tuple[str, ...]
    may: tuple[str, ...]
    from_callers: bool
    whole_body: bool


SIGNERS: Mapping[str, SignerKind] = {
    "aws_sigv4": SignerKind(
        "botocore",
        "aws",
        ("service", "region"),
        ("access_key_id", "secret_access_key"),
        ("session_token",),
        from_callers=True,
        whole_body=True,
    ),
    "google_oauth": SignerKind(
        "google.auth",
        "google",
        ("scope",),
        ("credentials_file",),
        (),
        from_callers=False,
        whole_body=False,
    ),
}

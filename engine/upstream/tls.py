"""Which CA certificates a connection to a provider trusts: the system's, or those it names."""

import ssl


def client_context(ca: str | None) -> ssl.SSLContext:
    """A context that checks certificate and host name against `ca` (PEM), or the system's CAs.

    What an operator names is trusted as named, on every version of Python: an intermediate or a
    single certificate will do without its root, as with curl and Go, and a private CA need
    not have every extension of RFC 5280, which Python asks for from 3.13 on. Empty: no certificate
    is trusted.
    """
    if ca is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca:
        context.load_verify_locations(cadata=ca)
    return context

"""What an installation lacks."""

import subprocess
import sys
from pathlib import Path

from tests.unit.config.folders import (
    ENVIRON,
    provider,
    write,
)


def test_a_signer_whose_package_is_missing_is_told(tmp_path: Path) -> None:
    text = provider(
        credentials={
            "access_key_id": {"env": "OPENAI_API_KEY"},
            "secret_access_key": {"env": "OTHER_API_KEY"},
        },
        sign={"with": "aws_sigv4", "service": "s", "region": "r"},
    )
    script = (
        "import sys, pathlib; sys.modules['botocore'] = None; from engine.config.load import load;"
        f"found = load(pathlib.Path({str(write(tmp_path, providers=text))!r}), {ENVIRON!r}, 0);"
        "print([(d.code, 'pip install -e' in d.message) for d in found.diagnostics],"
        " found.plan.providers['openai'].missing)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[('E404', True)] (\"pip install -e '.[aws]'\",)\n"

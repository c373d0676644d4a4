"""Nothing of a source is lost: documents drawn at random, whose leaves are counted by another reader."""

import string
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.importers.others import READERS
from engine.importers.tables import table
from tests.servers import dump_yaml
from tests.unit.importers.sources import count_of, import_text, loaded

WORDS = st.text(string.ascii_lowercase + "_/*.-", min_size=1, max_size=12)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**6), st.floats(-1, 1e6), WORDS, st.just("os.environ/A_KEY"), st.just(""))  # fmt: skip
ANYTHING = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)), max_leaves=6)  # fmt: skip
KNOWN = table("litellm")
MODELS = st.sampled_from(["openai/gpt-4o", "azure/x", "anthropic/*", "*", "gpt-4o", "groq/a b", "sagemaker/x", "vertex_ai/claude-x", "ollama/nomic-embed-text", "nobody/x", ""])  # fmt: skip
PARAMS = st.dictionaries(st.one_of(st.sampled_from([*KNOWN["params"], *KNOWN["fields"]]), WORDS), ANYTHING, max_size=6)  # fmt: skip
ENTRY = st.builds(
    lambda name, model, params, info: {
        "model_name": name,
        "litellm_params": {**params, "model": model},
        "model_info": info,
    },
    st.one_of(st.sampled_from(["a", "b", "openai/*", "*"]), ANYTHING),
    st.one_of(MODELS, ANYTHING),
    PARAMS,
    st.dictionaries(st.one_of(st.sampled_from([*KNOWN["info"]]), WORDS), ANYTHING, max_size=4),
)
PLACES = [row["at"].replace("/**", "").split("/") for row in KNOWN["settings"] if "*" not in row["at"].replace("/**", "")]  # fmt: skip


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"model_list": draw(st.lists(st.one_of(ENTRY, ANYTHING), max_size=4))}
    for place in draw(st.lists(st.sampled_from(PLACES), max_size=8)):
        section = found.setdefault(place[0], {}) if len(place) > 1 else found
        if isinstance(section, dict):
            section[place[-1]] = draw(ANYTHING)
    return {**draw(st.dictionaries(WORDS, ANYTHING, max_size=3)), **found}


@settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
@given(documents())
def test_every_leaf_has_one_row(tmp_path_factory: Any, data: dict[str, Any]) -> None:
    raw = dump_yaml(data).encode()
    outcome = import_text("litellm", "config.yaml", raw)
    places = [(row.file, row.path) for row in outcome.rows]
    assert len(places) == len(set(places)) == count_of(raw)
    assert all(row.line >= 1 for row in outcome.rows)
    if outcome.files:
        errors = [d for d in loaded(outcome, tmp_path_factory.getbasetemp()).diagnostics if d.severity.value == "error"]  # fmt: skip
        assert [f"{d.span} {d.code} {d.message}" for d in errors] == []


SECTIONS = st.sampled_from(["targets", "strategy", "providers", "keys", "channels", "llm", "models", "params", "provider", "openai", "weight", "network_config", "override_params", "base_url", "type", "status"])  # fmt: skip
OTHERS = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(SECTIONS, WORDS), inner, max_size=4)), max_leaves=12)  # fmt: skip


@given(st.sampled_from(sorted(READERS)), OTHERS)
def test_every_leaf_of_other_programs_has_one_row(program: str, data: Any) -> None:
    raw = dump_yaml(data).encode()
    places = [(row.file, row.path) for row in import_text(program, "config.yaml", raw).rows]
    assert len(places) == len(set(places)) == count_of(raw)

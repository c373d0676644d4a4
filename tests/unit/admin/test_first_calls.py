"""Which small call shows whether a provider serves."""

import shlex

from engine.admin.first_calls import curl, find_call, find_example, models_of
from engine.config.load import Loaded


def test_the_likely_cheapest_chat_model_comes_first(shipped_configuration: Loaded) -> None:
    plan = shipped_configuration.plan
    assert plan is not None
    for name, word in (("openai", "mini"), ("anthropic", "haiku"), ("gemini", "flash")):
        first = models_of(plan, plan.providers[name])[0]
        assert word in first or "nano" in first or "lite" in first, first
        assert "embed" not in first


def test_every_first_call_leads_to_its_provider(shipped_configuration: Loaded) -> None:
    plan = shipped_configuration.plan
    assert plan is not None
    for provider in plan.providers.values():
        call, models = find_call(plan, provider), models_of(plan, provider)
        if call and models:
            decision = plan.decide(call.endpoint, models[0])
            assert decision.provider is provider, (provider.name, models[0])


def test_an_example_keeps_to_the_models_of_the_key(shipped_configuration: Loaded) -> None:
    plan = shipped_configuration.plan
    assert plan is not None
    limited = find_example(plan, ["openai"], ["claude-*"])
    assert limited is not None
    assert limited.model.startswith("claude-")
    named = find_example(plan, [], ["a-model-of-mine"])
    assert named is not None
    assert named.model == "a-model-of-mine"


def test_a_command_is_quoted_for_the_shell(shipped_configuration: Loaded) -> None:
    plan = shipped_configuration.plan
    assert plan is not None
    example = find_example(plan, [], ["it's $(me)"])
    assert example is not None
    words = shlex.split(curl(example, "http://127.0.0.1:1", "sk").replace("\\\n", " "))
    assert words[-1].startswith('{"model": "it\'s $(me)"')

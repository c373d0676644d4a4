"""Templates of one provider with one set of values bound into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.config import model
from engine.config.compile.values import ProviderValues
from engine.config.source.document import Path
from engine.config.template import Template, render_now
from engine.plan import plan

Templates = Mapping[Path, Template]


@dataclass(frozen=True, slots=True)
class Binding:
    """A configuration, its compiled templates, and the values of one provider or account.

    `caller_inputs` are what callers may send to any provider.
    """

    config: model.Config
    templates: Templates
    values: ProviderValues
    caller_inputs: plan.CallerInputs

    def bind(self, template: Template, credentials: Mapping[str, str] | None) -> plan.Render:
        """A function that renders the template for a request; None leaves credentials to the request."""
        bound: dict[str, Any] = {"variables": self.values.variables}
        if credentials is not None:
            bound["credentials"] = credentials
        return lambda context: render_now(template, {**context, **bound})

    def render(
        self, template: Template, credentials: Mapping[str, str] | None = None, **more: str
    ) -> str | None:
        """The text of a template that does not depend on the request; None if no header can hold it."""
        if template.is_constant:
            return template.source
        try:
            return self.bind(template, credentials)(more)
        except plan.UnusableValueError:  # reported by `load`; the provider counts as incomplete
            return None

"""Put values into a runbook's texts, strictly, and into shell text only as data.

One language (Jinja's sandbox, undefined names are errors) in three manners: `TEXT` for titles, `SHELL`
for command lines, where every value becomes quoted words and there is no way to switch that off, and
`HOST` for the place where a step acts. Checks need no values, so a runbook's faults are found when it
is loaded. Pure: no files, no includes, no clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runbooks.scope import HostRef, RunRef, Scope, ServiceRef, SiteRef
from sites.shelltext import WORD_BREAKS, ShellState

RENDERED_LIMIT_CHARACTERS = 64 * 1024


class Manner(StrEnum):
    """How values are written into a text."""

    TEXT = "text"
    SHELL = "shell"
    HOST = "host"
    VERBATIM = "verbatim"  # nothing is filled in


class TemplateFault(ValueError):
    """A template is wrong, or names what there is not. `expected` says what would be right, `code` which
    rule of `runbooks.rules` it breaks."""

    def __init__(self, found: str, expected: str, code: str = "template") -> None:
        self.found = found
        self.expected = expected
        self.code = code
        super().__init__(f"{found}; expected {expected}")


_ATTRIBUTES: dict[str, frozenset[str]] = {
    name: frozenset(item.name for item in fields(kind))
    for name, kind in (
        ("service", ServiceRef),
        ("from_site", SiteRef),
        ("to_site", SiteRef),
        ("run", RunRef),
        ("host", HostRef),
    )
}
NAMES = (*(name for name in _ATTRIBUTES if name != "host"), "parameters")
NAMES_OF_EACH = (*NAMES, "host")
"""What a step that is carried out for each host may name."""


def _one_text(value: Any) -> str:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises UndefinedError, with the name
    if value is None or isinstance(value, Mapping):
        raise TemplateFault(
            f"a value that is {'nothing' if value is None else 'a mapping'}", "a text or a number"
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _as_text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_one_text(item) for item in value)
    return _one_text(value)


def _as_words(value: Any) -> str:
    """The value as shell words: one, or one for each item of a list."""
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    words = [_one_text(item) for item in items]
    if any("\0" in word for word in words):
        raise TemplateFault("a value with a zero byte", "a text that a command line can hold")
    # A list without items must not vanish: the words after it would move up into its place.
    return " ".join(_quoted(word) for word in words) if words else "''"


def _quoted(word: str) -> str:
    # Always in quotes, plain words too: `2` before a `>` or `A=b` before a command would else mean something.
    return "'" + word.replace("'", "'\\''") + "'"


def _as_host(value: Any) -> str:
    return f"{value.site}/{value.name}" if isinstance(value, HostRef) else _one_text(value)


_FINALIZE: dict[Manner, Callable[[Any], str]] = {
    Manner.TEXT: _as_text,
    Manner.SHELL: _as_words,
    Manner.HOST: _as_host,
}


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox without any global, and without texts that grow by multiplication."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, manner: Manner) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            finalize=_FINALIZE[manner],
            autoescape=False,
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.globals.clear()

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)) or operator == "**":
            raise TemplateFault(f"the operator {operator} on these values", "sums of plain numbers only")
        return super().call_binop(context, operator, left, right)


_SANDBOXES = {manner: _Sandbox(manner) for manner in _FINALIZE}


def is_template(text: str) -> bool:
    """Whether a text has anything to fill in."""
    return "{{" in text or "{%" in text or "{#" in text


def check(
    text: str, manner: Manner, parameters: Sequence[str] = (), names: Sequence[str] = NAMES
) -> list[TemplateFault]:
    """Every fault that can be seen without values: syntax, unknown names, values at unsafe places."""
    if not is_template(text):
        return []
    if manner is Manner.VERBATIM:
        return [
            TemplateFault(
                "a value to be filled in", "plain text here (a query takes values as $1, see `values`)"
            )
        ]
    faults: list[TemplateFault] = []
    try:
        tree = _parsed(text, manner)
        faults += _unknown_names(tree, parameters, names)
        if manner is Manner.SHELL:
            _check_places(tree.body, ShellState())
    except TemplateFault as fault:
        faults.append(fault)
    return faults


def parameters_in(text: str, manner: Manner) -> frozenset[str] | None:
    """The parameters that a sound text uses; None when it may use any (all of them, or one by a value)."""
    if manner is Manner.VERBATIM or not is_template(text):
        return frozenset()
    tree = _parsed(text, manner)
    read = [found for node in tree.find_all(nodes.Expr) if (found := _attribute(node)) is not None]
    keys = [key for name, key in read if name == "parameters"]
    whole = sum(name.name == "parameters" for name in tree.find_all(nodes.Name)) > len(keys)
    return None if whole or None in keys else frozenset(str(key) for key in keys)


def render(text: str, scope: Scope, manner: Manner) -> str:
    """The text with its values. Raises TemplateFault."""
    if not is_template(text):
        return text
    if manner is Manner.VERBATIM:
        raise check(text, manner)[0]
    tree = _parsed(text, manner)
    if manner is Manner.SHELL:
        _checked(text)
    try:
        rendered = _rendered_simply(tree, scope, manner)
        if rendered is None:
            rendered = _compiled(text, manner).render(scope.names())
    except jinja2.UndefinedError as error:
        found = str(error).replace("'dict object' has no attribute", "nothing called")
        raise TemplateFault(found, _known(scope)) from error
    except jinja2.TemplateError as error:
        raise TemplateFault(f"{type(error).__name__}: {error}", "a template that can be filled in") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        if isinstance(error, TemplateFault):
            raise
        raise TemplateFault(f"{error}", "an expression that fits its values") from error
    if len(rendered) > RENDERED_LIMIT_CHARACTERS:
        raise TemplateFault(f"a text of {len(rendered)} characters", f"at most {RENDERED_LIMIT_CHARACTERS}")
    return rendered


def plain_value(text: str, scope: Scope) -> Any:
    """What a text that is nothing but one name stands for, a list as a list; any other text filled in.

    Raises TemplateFault.
    """
    if is_template(text):
        body = _parsed(text, Manner.TEXT).body
        if len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1:
            found = _looked_up(body[0].nodes[0], scope.names(), _SANDBOXES[Manner.TEXT])
            if found is not None and isinstance(found[0], bool | int | float | list | tuple):
                return list(found[0]) if isinstance(found[0], tuple) else found[0]
    return render(text, scope, Manner.TEXT)


@lru_cache(maxsize=8192)
def _parsed(text: str, manner: Manner) -> nodes.Template:
    try:
        return _SANDBOXES[manner].parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(f"{error.message}", "{{ a name }}, closed by }}") from error


@lru_cache(maxsize=8192)
def _checked(text: str) -> None:
    """Raises TemplateFault for a command in which a value stands where the shell could run it."""
    _check_places(_parsed(text, Manner.SHELL).body, ShellState())


@lru_cache(maxsize=1024)
def _compiled(text: str, manner: Manner) -> jinja2.Template:
    try:
        return _SANDBOXES[manner].from_string(text)
    except jinja2.TemplateError as error:
        raise TemplateFault(f"{error}", "only names, filters, {% if %} and {% for %}") from error


def _known(scope: Scope) -> str:
    hosts = "; ".join(
        f"{name}.hosts of {site.name}: {', '.join(site.hosts) or 'none'}"
        for name, site in (("from_site", scope.from_site), ("to_site", scope.to_site))
    )
    given = ", ".join(scope.parameters) or "none"
    return f"one of the names {', '.join(scope.names())} ({hosts}; parameters: {given})"


def _rendered_simply(tree: nodes.Template, scope: Scope, manner: Manner) -> str | None:
    """Fill in a text that has only names, attributes and constant keys; None when there is more to it.

    It does what the compiled template would do, ten times as fast: nearly every text is of this kind.
    """
    names, finalize, parts = scope.names(), _FINALIZE[manner], []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                parts.append(node.data)
            elif (found := _looked_up(node, names, _SANDBOXES[manner])) is not None:
                parts.append(finalize(found[0]))
            else:
                return None
    return "".join(parts)


def _looked_up(node: nodes.Expr, names: Mapping[str, Any], sandbox: _Sandbox) -> tuple[Any] | None:
    if isinstance(node, nodes.Name):
        return (names[node.name] if node.name in names else sandbox.undefined(name=node.name),)
    if isinstance(node, nodes.Getattr):
        inner = _looked_up(node.node, names, sandbox)
        return None if inner is None else (sandbox.getattr(inner[0], node.attr),)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        inner = _looked_up(node.node, names, sandbox)
        return None if inner is None else (sandbox.getitem(inner[0], node.arg.value),)
    return None


def _unknown_names(
    tree: nodes.Template, parameters: Sequence[str], names: Sequence[str]
) -> Iterator[TemplateFault]:
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    reported: set[str] = set()
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name not in own and name.name not in names:
            if name.name not in reported:
                yield TemplateFault(
                    f"the unknown name {name.name}", f"one of {', '.join(names)}", "unknown-name"
                )
            reported.add(name.name)
    for kind in (nodes.Getattr, nodes.Getitem):
        for node in tree.find_all(kind):
            yield from _unknown_attribute(node, parameters)


def _attribute(node: nodes.Node) -> tuple[str, object] | None:
    """The name and key of `name.key` or `name['key']`; a key that is no constant is None."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return node.node.name, node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name):
        return node.node.name, node.arg.value if isinstance(node.arg, nodes.Const) else None
    return None


def _unknown_attribute(node: nodes.Node, parameters: Sequence[str]) -> Iterator[TemplateFault]:
    found = _attribute(node)
    if found is None:
        return
    name, key = found
    known = frozenset(parameters) if name == "parameters" else _ATTRIBUTES.get(name)
    if known is not None and isinstance(key, str) and key not in known:
        listed = ", ".join(sorted(known)) or "nothing: the runbook declares no parameters"
        yield TemplateFault(f"{name} has no {key}", f"one of {listed}", "unknown-name")


def _check_places(body: Sequence[nodes.Node], state: ShellState) -> ShellState:
    """Follow the text through branches and loops; every value must stand where it stays data."""
    for node in body:
        if isinstance(node, nodes.Output):
            state = _check_output(node, state)
        elif isinstance(node, nodes.If):
            branches = [node.body, *(branch.body for branch in node.elif_), node.else_]
            state = _joined([_check_places(branch, state) for branch in branches], "if")
        elif isinstance(node, nodes.For):
            # Twice: the second round starts where the first one ended.
            again = _joined([state, _check_places(node.body, state)], "for")
            ends = [again, _check_places(node.body, again), _check_places(node.else_, state)]
            state = _joined(ends, "for")
        elif not isinstance(node, nodes.Assign):
            raise TemplateFault(
                f"{{% {type(node).__name__.lower()} %}} in a command",
                "only {{ }}, {% if %}, {% for %} and {% set %}",
            )
    return state


def _joined(states: Sequence[ShellState], statement: str) -> ShellState:
    """The state after any one of several texts, on the side of caution."""
    if len({state.frames for state in states}) > 1:
        raise TemplateFault(f"quotes opened or closed inside {{% {statement} %}}", "whole quotes inside it")
    careful = next((state for state in states if state.unsafe), None)
    spaced = next((state for state in states if state.last in WORD_BREAKS), states[0])
    return careful or spaced


def _check_output(output: nodes.Output, state: ShellState) -> ShellState:
    for part in output.nodes:
        if isinstance(part, nodes.TemplateData):
            state = state.after_text(part.data)
            continue
        if (why := state.unsafe) is not None:
            raise TemplateFault(
                f"a value {why}, where the shell could run it",
                "the value outside of any quotes (it is quoted by itself); where it must stand inside, "
                'assign it first: v={{ … }}; then use "$v"',
                "unsafe-value",
            )
        state = state.after_value()
    return state

"""Values in texts: strict names, and in shell text never anything but data."""

import subprocess

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks import templates
from runbooks.templates import Manner, TemplateFault, check, render
from tests.runbooks.worlds import scope

NASTY = [
    "it's",
    'say "hi"',
    "$(touch /tmp/should-not-exist)",
    "`id`",
    "a; reboot",
    "a\nreboot",
    "$HOME",
    "\\",
    "-rf /",
    "*",
    "~",
    "ünïcode …",
    " leading and trailing ",
    "",
    "#",
    "!!",
    "a=b",
]


def in_shell(value: object) -> str:
    return render("printf '<%s>' {{ parameters.value }}", scope(parameters={"value": value}), Manner.SHELL)


def shell(command: str) -> str:
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=10, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("value", NASTY)
def test_a_real_shell_sees_every_value_as_data(value: str) -> None:
    assert shell(in_shell(value)) == f"<{value}>"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_a_real_shell_sees_any_text_whatever_as_data(value: str) -> None:
    assert shell(in_shell(value)) == f"<{value}>"


def test_each_item_of_a_list_is_a_word_of_its_own() -> None:
    assert shell(in_shell(["a b", "$(c)", 3, True])) == "<a b><$(c)><3><true>"
    assert shell(in_shell([])) == "<>"


def test_a_zero_byte_is_refused() -> None:
    with pytest.raises(TemplateFault, match="zero byte"):
        in_shell("a\0b")


@pytest.mark.parametrize("value", [None, {"a": 1}])
def test_what_is_no_word_is_refused(value: object) -> None:
    with pytest.raises(TemplateFault):
        in_shell(value)


@pytest.mark.parametrize(
    "filtered",
    [
        "{{ parameters.value | safe }}",
        "{{ parameters.value | replace('a', 'b') }}",
        "{{ parameters.value ~ parameters.value }}",
        "{{ [parameters.value] | join('') }}",
        "{% if true %}{{ parameters.value }}{% endif %}",
        "{% for x in [parameters.value] %}{{ x }}{% endfor %}",
        "{% set x = parameters.value %}{{ x }}",
    ],
)
def test_there_is_no_way_round_the_quotes(filtered: str) -> None:
    evil = "$(echo evil)'; echo evil; '"
    text = render(f"printf %s {filtered}", scope(parameters={"value": evil}), Manner.SHELL)
    said = shell(text)
    assert said.replace("$(echo evil)", "").replace("; echo evil;", "").count("evil") == 0


@pytest.mark.parametrize(
    "text",
    [
        'echo "{{ service.name }}"',
        "echo '{{ service.name }}'",
        "echo `{{ service.name }}`",
        'su - oracle -c "start {{ service.name }}"',
        "cat <<EOF\n{{ service.name }}\nEOF",
        "# {{ service.name }}\ntrue",
        "echo ${x:-{{ service.name }}}",
        "echo $(( {{ run.epoch }} + 1 ))",
        "echo ${{ service.name }}",
        "echo \\{{ service.name }}",
        "{% if true %}echo '{% endif %}{{ service.name }}'",
        "echo {% if true %}\\{% endif %}{{ service.name }}",
        "echo {% for x in [1, 2] %}{{ x }}\\{% endfor %}",
        "{% macro m() %}{{ service.name }}{% endmacro %}{{ m() }}",
        "{% set x %}{{ service.name }}{% endset %}echo {{ x }}",
        "{% filter upper %}{{ service.name }}{% endfilter %}",
    ],
)
def test_a_value_where_quotes_would_not_protect_it_is_a_fault(text: str) -> None:
    assert check(text, Manner.SHELL)
    with pytest.raises(TemplateFault):
        render(text, scope(), Manner.SHELL)


def test_the_way_out_that_the_message_names_works() -> None:
    text = "v={{ parameters.value }}; printf '%s' \"<$v>\""
    assert check(text, Manner.SHELL, ["value"]) == []
    rendered = render(text, scope(parameters={"value": "it's $(x)"}), Manner.SHELL)
    assert shell(rendered) == "<it's $(x)>"


def test_titles_are_not_quoted() -> None:
    assert render("Stop it at {{ from_site.title }}", scope(), Manner.TEXT) == "Stop it at Durham"


def test_a_host_is_its_address_in_a_command_and_its_place_as_a_steps_host() -> None:
    text = "{{ to_site.hosts['crm-app'] }}"
    assert render(text, scope(), Manner.SHELL) == "'10.2.0.2'"
    assert render(text, scope(), Manner.HOST) == "morpeth/crm-app"
    assert render(text, scope(), Manner.TEXT) == "10.2.0.2"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{ servic }}", "servic"),
        ("{{ service.nam }}", "nam"),
        ("{{ parameters.nope }}", "nope"),
        ("{{ parameters['nope'] }}", "nope"),
        ("{{ to_site.hosts.x }}", ""),
        ("{{ service.name", ""),
        ("{% if x %}", ""),
        ("{{ range(3) }}", "range"),
        ("{% include 'x' %}", ""),
        ("{{ service.__class__ }}", "__class__"),
        ("{{ service.name | nofilter }}", "nofilter"),
    ],
)
def test_whatever_is_not_there_is_an_error_and_never_an_empty_text(text: str, named: str) -> None:
    with pytest.raises(TemplateFault, match=named or None):
        render(text, scope(), Manner.TEXT)


@pytest.mark.parametrize(
    "text", ["{{ servic }}", "{{ service.nam }}", "{{ parameters.nope }}", "{{ x.y }}", "{{ a"]
)
def test_what_needs_no_values_is_found_without_them(text: str) -> None:
    assert check(text, Manner.TEXT, ["known"])


def test_a_missing_host_names_those_that_there_are() -> None:
    with pytest.raises(TemplateFault) as caught:
        render("{{ to_site.hosts['crm-web'] }}", scope(), Manner.HOST)
    assert "crm-web" in caught.value.found
    assert "crm-db, crm-app" in caught.value.expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 10 ** 100000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ service.name.upper }}",
    ],
)
def test_no_expression_grows_without_bound_or_shows_the_inside(text: str) -> None:
    try:
        assert len(render(text, scope(), Manner.TEXT)) < 200
    except TemplateFault:
        pass


def test_a_text_that_becomes_too_long_is_refused() -> None:
    with pytest.raises(TemplateFault, match="characters"):
        render("{{ parameters.x }}", scope(parameters={"x": "a" * 70_000}), Manner.TEXT)


def test_a_query_takes_no_values_into_its_text() -> None:
    assert check("select {{ service.name }}", Manner.VERBATIM)
    with pytest.raises(TemplateFault):
        render("select {{ service.name }}", scope(), Manner.VERBATIM)
    assert render("select 1", scope(), Manner.VERBATIM) == "select 1"


SIMPLE = st.lists(
    st.sampled_from(
        [
            "plain ",
            "{{ service.name }}",
            "{{ service['title'] }}",
            "{{ to_site.hosts['crm-db'] }}",
            "{{ to_site.hosts['crm-db'].port }}",
            "{{ run.epoch }}",
            "{{ parameters.list }}",
            "{{ parameters.missing }}",
            "{{ nothing }}",
            "{{ from_site }}",
        ]
    ),
    max_size=5,
).map("".join)


@settings(deadline=None, derandomize=True)
@given(SIMPLE, st.sampled_from([Manner.TEXT, Manner.SHELL, Manner.HOST]))
def test_the_quick_way_and_the_compiled_way_agree(text: str, manner: Manner) -> None:
    names = scope(parameters={"list": ["a", "b c"]})
    try:
        quick: object = render(text, names, manner)
    except TemplateFault:
        quick = TemplateFault
    try:
        slow: object = templates._SANDBOXES[manner].from_string(text).render(names.names())
    except (jinja2.TemplateError, TemplateFault):
        slow = TemplateFault
    assert quick == slow

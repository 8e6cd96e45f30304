"""Where values may stand in shell text: the reader of the text, and real shells as judges."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sites.shelltext import ShellState

SAFE = [
    "echo ",
    "cmd --file=",
    "a && b ",
    "x='quoted' ",
    'x="quoted" ',
    'grep "$(cat list)" ',
    "echo $(basename ",
    "(cd /tmp; ls ",
    "echo a#b ",
    "echo '#' ",
    "# a comment\necho ",
    'echo "a\\"b" ',
    "echo \\$ ",
    "echo ${HOME} ",
    "echo $((1+2)) ",
    "echo $# ",
]
UNSAFE = [
    'echo "',
    "echo '",
    "echo `",
    "echo `date` ",
    "echo ${x:-",
    "echo $((",
    "((x=",
    "# see ",
    "echo a # see ",
    "cat <<EOF\n",
    "cat <<EOF\nx\nEOF\necho ",
    "echo $",
    "echo \\",
    'echo "$(cat ',
    "echo $'a\\'",
    'echo "${x:-\'}" \'}" ',
    'x="$(case y in a) echo "',
    'echo $(case y in a) echo "',
]


@pytest.mark.parametrize("text", SAFE)
def test_a_value_may_stand_where_the_shell_reads_a_word(text: str) -> None:
    assert ShellState().after_text(text).unsafe is None


@pytest.mark.parametrize("text", UNSAFE)
def test_a_value_may_not_stand_where_quotes_would_be_text(text: str) -> None:
    assert ShellState().after_text(text).unsafe is not None


def test_reading_text_in_pieces_is_the_same_as_reading_it_whole() -> None:
    whole = ShellState().after_text("""echo "a $(b 'c') d" e""")
    pieces = ShellState()
    for character in """echo "a $(b 'c') d" e""":
        pieces = pieces.after_text(character)
    assert whole == pieces


# Texts that a shell may run without harm: nothing in them is a command but `:` and `printf`.
_PIECES = st.sampled_from(
    [
        '"',
        "'",
        "\\",
        "$",
        "`",
        "#",
        " ",
        "\n",
        "a",
        ":",
        ";",
        "(",
        ")",
        "{",
        "}",
        "$(",
        "${x:-",
        "$((",
        "<<E",
        "=",
        "case a in a) ",
        " ;; esac",
        "x=",
        "&&",
        "|",
        "printf %s ",
    ]
)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, derandomize=True)
@given(before=st.lists(_PIECES, max_size=12).map("".join), after=st.lists(_PIECES, max_size=6).map("".join))
@pytest.mark.parametrize("shell", [path for path in ("/bin/sh", shutil.which("bash")) if path])
def test_no_shell_runs_a_value_that_stands_where_the_reader_allows(
    shell: str, before: str, after: str
) -> None:
    text = f": {before}"
    if ShellState().after_text(text).unsafe is not None:
        return
    # Every way in which a value could become a command says so on the real standard error.
    value = "$(echo PWNED >&3)`echo PWNED >&3`; echo PWNED >&3; '\"; echo PWNED >&3; \"' #"
    quoted = "'" + value.replace("'", "'\\''") + "'"
    done = subprocess.run(
        [shell, "-c", f"exec 3>&2 2>/dev/null >/dev/null\n{text}{quoted}{after}"],
        capture_output=True,
        timeout=10,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/nonexistent"},
        cwd="/",
        check=False,
    )
    assert b"PWNED\n" not in done.stderr

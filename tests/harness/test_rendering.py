"""What is collected is what the site renders: language, title and text of every fence, in order, and nothing else.

What the site renders is read from the finished HTML of Python-Markdown with the configuration that MkDocs loads from
mkdocs.yml, in which nothing of the harness takes part.
"""

import random
import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import markdown
import pytest
from mkdocs.config import load_config
from mkdocs.utils import meta
from pygments.lexers import find_lexer_class_by_name  # type: ignore[import-untyped] # has no types
from pygments.util import ClassNotFound  # type: ignore[import-untyped] # has no types

from handbook.rendering import Fence, Renderer

ROOT = Path(__file__).resolve().parents[2]
LITERAL = "a literal"


class Shown(NamedTuple):
    """A block as the reader sees it."""

    language: str
    title: str | None
    text: str


class Reader(HTMLParser):
    """Reads the highlighted blocks of finished HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Shown] = []
        self._divs: list[bool] = []
        self._language = ""
        self._title: str | None = None
        self._text = ""
        self._into: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        if tag == "div":
            outermost = "highlight" in classes and not any(self._divs)
            self._divs.append(outermost)
            if outermost:
                self._language = next(name[len("language-") :] for name in classes if name.startswith("language-"))
                self._title, self._text = None, ""
        elif tag == "span" and "filename" in classes:
            self._title, self._into = "", "title"
        elif tag == "code" and any(self._divs):
            self._into = "text"

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._divs.pop():
            self.blocks.append(Shown(self._language, self._title, self._text.strip("\n")))
        elif tag == "code" or (tag == "span" and self._into == "title"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into == "title":
            self._title = (self._title or "") + data
        elif self._into == "text":
            self._text += data


@cache
def site() -> markdown.Markdown:
    config = load_config(str(ROOT / "mkdocs.yml"))
    made = markdown.Markdown(extensions=config.markdown_extensions, extension_configs=config.mdx_configs)
    # Indented literals would be highlighted just as fences are, and could not be told from them.
    made.treeprocessors.deregister("indent-highlight")
    return made


@cache
def renderer() -> Renderer:
    return Renderer(ROOT / "mkdocs.yml")


def rendered(source: str) -> list[Shown]:
    """The fences that the reader of the site sees."""
    reader = Reader()
    body, _ = meta.get_data(source.replace("\r\n", "\n").replace("\r", "\n"))
    reader.feed(site().reset().convert(body))
    reader.close()
    return reader.blocks


def collected(source: str) -> list[Shown]:
    """The fences that the harness sees."""
    return [shown(fence) for fence in renderer().render(source).fences]


def shown(fence: Fence) -> Shown:
    try:
        find_lexer_class_by_name(fence.language)
        language = fence.language
    except ClassNotFound:
        language = "text"
    return Shown(language, fence.title or None, fence.text.strip("\n"))


def check(source: str) -> None:
    assert collected(source) == rendered(source)
    lines = re.split("\r\n|\r|\n", source)
    for fence in renderer().render(source).fences:
        assert re.search("```|~~~", lines[fence.line - 1])
        assert re.search("```|~~~", lines[fence.end_line - 1])
        for text, line in zip(fence.text.split("\n"), lines[fence.line : fence.end_line - 1], strict=False):
            assert line.expandtabs(4).rstrip().endswith(text.strip())


def fence(*lines: str, info: str = "python", marks: str = "```") -> str:
    return "\n".join([f"{marks}{info}", *(lines or ("x = 1",)), marks]) + "\n"


def indent(text: str, prefix: str = "    ") -> str:
    return "".join(prefix + line if line.strip() else line for line in text.splitlines(keepends=True))


def quote(text: str) -> str:
    return "".join(f"> {line}" if line.strip() else f">{line}" for line in text.splitlines(keepends=True))


def tab(text: str, label: str = "One") -> str:
    return f'=== "{label}"\n\n{indent(text)}\n'


SOURCES = {
    "plain": fence(),
    "two": fence() + "\n" + fence("SELECT 1;", info="sql"),
    "adjacent": fence() + fence("y = 2"),
    "no blank lines": f"Text\n{fence()}Text\n",
    "space before the language": fence(info=" python"),
    "space after the language": fence(info="python "),
    "no language": fence(info=""),
    "unknown language": fence(info="nonsense"),
    "title": fence(info='python title="a/b.py"'),
    "title in single quotes": fence(info="python title='a b'"),
    "title with marks": fence(info='python title="a &amp; <b> *c*"'),
    "empty title": fence(info='python title=""'),
    "title without quotes": fence(info="python title=a") + "\n" + fence(),
    "title without a language": fence(info='title="a"') + "\n" + fence(),
    "highlighted lines": fence("x", "y", "z", info='python hl_lines="1 3"'),
    "highlighted ranges": fence("x", "y", "z", info='python hl_lines="1-2 3"'),
    "line numbers": fence(info='python linenums="1"'),
    "line numbers with a step": fence("x", "y", info='python linenums="5 2 3" title="t"'),
    "all options": fence("x", "y", info='python linenums="1" hl_lines="2" title="t"'),
    "options before the language": fence(info='title="t" python') + "\n" + fence(),
    "unknown option": fence(info='python nonsense="t"') + "\n" + fence(),
    "attribute list": fence(info="{ .python }"),
    "attribute list with title": fence(info='{ .python title="t" .extra #name linenums="1" }'),
    "attribute list with annotations": fence("x = 1  # (1)!", info="{ .python .annotate }") + "\n1.  A note\n",
    "attribute list without spaces": fence(info='{.python title="t"}'),
    "attribute list without a language": fence(info='{ title="t" }'),
    "attribute list after the language": fence(info='python { title="t" }') + "\n" + fence(),
    "attribute list that is not closed": fence(info='{ .python title="t"') + "\n" + fence(),
    "attribute list with data": fence(info='{ .python data-x="1" }'),
    "language with capitals": fence(info="Python"),
    "language with other characters": fence(info="c++") + fence(info="shell-session") + fence(info="objective-c"),
    "info with a comma": fence(info="python, title") + "\n" + fence(),
    "tildes": fence(marks="~~~"),
    "more tildes": fence("~~~", "x", marks="~~~~~"),
    "more backticks": fence("```python", "x", "```", info="text", marks="````"),
    "backticks in tildes": fence("```python", "x", "```", info="text", marks="~~~"),
    "tildes in backticks": fence("~~~python", "x", "~~~", info="text"),
    "as many marks inside": fence("```python", "x", "```", info="text"),
    "unclosed": "```python\nx = 1\n\nText\n",
    "unclosed before another": "```python\nx = 1\n\n" + fence("y"),
    "unclosed longer": "````python\nx = 1\n```\n",
    "closed too long": "```python\nx = 1\n````\n\n" + fence("y"),
    "closed with text": "```python\nx = 1\n``` end\n\n" + fence("y"),
    "closed with spaces": "```python\nx = 1\n```   \n\nText\n",
    "closed with an indent": "```python\nx = 1\n  ```\n\n" + fence("y"),
    "opened with an indent": indent(fence(), "   ") + "\nText\n",
    "opened with one space": indent(fence(), " ") + "\nText\n",
    "empty": "```python\n```\n",
    "blank": "```python\n\n\n```\n",
    "blank lines inside": fence("", "x", "", "", "y", ""),
    "indentation inside": fence("if x:", "    y", "        z"),
    "markup inside": fence("<b>&amp;</b> *x* [y](z) `c` \\n \\` &lt; :smile: [^1] ==x=="),
    "a heading inside": fence("# heading", "", "## another"),
    "a comment inside": fence("<!-- comment", "-->", info="text"),
    "an unfinished comment inside": fence("<!-- comment", info="text") + "\n" + fence("y"),
    "tags inside": fence("<div>", "</p>", "<pre>", info="text") + "\n" + fence("y"),
    "a list inside": fence("- x", "", "    - y", info="text"),
    "tabs": tab(fence("x", info="python")) + tab(fence("y", info="sql"), "Two"),
    "nested tabs": tab("Text\n\n" + tab(fence("y")) + tab(tab(fence("z")))),
    "admonition": f"!!! note\n\n{indent(fence())}",
    "admonition without a blank line": f'!!! note "Title"\n{indent(fence())}',
    "details": f"??? tip\n\n{indent(fence())}\n???+ tip\n\n{indent(fence('y'))}",
    "admonition in details in tabs": tab(f"??? tip\n\n{indent('!!! note' + chr(10) * 2 + indent(fence()))}"),
    "list": f"1.  A\n\n{indent(fence())}\n2.  B\n\n{indent(fence('y'))}",
    "list without a blank line": f"-   A\n{indent(fence())}-   B\n{indent(fence('y'))}",
    "list in a list": f"-   A\n\n    -   B\n\n{indent(fence(), ' ' * 8)}",
    "list that begins with a fence": "-   ```python\n    x = 1\n    ```\n",
    "list with two spaces": f"- A\n\n{indent(fence(), '  ')}\nText\n",
    "list with three spaces": f"1. A\n\n{indent(fence(), '   ')}\n2. B\n",
    "task list": f"- [x] A\n\n{indent(fence())}",
    "fence outside the list's indent": f"-   A\n\n{fence()}\n-   B\n",
    "quote": quote(f"Text\n\n{fence('x', '', 'y')}\nText\n"),
    "quote without spaces": ">```python\n>x = 1\n>```\n",
    "quote in a quote": quote(quote(fence()) + "\n" + fence("y")),
    "quote that ends early": "> ```python\n> x = 1\n\n```\n",
    "quote in a list": f"-   A\n\n{indent(quote(fence()))}",
    "list in a quote": quote(f"-   A\n\n{indent(fence())}"),
    "footnote": f"A[^1]\n\n[^1]:\n    Note\n\n{indent(fence())}\nText\n\n{fence('y')}",
    "footnote that nobody refers to": f"[^1]:\n    Note\n\n{indent(fence())}\nText\n",
    "definition": f"Term\n\n:   Definition\n\n{indent(fence())}",
    "abbreviation": f"*[SQL]: Structured\n\n{fence('SELECT 1; -- SQL', info='sql')}",
    "HTML with Markdown": f"<div markdown>\n\n{fence()}\n</div>\n",
    "HTML with Markdown as a block": f'<div markdown="block">\n{fence()}</div>\n',
    "HTML with Markdown as text": f'<div markdown="span">\n{fence()}</div>\n\n{fence("y")}',
    "HTML with Markdown in it twice": f'<div markdown="1">\n<div markdown="1">\n\n{fence()}\n</div>\n</div>\n',
    "HTML without Markdown": f"<div>\n\n{fence()}\n</div>\n\n{fence('y')}",
    "HTML that is preformatted": f"<pre>\n{fence()}</pre>\n\n{fence('y')}",
    "grid": f'<div class="grid" markdown>\n\n{fence()}\n{fence("y")}\n</div>\n',
    "cards": f'<div class="grid cards" markdown>\n\n-   __A__\n\n    ---\n\n{indent(fence())}\n</div>\n',
    "indented literal": f"Text\n\n{indent(fence(LITERAL))}\n\nText\n\n{fence()}",
    "indented literal in a list": f"-   A\n\n{indent(fence(LITERAL), ' ' * 8)}\n\n{fence()}",
    "comment": f"<!--\n{fence()}-->\n\n{fence('y')}",
    "comment on a line": f"<!-- ```python -->\n\n{fence('y')}",
    "comment in a list": f"-   A\n\n    <!--\n{indent(fence())}    -->\n\n{fence('y')}",
    "inline code": "Use ```` ```python ```` here.\n\n```inline```\n\n" + fence(),
    "inline code over lines": "Text ``` a\nb ``` text\n\n" + fence(),
    "table": f"| a | b |\n| --- | --- |\n| ```python | x |\n\n{fence()}",
    "after a heading": f"# A\n{fence()}## B\n{fence('y')}",
    "after a paragraph": f"Text\n{fence()}",
    "windows line ends": fence("x", "y").replace("\n", "\r\n"),
    "old line ends": fence("x", "y").replace("\n", "\r"),
    "tab characters inside": fence("if x:", "\ty", "a\tb"),
    "tab characters before": indent(fence(), "\t") + "\n" + "-\tA\n\n" + indent(fence("y"), "\t"),
    "tab characters in a literal": "Text\n\n" + indent(fence(LITERAL), "\t") + "\n\nText\n\n" + fence(),
    "no final newline": fence().rstrip("\n"),
    "front matter": f"---\ntitle: x\n---\n\n{fence()}",
    "front matter with a fence": "---\ntitle: |\n  ```python\n---\n\n" + fence(),
    "front matter that is not YAML": f"---\ntitle: [\n---\n\n{fence()}",
    "the same block twice": f"{fence()}\n{fence()}",
    "the same block in two tabs": tab(fence()) + tab(fence(), "Two"),
    "snippet": f'--8<-- "a.md"\n\n{fence()}',
    "escaped": "\\```python\nx = 1\n```\n\nText\n",
    "reference link": f"[a]: b\n{fence()}",
    "rule": f"---\n\n{fence()}\n***\n{fence('y')}",
    "characters beyond the first plane": fence("x = '\U0001f33f ☘ \u2028 \x0c y'") + "\n" + fence("z"),
    "non-breaking space": fence(info="python\u00a0title") + "\n" + fence(),
    "key": f"++ctrl+c++\n\n{fence()}",
}


@pytest.mark.parametrize("name", SOURCES)
def test_source(name: str) -> None:
    check(SOURCES[name])


def test_the_reader_sees_them() -> None:
    """The comparison would hold for two empty lists: most of the sources have blocks, and these are right."""
    assert rendered(SOURCES["all options"]) == [Shown("python", "t", "x\ny")]
    assert rendered(SOURCES["tabs"]) == [Shown("python", None, "x"), Shown("sql", None, "y")]
    assert sum(bool(rendered(source)) for source in SOURCES.values()) > 0.95 * len(SOURCES) - 1
    assert len(SOURCES) >= 48


CONTAINERS: list[Callable[[str], str]] = [
    tab,
    lambda text: f"!!! note\n\n{indent(text)}",
    lambda text: f'??? tip "T"\n\n{indent(text)}',
    lambda text: f"-   Item\n\n{indent(text)}",
    lambda text: f"1.  Item\n\n{indent(text)}\n2.  Item\n",
    quote,
    lambda text: f"Term\n\n:   Definition\n\n{indent(text)}",
    lambda text: f'<div class="grid" markdown>\n\n{text}\n</div>\n',
    lambda text: f"A[^1]\n\n[^1]:\n    Note\n\n{indent(text)}",
    lambda text: f"Text\n\n{text}",
    lambda text: f"<!--\n{text}-->\n",
    lambda text: indent(text, "\t"),
    lambda text: indent(text, " "),
]
INFOS = [
    "python",
    " python ",
    'python title="a/b.py"',
    'sql hl_lines="1"',
    'console linenums="1"',
    '{ .bash title="t" .x }',
    "nonsense",
    "",
    "python title=a",
    "{ .python",
    'title="x"',
]
BODIES = [
    ["x"],
    ["x", "", "y"],
    [],
    ["```"],
    ["~~~python"],
    ["    indented"],
    ["> quoted"],
    ["<div>"],
    ["<!--"],
    ["- item"],
    ["\ttab"],
]
MARKS = ["```", "````", "~~~", "~~~~~"]
ENDS = ["\n", "\n", "\n\n", "Text\n", "\n<p>\n\n"]


def random_page(number: int) -> str:
    choose = random.Random(number)  # noqa: S311 - the same pages in every run
    parts = []
    for index in range(choose.randint(1, 4)):
        marks = choose.choice(MARKS)
        closing = marks if choose.random() < 0.9 else choose.choice(["", marks + marks[0], f"  {marks}", f"{marks} x"])
        body = [f"block {number}-{index}", *choose.choice(BODIES)]
        part = "\n".join([marks + choose.choice(INFOS), *body, closing]) + "\n"
        for _ in range(choose.choice([0, 0, 1, 1, 2, 3])):
            part = choose.choice(CONTAINERS)(part)
        parts.append(part + choose.choice(ENDS))
    page = "\n".join(parts)
    return page.replace("\n", "\r\n") if choose.random() < 0.1 else page


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_random_pages(first: int) -> None:
    for number in range(first, first + 50):
        source = random_page(number)
        assert collected(source) == rendered(source), source

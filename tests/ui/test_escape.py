"""Text from files that would like to be markup; `tests/e2e/test_injection.py` asks the browser."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ui.streamlit_markdown import render
from ui.escape import WORD_JOINER, escape_markdown, safe_link, sanitize_story

WEB = ("http://", "https://")
# Pieces of everything that Streamlit's markdown knows, to be strung together in any order.
PIECES = (
    *("# ", "- ", "1. ", "2) ", "> ", "    ", "\t", "\n", "\n\n", "\r\n", " ", "\ufeff", "\x00"),
    *("*", "**", "_", "~~", "`", "```", "~~~", "mermaid", "===", "---", "|", "|-|", "\\", "!"),
    *("[", "]", "(", ")", "[x]", "](", "]:", "[x]: ", "<", ">", "<b>", "<!--", "&lt;", "&#33;"),
    *("javascript:x", "data:,", "mailto:a@b.org", "a@b.org", "<a/@b>", "//x.org/x.png"),
    *("https://x.org", "HTTP://x.org/", "www.x.org", "\u00a0", "$", "$$", r"\href{x}{y}"),
    *(":", "::", ":::", ":red[", ":help[", "{a=b}", ":rocket:", ":+1:", ":material/home:"),
    *(":streamlit:", "->", "<-", "<->", "--", ">=", "<=", "~=", "a", "Z", "7", WORD_JOINER),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)
CONSTRUCTS = (
    "# heading",
    "1. item",
    "- item",
    "+ item",
    "> quotation",
    "    code",
    "***",
    "a `code` b",
    "```mermaid\nflowchart LR\n```",
    "**bold** _italics_ ~~struck~~",
    "a\n===",
    "| a | b |\n|---|---|\n| c | d |",
    "[x](https://x.org) [x][y]\n\n[y]: https://x.org",
    "![x](https://x.org/x.png)",
    "<https://x.org> <a@b.org>",
    "<b>bold</b> <img src=x onerror=alert(1)> <!-- no -->",
    "&lt;b&gt; &#x41;",
    "$x$ $$y$$ $\\href{javascript:x}{y}$",
    ":red[r] :blue-background[b] :help[h] :small[s] ::leaf{a=b}",
    ":rocket: :+1: :material/home: :material_home: :streamlit:",
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "a \ufeff->\ufeff b",
    "write to a.b@example.com",
)


def seen(text: str) -> str:
    """What can be told apart on a screen: no characters without width, one space for many."""
    return " ".join(text.translate({ord(WORD_JOINER): None, 0xFEFF: None, 0: "\ufffd"}).split())


def test_the_model_of_streamlit_knows_what_is_tried() -> None:
    for construct in CONSTRUCTS:
        rendered = render(construct)
        assert rendered.elements or rendered.replaced or rendered.text != construct, construct


@pytest.mark.parametrize("text", CONSTRUCTS)
def test_text_is_shown_letter_by_letter(text: str) -> None:
    assert_is_text(text)


@given(texts)
def test_any_text_is_shown_letter_by_letter(text: str) -> None:
    assert_is_text(text)


def assert_is_text(text: str) -> None:
    rendered = render(escape_markdown(text))
    assert seen(rendered.text) == seen(text)
    assert not rendered.elements
    assert not rendered.replaced


def test_escaped_text_is_one_line() -> None:
    assert escape_markdown(" a\n\n b\r\n\tc\u2028d ") == "a b c d"
    assert escape_markdown("") == ""


def test_words_and_quotation_marks_stay_as_they_are() -> None:
    assert escape_markdown("it's “Überlang”, 深度; 100%") == "it's “Überlang”, 深度; 100%"


def test_a_story_keeps_its_markdown() -> None:
    story = (
        "**Bold**, [a link](https://x.org/page) and $E = mc^2$.\n\n- one\n- two\n\n"
        "[one](https://x.org)[two](<https://y.org>)\n\n```\nx[0](1)\n```"
    )
    assert sanitize_story(story) == story.replace("](1)", f"]{WORD_JOINER}(1)")


@pytest.mark.parametrize(
    "story",
    [
        "![x](https://x.org/x.png)",
        "![x][y]\n\n[y]: https://x.org/x.png",
        "[![x](https://x.org/x.png)](https://x.org)",
        "[x](javascript:alert(1))",
        "[x](<data:text/html,x>)",
        "[x](\n  file:///etc/passwd)",
        "[x](&#106;avascript:x)",
        "[x](\u00a0https://x.org)",
        "[x](/runs)",
        "[x][y]\n\n[y]:\n  blob:x",
        "<javascript:x> <mailto:a@b.org>",
        "<a/@b>",
        "write to a.b@example.com",
        "> ~~~&#109;ermaid\n> flowchart LR\n> ~~~",
        "- 1) ```mermaid\n     x\n     ```",
        "\ufeff```mermaid\nflowchart LR\n```",
        r":help[\!\[x\]\(//x.org/x.png)]",
        ":red[r] :color[c]{foreground=red} ::leaf[l] :help",
    ],
)
def test_a_story_fetches_nothing_and_links_to_the_web(story: str) -> None:
    before = render(story)
    assert not is_harmless(before.links, before.elements | before.replaced, before.languages)
    assert_story_is_safe(story)


@given(texts)
@example("[x](\x0cjavascript:x)")
@example("\ufeff\ufeff~~~ mermaid")
def test_any_story_fetches_nothing_and_links_to_the_web(text: str) -> None:
    assert_story_is_safe(text)


def assert_story_is_safe(story: str) -> None:
    rendered = render(sanitize_story(story))
    assert is_harmless(rendered.links, rendered.elements | rendered.replaced, rendered.languages)


def is_harmless(
    links: frozenset[str], constructs: frozenset[str], languages: frozenset[str]
) -> bool:
    to_the_web = all(link.lower().startswith(WEB) for link in links)
    return to_the_web and not languages and not constructs & {"image", "directive", "e-mail"}


def test_a_doi_with_angle_brackets_stays_a_link() -> None:
    doi = "10.1002/(SICI)1097-0258(19980815/30)17:15/16<1661::AID-SIM968>3.0.CO;2-2"
    assert render(safe_link(f"https://doi.org/{doi}")).links == {
        f"https://doi.org/{doi.replace('<', '%3C').replace('>', '%3E')}"
    }


def test_an_ordinary_address_stays_as_it_is() -> None:
    url = "https://user@x.org:8080/a_(b)/c?d=e&f=*#g:h"
    assert safe_link(url) == f"<{url}>"


def test_an_address_that_is_not_of_the_web_is_text() -> None:
    for url in ("javascript:alert(1)", "data:,x", "mailto:a@b.org", "//x.org", "x", ""):
        rendered = render(safe_link(url))
        assert (rendered.links, seen(rendered.text)) == (frozenset(), url)


@given(texts)
def test_any_address_is_one_link_or_text(text: str) -> None:
    rendered = render(safe_link(f"https://{text}"))
    assert rendered.elements == {"link_open", "link_close"}
    assert not rendered.replaced - {"e-mail"}, "a link holds no further link"
    assert rendered.links == {rendered.text}
    assert not render(safe_link(text)).elements - rendered.elements

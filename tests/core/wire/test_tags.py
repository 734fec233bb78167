"""Tags of the model family in its text: thoughts become reasoning, box tags are removed, regions become data."""

from __future__ import annotations

import io
import itertools
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image as Pillow

import glmv
from glmv import Box, Image
from glmv.wire.marks import TagFilter, Thought, boxes_in, read_boxes

THOUGHTS: tuple[Thought, ...] = ("marked", "possible", "due")

SPLIT = {
    "plain text": ("The sky.", "The sky.", ""),
    "a line break in front, as vision answers have": ("\nThe sky.", "The sky.", ""),
    "line breaks inside stay": ("\r\n\nOne\n\nTwo\n", "One\n\nTwo\n", ""),
    "a thought": ("<think>Blue?</think>The sky.", "The sky.", "Blue?"),
    "a thought and an answer in its marks (GLM-4.1V)": (
        "<think>Blue?</think><answer>The sky.</answer>",
        "The sky.",
        "Blue?",
    ),
    "line breaks around": ("\n<think>Blue?</think>\n\n<answer>\nThe sky.</answer>", "The sky.", "Blue?"),
    "an empty thought (GLM-4.5V without thinking)": ("<think></think>\nThe sky.", "The sky.", ""),
    "a thought that never ends": ("<think>Blue? Or", "", "Blue? Or"),
    "a box (GLM-4.5V)": ("\n<|begin_of_box|>The scene<|end_of_box|>", "The scene", ""),
    "a line break inside the box": ("<|begin_of_box|>\nThe scene\n<|end_of_box|>", "\nThe scene\n", ""),
    "boxes in the text": ("At <|begin_of_box|>[1, 2, 3, 4]<|end_of_box|>.", "At [1, 2, 3, 4].", ""),
    "an answer about the tag stays whole": ("Use <think> and </think>.", "Use <think> and </think>.", ""),
    "<answer> without a thought is text": ("<answer>HTML</answer>", "<answer>HTML</answer>", ""),
    "less-than signs": ("1 < 2 <3 <| <|begin", "1 < 2 <3 <| <|begin", ""),
    "the beginning of a mark at the end": ("<think>so</thin", "", "so</thin"),
    "only the beginning of a mark": ("<thi", "<thi", ""),
    "only a line break, as before tool calls": ("\n", "", ""),
    "nothing": ("", "", ""),
}


def split(pieces: list[str]) -> tuple[str, str]:
    tags = TagFilter()
    result = [tags.feed(piece) for piece in pieces] + [tags.finish()]
    assert not any(ended for _, _, ended in result)
    return "".join(text for text, _, _ in result), "".join(thought for _, thought, _ in result)


@pytest.mark.parametrize("name", SPLIT)
def test_content_is_divided_into_text_and_reasoning_for_every_split(name: str) -> None:
    content, text, reasoning = SPLIT[name]
    assert split([content]) == (text, reasoning)
    assert split(list(content)) == (text, reasoning)
    for at in range(len(content) + 1):
        assert split([content[:at], content[at:]]) == (text, reasoning)


def test_text_without_tags_is_yielded_at_once() -> None:
    tags = TagFilter()
    assert [tags.feed(piece) for piece in ("\n", "The ", "sky ", "a<b")] == [
        ("", "", False),
        ("The ", "", False),
        ("sky ", "", False),
        ("a<b", "", False),
    ]


tokens = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "<|begin_of_box|>",
        "<|end_of_box|>",
        "<",
        "|>",
        "\n",
        " ",
        "a",
        "</",
        '"',
        "`",
        "(",
        ")",
        "\n```\n",
    ]
)


@given(st.lists(tokens, max_size=8).map("".join), st.lists(st.integers(0, 80), max_size=6))
@example("<|begin<|end_of_box|>_of_box|>", [7, 21])
def test_any_split_of_any_content_gives_the_same_text_and_reasoning(content: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    assert split([content[a:b] for a, b in itertools.pairwise(places)]) == split([content])


@pytest.mark.parametrize(
    "text",
    [
        "[10, 20, 300, 400]",
        "(10,20,300,400)",
        "<10 , 20,300,400>",
        "[[10,20,300,400]]",
        '{"bbox_2d": [10, 20, 300, 400]}',
    ],
)
def test_a_box_is_found_in_every_bracket_style(text: str) -> None:
    assert boxes_in(f"The cat is at {text}.") == (Box((10, 20, 300, 400)),)


def test_a_box_is_given_in_pixels_of_the_only_picture() -> None:
    assert boxes_in("[0, 500, 1000, 1000]", [(640, 480)]) == (Box((0, 500, 1000, 1000), (0, 240, 640, 480), 0),)


def test_if_there_are_two_pictures_a_box_has_pixels_only_if_a_picture_is_selected() -> None:
    sizes = [(100, 100), (2000, 1000)]
    assert boxes_in("[0, 0, 500, 500]", sizes) == (Box((0, 0, 500, 500)),)
    assert boxes_in("[0, 0, 500, 500]", sizes, image=1) == (Box((0, 0, 500, 500), (0, 0, 1000, 500), 1),)


def test_a_box_can_be_converted_to_pixels_of_any_picture() -> None:
    buffer = io.BytesIO()
    Pillow.new("RGB", (300, 200)).save(buffer, "PNG")
    box = Box((0, 500, 1000, 1000))
    assert box.on(Image.from_bytes(buffer.getvalue())) == (0, 100, 300, 200)
    with pytest.raises(glmv.InvalidRequestError, match="is not known"):
        box.on(Image.from_url("https://example.com/a.png"))


def test_a_box_on_a_picture_of_unknown_size_has_only_grid_coordinates() -> None:
    assert boxes_in("[0, 0, 500, 500]", [None]) == (Box((0, 0, 500, 500)),)


def test_several_boxes_keep_the_order_of_the_text() -> None:
    assert [box.grid for box in boxes_in("a [1,2,3,4] b [5,6,7,8]")] == [(1, 2, 3, 4), (5, 6, 7, 8)]


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        "[500, 0, 100, 9]",
        "[0, 0, 1001, 9]",
        "[1.5, 2, 3, 4]",
        "[2024, 1, 2, 3]",
    ],
)
def test_numbers_with_a_wrong_count_or_order_or_range_are_not_a_box(text: str) -> None:
    assert boxes_in(text) == ()


@pytest.mark.parametrize(
    ("text", "grids"),
    [
        ("[[12.4, 20.6, 300.0, 400.5]]", [(12, 21, 300, 400)]),
        ("[-3, 40, 996, 1012]", [(0, 40, 996, 1000)]),
        ("小狗在［１２，２０，３００，４００］。", [(12, 20, 300, 400)]),
        ("坐标：【12，20，300，400】", [(12, 20, 300, 400)]),
        ("(12, 20), (300, 400)", [(12, 20, 300, 400)]),
        ("[[12, 20], [300, 400]]", [(12, 20, 300, 400)]),
        ('{"bbox_2d": [[1, 2, 3, 4], [500, 500, 504, 503]]}', [(1, 2, 3, 4), (500, 500, 504, 503)]),
        ("dog: [12, 20, 300, 400]", [(12, 20, 300, 400)]),
        ("The bounding box (5, 6, 7, 8) holds a fly.", [(5, 6, 7, 8)]),
    ],
)
def test_a_box_is_read_in_spellings_that_models_use(text: str, grids: list[tuple[int, ...]]) -> None:
    assert [box.grid for box in boxes_in(text)] == grids


@pytest.mark.parametrize(
    "text",
    [
        "Add the spices [2, 3, 4, 5] last.",
        "Step sizes were [10, 20, 30, 40].",
        '{"ids": [5, 6, 7, 8]}',
        "The winning numbers (7, 23, 410, 900) were drawn.",
        '{"scores": [12, 40, 561, 890]}',
        "It is painted in rgba(12, 40, 200, 255) all over.",
        "The years [12, 48, 410, 476] are carved in.",
        "分数：【12，40，561，890】很高。",
        "The outline is [[100, 200], [300, 400], [500, 650]].",
        "[0.1, 0.2, 0.6, 0.7]",
        "a screen of [1920, 1080, 2500, 1440]",
        "Version (1.0, 2, 3, 4)",
    ],
)
def test_four_numbers_such_as_ids_or_scores_or_years_are_not_a_box(text: str) -> None:
    assert boxes_in(text) == ()


def test_a_clipped_box_adds_a_note_with_its_numbers() -> None:
    boxes, notes = read_boxes("[19, 300, 1004, 476] and [1, 2, 300, 400]", [(2000, 1000)])
    assert [box.pixels for box in boxes] == [(38, 300, 2000, 476), (2, 2, 600, 400)]
    assert len(notes) == 1
    assert "[19, 300, 1004, 476]" in notes[0]


CLOSED = {
    "a thought without its opening mark": ("It is red.</think>Red", "Red", "It is red."),
    "an answer in its mark": ("Red?\n</think>\n\n<answer>\nRed</answer>", "Red", "Red?\n"),
    "a box in it": ("<|begin_of_box|>1<|end_of_box|></think>\n<|begin_of_box|>2<|end_of_box|>", "2", "1"),
    "nothing before the mark": ("\n</think>\nRed", "Red", ""),
    "nothing behind the mark": ("Hm.</think>", "", "Hm."),
    "no mark": ("Red <b>", "Red <b>", ""),
    "the beginning of the mark": ("Red</thin", "Red</thin", ""),
    "an opening mark first": ("<think>Hm.</think>Red</think>", "Red</think>", "Hm."),
    "an opening mark in the text": ("Use <think> and </think>.", "Use <think> and </think>.", ""),
    "the mark in code": ("End it by `</think>`.", "End it by `</think>`.", ""),
    "the mark in quotes": ('"</think>" ends it.', '"</think>" ends it.', ""),
    "the mark in code, and one that counts": ("So `</think>`.</think>Red", "Red", "So `</think>`."),
    "a thought that ends in quotes": ('I will say "Red"</think>Red', "Red", 'I will say "Red"'),
    "quotes on both sides": ('I will say "Red"</think>"Red"', '"Red"', 'I will say "Red"'),
    "code on both sides": ("I will say `Red`</think>`Red`", "`Red`", "I will say `Red`"),
    "a quote that does not end": ('So "</think>Red', "Red", 'So "'),
    "a quote at the end": ("It's 'Red'</think>", "", "It's 'Red'"),
    "parentheses before the mark": ("Red (dark)</think>(Red)", "(Red)", "Red (dark)"),
    "a block of code before the mark": ("Say:\n```\nRed\n```\n</think>\nRed", "Red", "Say:\n```\nRed\n```\n"),
    "a block of code that ends at the mark": (
        "```json\n{}\n```</think>```\n{}\n```",
        "```\n{}\n```",
        "```json\n{}\n```",
    ),
    **{
        f"the mark in {quoted}": (quoted, quoted, "")
        for quoted in (
            "Write:\n```\n</think>\n```\nDone.",
            "Write:\n~~~xml\na</think>b\n~~~\nDone.",
            "- so:\n  ````\n```\n</think>\n  ````\nDone.",
            "End it by “</think>”, ‘</think>’ or «</think>».",
            "The mark (</think>) ends it.",
            "用「</think>」（</think>）结束。",
            "使用\"</think>\"结束，不是'</think>'。",
            "It's '</think>' and \"</think>\".",
        )
    },
    "a second mark": ("Hm.</think>Red</think>", "Red</think>", "Hm."),
}


def split_open(pieces: list[str], thought: Thought) -> tuple[str, str]:
    tags = TagFilter(thought)
    text = reasoning = ""
    for step in (*(lambda piece=piece: tags.feed(piece) for piece in pieces), tags.finish):
        more, thoughts, ended = step()
        if ended:
            text, reasoning = "", reasoning + text
        text, reasoning = text + more, reasoning + thoughts
    return text, reasoning


@pytest.mark.parametrize("thought", ["possible", "due"])
@pytest.mark.parametrize("name", CLOSED)
def test_reasoning_without_an_opening_tag_is_separated_for_every_split(name: str, thought: Thought) -> None:
    content, text, reasoning = CLOSED[name]
    assert split_open([content], thought) == (text, reasoning)
    assert split_open(list(content), thought) == (text, reasoning)
    for at in range(len(content) + 1):
        assert split_open([content[:at], content[at:]], thought) == (text, reasoning)


@pytest.mark.parametrize("content", ["It is red.</think>Red", "a </think> b", "`</think>`"])
def test_a_closing_tag_is_text_if_reasoning_always_has_an_opening_tag(content: str) -> None:
    assert split([content]) == split(list(content)) == (content, "")


def test_text_is_held_back_only_if_reasoning_is_expected() -> None:
    assert [TagFilter(thought).feed("Red") for thought in THOUGHTS] == [
        ("Red", "", False),
        ("Red", "", False),
        ("", "", False),
    ]


def test_after_reasoning_in_its_own_field_a_think_tag_in_the_content_is_text() -> None:
    for thought in THOUGHTS:
        tags = TagFilter(thought)
        tags.settle(thought=True)
        assert [tags.feed("Red</think>!"), tags.finish()] == [("Red</think>!", "", False), ("", "", False)]
        tags = TagFilter(thought)
        tags.settle(thought=True)
        assert (tags.feed("\n<answer>Red"), tags.feed("</answer>")) == (("Red", "", False), ("", "", False))


def test_answer_tags_after_a_tool_call_are_text() -> None:
    for thought in THOUGHTS:
        tags = TagFilter(thought)
        tags.settle(thought=False)
        assert [tags.feed("<answer>Red</answer>"), tags.finish()] == [
            ("<answer>Red</answer>", "", False),
            ("", "", False),
        ]


@pytest.mark.parametrize("thought", ["possible", "due"])
@given(content=st.lists(tokens, max_size=8).map("".join), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_any_split_gives_the_same_reasoning_if_the_opening_tag_may_be_missing(
    content: str, cuts: list[int], thought: Thought
) -> None:
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[a:b] for a, b in itertools.pairwise(places)]
    assert split_open(pieces, thought) == split_open([content], thought) == split_open([content], "due")


@pytest.mark.parametrize("piece", ['"</think>" ', "`</think>`\n", "(</think>", "```\n</think>"])
def test_many_quoted_tags_are_read_in_linear_time(piece: str) -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        split_open([piece] * count, "possible")
        return time.process_time() - started

    few, many = (min(seconds(count) for _ in range(3)) for count in (2000, 32_000))
    assert many < 100 * few + 0.2  # 16 times as many; quadratic time would be 256 times as long


def test_long_held_back_reasoning_is_read_in_linear_time() -> None:
    tags = TagFilter("due")
    assert all(tags.feed("a <") == ("", "", False) for _ in range(100_000))
    assert len(tags.finish()[0]) == 300_000


@pytest.mark.parametrize(
    ("text", "grids", "clipped"),
    [
        ("[0, 0, 1000, 1000]", [(0, 0, 1000, 1000)], 0),
        ("[-100, 0, 500, 1100]", [(0, 0, 500, 1000)], 1),
        ("[-101, 0, 500, 900]", [], 0),
        ("[0, 0, 500, 1101]", [], 0),
        ("[0, -1, 500, 900] and [0, 0, 1001, 900]", [(0, 0, 500, 900), (0, 0, 1000, 900)], 2),
    ],
)
def test_coordinates_up_to_a_tenth_outside_the_grid_are_clipped_to_its_edge(
    text: str, grids: list[tuple[int, ...]], clipped: int
) -> None:
    boxes, notes = read_boxes(text)
    assert ([box.grid for box in boxes], len(notes)) == (grids, clipped)


@pytest.mark.parametrize(
    ("text", "is_box"),
    [
        ("The cat [100, 200, 110, 300] sits.", True),
        ("The cat [100, 200, 109, 300] sits.", False),
        ("The cat [100, 200, 300, 210] sits.", True),
        ("The cat [100, 200, 300, 209] sits.", False),
        ("The cat [100, 200, 300, 401] sits.", True),
        ("The cat [100, 200, 300, 400] sits.", False),
        ("The cat [100.5, 200, 300, 401] sits.", True),
        ("The cat sits at [5, 6, 5, 6].", True),
        ("The cat sits at [5, 6, 7, 8].", True),
        ("The cat sits at [0, 1, 2, 3].", True),
        ("The cat sits at [998, 998, 999, 1000].", True),
        ("The cat sits at [998, 998, 999, 1001].", False),
        ("The cat sits at [5, 6, 4, 8].", False),
        ("The cat sits at [5, 6, 7, 5].", False),
        ("The cat sits at [5.5, 6, 12, 80].", False),
        ("The cat sits at [5.5, 6, 120, 80].", True),
        ("The cat sits at [-5, 6, 4, 8].", False),
        ("The score at [100, 200, 300, 401] is high.", True),
        ("The scores [100, 200, 300, 401] are high.", False),
        ("The scores are these: [100, 200, 300, 401] here", True),
    ],
)
def test_values_and_preceding_words_decide_whether_four_numbers_are_a_box(text: str, is_box: bool) -> None:
    assert bool(boxes_in(text)) is is_box


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("at [1, 2, 3, 4], [5, 6, 7, 8]", 2),
        ("at [1, 2, 3, 4];\n[5, 6, 7, 8]\t[9, 9, 9, 9] too", 3),
        ("at [1, 2, 3, 4], or rather [5, 6, 7, 8]", 1),
        ("[5, 6, 7, 8] and at [1, 2, 3, 4]", 1),
        ("at [1, 2, 3, 4]" + " " * 38 + "[5, 6, 7, 8] too", 2),
        ("at [1, 2, 3, 4]" + " " * 40 + "[5, 6, 7, 8] too", 1),
        ("dog: [1, 2, 3, 4], cat: [5, 6, 7, 8]", 2),
        ("dog [1, 2, 3, 4]; cat [5, 6, 7, 8]", 2),
        ("dog [1, 2, 3, 4] or cat [5, 6, 7, 8]", 0),
        ("dog [1, 2, 3, 4], cat [5, 6, 7, 8] and a bird", 0),
        ("a dog [1, 2, 3, 4], a cat [5, 6, 7, 8]", 0),
        ("- **[1, 2, 3, 4]**", 1),
        ("Five of these:\n[1, 2, 3, 4]\nand more", 1),
        ("Five of these: [1, 2, 3, 4]\nand more", 0),
        ("It is at\n many: [1, 2, 3, 4]", 0),
    ],
)
def test_small_boxes_are_read_in_lists_of_boxes_and_in_lines_of_their_own(text: str, count: int) -> None:
    assert len(boxes_in(text)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(12, 20) (300, 400)", 1),
        ("(12, 20), (300, 400), (500, 600)", 0),
        ("(12, 20), (300, 400) and (500, 600), (700, 850)", 2),
        ("(300, 400), (12, 20)", 0),
    ],
)
def test_two_ordered_corners_are_a_box_and_three_points_are_not(text: str, count: int) -> None:
    assert len(boxes_in(text)) == count


def test_a_box_has_only_grid_coordinates_if_the_picture_index_does_not_exist() -> None:
    assert boxes_in("[0, 0, 500, 500]", [(100, 100)], image=1) == (Box((0, 0, 500, 500)),)
    assert boxes_in("[0, 0, 500, 500]", [], image=0) == (Box((0, 0, 500, 500)),)


@pytest.mark.parametrize("length", [1900, 2100])
def test_a_box_in_a_very_long_line_is_read_only_after_a_word(length: int) -> None:
    assert len(boxes_in(" " * length + "[1, 2, 3, 4]")) == (length < 2000)
    assert len(boxes_in("[1, 2, 3, 4]" + " " * length)) == (length < 2000)
    assert len(boxes_in("-" * length + " at [1, 2, 3, 4]")) == 1


def test_a_box_alone_in_its_line_is_read_between_very_long_lines() -> None:
    assert len(boxes_in("x" * 5000 + "\n[1, 2, 3, 4]\n" + "x" * 5000)) == 1

"""The layout of the words on a page: rows, and labels with the values next to, below or above them."""

# ruff: noqa: E501 - a row of words and patterns is easier to read on one line
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache

from glmv_emulator.eyes.reading import Code, Line, Reading, read_image
from glmv_emulator.eyes.words import key_words, stem, to_figure, words

# Words that forms use for the same thing.
SYNONYMS = {
    "no": "number", "nr": "number", "num": "number", "id": "number", "编号": "number", "单号": "number", "号码": "number",
    "amount": "total", "sum": "total", "合计": "total", "总计": "total", "总额": "total", "金额": "total", "总价": "total", "共计": "total",
    "tel": "phon", "telephon": "phon", "mobil": "phon", "电话": "phon", "手机": "phon", "日期": "dat", "day": "dat",
    "qty": "quantity", "count": "quantity", "数量": "quantity", "vat": "tax", "税额": "tax", "税费": "tax", "税率": "tax",
    "姓名": "nam", "名称": "nam", "地址": "addr", "address": "addr", "单价": "pric", "价格": "pric", "pric": "pric", "cost": "pric",
    "mail": "email", "邮箱": "email", "time": "time", "时间": "time", "problem": "fault", "defect": "fault", "故障": "fault",
}  # fmt: skip
# Property names for the text in the largest print of a page.
_HEADING = {
    "merchant", "stor", "shop", "vendor", "company", "business", "seller", "restaurant", "titl", "head", "header", "supplier", "caf", "issuer",
    "商家", "店名", "标题", "公司", "商店",
}  # fmt: skip
# Lines of a bill that are not items.
_SUMS = {
    "total", "subtotal", "tax", "chang", "cash", "card", "paid", "pay", "balanc", "due", "discount", "tip", "number", "amount", "vat",
}  # fmt: skip
FIGURE = re.compile(r"^\W{0,2}(?:[A-Z]{3}\s?)?[-+]?\d[\d.,\s]*(?:\s?(?:%|[A-Z]{3}|[a-zA-Z]{1,3}|元|€|\$))?\W{0,2}$")
_MONEY = re.compile(r"\d[.,]\d{2}(?!\d)")
_COUNTED = re.compile(r"^\s*(\d+)\s*[x×*]\s*(.+)$", re.IGNORECASE)
_CURRENCY = {"€": "EUR", "$": "USD", "¥": "CNY", "￥": "CNY", "£": "GBP", "元": "CNY"}
_CODES = re.compile(r"\b(?:EUR|USD|CNY|RMB|GBP|JPY|CHF|CAD|AUD|INR|KRW|HKD|SEK|NOK|DKK|PLN)\b")


def label_words(text: str) -> set[str]:
    """The stems of a label's words; words that mean the same become one word."""
    stems = {stem(word) for word in words(text) if len(word) > 1 or not word.isascii()}
    return {SYNONYMS.get(word, word) for word in stems} - {"the", "of", "on"}


class Sheet:
    """The lines and codes that were read in a picture, and the rows and columns in which they stand."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.lines: list[Line] = [*reading.lines]
        self.codes: list[Code] = [*reading.codes]

    @cached_property
    def grid(self) -> list[list[Line]]:
        """The lines as rows from top to bottom, each from left to right."""
        rows: list[list[Line]] = []
        for line in sorted(self.lines, key=_middle):
            height = line.box[3] - line.box[1]
            if rows and abs(_middle(rows[-1][0]) - _middle(line)) < 0.5 * height:
                rows[-1].append(line)
            else:
                rows.append([line])
        return [sorted(row, key=lambda line: line.box[0]) for row in rows]

    def text(self) -> str:
        """All lines, row by row, and the contents of the codes."""
        rows = [" ".join(line.text for line in row) for row in self.grid]
        return "\n".join([*rows, *(code.text for code in self.codes)])

    def heading(self) -> str:
        """The topmost of the largest lines in the upper half of the page; "" if there is none."""
        upper = [
            line
            for line in self.lines
            if _middle(line) < 0.5 * self.reading.height and re.search(r"[^\W\d]{2}", line.text)
        ]
        tall = max((line.box[3] - line.box[1] for line in upper), default=0)
        large = [line for line in upper if line.box[3] - line.box[1] >= 0.7 * tall]
        return min(large, key=lambda line: (line.box[1], line.box[0])).text if large else ""

    def values_of(self, name: str, hint: str) -> list[str]:
        """The values for a property's name; if there are none, the values for its title and description (``hint``)."""
        names = {SYNONYMS.get(word, word) for word in key_words(name)}
        if names & _HEADING:
            return [heading] if (heading := self.heading()) else []
        if "currency" in names or "货币" in names or "币种" in names:
            return self._currencies()
        if names & {"qr", "barcod", "cod"} and self.codes:
            return [code.text for code in self.codes]
        values = [value for _, value in self.labelled(names)]
        if not values and hint:
            hint_words = label_words(hint)
            values = [value for label, value in self.labelled(hint_words, whole_label=True) if label]
        return values

    def labelled(self, wanted: set[str], *, whole_label: bool = False) -> Iterator[tuple[str, str]]:
        """Labels that share words with ``wanted``, the best match first, each with its value.

        With ``whole_label`` all words of the label must be in ``wanted``.
        """
        scored: list[tuple[float, float, int, str, str]] = []
        for index, (label, value) in enumerate(self._valued()):
            have = label_words(label)
            shared = len(have & wanted)
            if not shared or (whole_label and not have <= wanted) or (not whole_label and 2 * shared < len(wanted)):
                continue
            scored.append((-shared / len(wanted), -shared / len(have), index, label, value))
        for _, _, _, label, value in sorted(scored, key=lambda row: row[:3]):
            yield label, value

    def _valued(self) -> Iterator[tuple[str, str]]:
        """Pairs of a label and a value that may belong to it. The heading is not a label."""
        heading = self.heading()
        for label, line, rest in self._labels():
            if not rest and line.text == heading and len(self._row_of(line)) == 1:
                continue
            yield from ((label, value) for value in ([rest] if rest else self._beside(line)))

    def _labels(self) -> Iterator[tuple[str, Line, str]]:
        for row in self.grid:
            for line in row:
                yield from self._labels_of(line)

    def _labels_of(self, line: Line) -> Iterator[tuple[str, Line, str]]:
        label, colon, rest = [*re.split(r"\s*([:：])\s*(?!\d\d\b)", line.text, maxsplit=1), "", ""][:3]
        if colon and label:
            yield label, line, rest.strip()
        elif not FIGURE.match(line.text):
            yield line.text, line, self._within(line)

    @staticmethod
    def _within(line: Line) -> str:
        """The amount of money at the end of a line such as "Total 16.90"; "" if there is none."""
        match = re.search(r"^\D{2,}?\s+((?:[$€£¥￥]\s?)?\d[\d.,]*(?:\s?(?:[A-Z]{3}|[€元]))?)$", line.text)
        return (
            match.group(1)
            if match and (_MONEY.search(match.group(1)) or re.search(r"[$€£¥￥元]", match.group(1)))
            else ""
        )

    def _row_of(self, line: Line) -> list[Line]:
        return next(row for row in self.grid if line in row)

    def _beside(self, line: Line) -> list[str]:
        """The values of a label: the text to its right. If there is none, both the text below and the number above.

        In a row of labels (more than two texts, most of them not numbers) the text to the right is not used.
        """
        row = self._row_of(line)
        right = [other for other in row if other.box[0] >= line.box[2] - 2]
        is_head = len(row) > 2 and sum(bool(FIGURE.match(other.text)) for other in row) * 2 < len(row)
        column = [other for other in self.lines if other is not line and _same_column(line, other)]
        below = sorted((o for o in column if o.box[1] >= line.box[3] - 3), key=lambda o: o.box[1])[:1]
        above = sorted((o for o in column if o.box[3] <= line.box[1] + 3), key=lambda o: -o.box[3])[:1]
        height = line.box[3] - line.box[1]
        below = [other for other in below if other.box[1] - line.box[3] < 2.5 * height]
        figures = [other for other in above if FIGURE.match(other.text)]
        if is_head:
            return [other.text for other in (*below, *figures)]
        if right:
            return [right[0].text]
        return [other.text for other in (*below, *figures)]

    def bars(self) -> list[tuple[str, float]]:
        """The labels of a chart's axis, each with the number above or below it; [] if no row has such labels."""
        for row in self.grid:
            labels = [line for line in row if not FIGURE.match(line.text)]
            if len(labels) < 3 or len(labels) < len(row) - 1:
                continue
            bars = []
            for line in labels:
                figure = next((value for value in self._beside(line) if FIGURE.match(value)), None)
                number = to_figure(figure) if figure else None
                if number is not None:
                    bars.append((line.text, number))
            if len(bars) == len(labels):
                return bars
        return []

    def pairs(self) -> list[tuple[str, str]]:
        """Each label with its value: the two parts of one line, or the only two lines of a row."""
        pairs = []
        for row in self.grid:
            inside = [(label, rest) for line in row for label, _, rest in self._labels_of(line) if rest]
            pairs += inside or (
                [(row[0].text.rstrip(" :："), row[1].text)] if len(row) == 2 and not FIGURE.match(row[0].text) else []
            )
        return pairs

    def table(self) -> list[list[str]]:
        """The rows with at least three cells."""
        return [[line.text for line in row] for row in self.grid if len(row) > 2]

    def rows(self, names: Sequence[str]) -> list[dict[str, str]]:
        """The rows of a table, the items of a bill or the bars of a chart, each as a dict from property name to text."""
        return self._under_heads(names) or self._items(names) or self._bars(names)

    def _under_heads(self, names: Sequence[str]) -> list[dict[str, str]]:
        for index, row in enumerate(self.grid):
            heads = {name: line for name in names for line in row if _fits(name, line.text)}
            if len(heads) < 2 or len({id(line) for line in heads.values()}) < 2:
                continue
            rows = []
            for below in self.grid[index + 1 :]:
                if len(below) < 2:
                    break
                cells = {name: cell.text for name, head in heads.items() for cell in below if _same_column(head, cell)}
                if len(cells) < 2 or (label_words(below[0].text) and label_words(below[0].text) <= _SUMS):
                    break
                rows.append(cells)
            if rows:
                return rows
        return []

    def _items(self, names: Sequence[str]) -> list[dict[str, str]]:
        items: list[dict[str, str]] = []
        for row in self.grid:
            if len(row) < 2 or not _MONEY.search(row[-1].text) or not re.search(r"[^\W\d]{2}", row[0].text):
                continue
            if label_words(row[0].text) & _SUMS:
                if items:
                    break
                continue
            count_match = _COUNTED.match(row[0].text)
            number = to_figure(row[-1].text) or 0.0
            times = int(count_match.group(1)) if count_match else 1
            item = {"quantity": str(times), "pric": f"{number:.2f}", "unit": f"{number / (times or 1):.2f}"}
            item["nam"] = count_match.group(2) if count_match else row[0].text
            items.append({name: item[key] for name in names if (key := _item_key(name)) is not None})
        return [row for row in items if len(row) >= min(2, len(names))]

    def _bars(self, names: Sequence[str]) -> list[dict[str, str]]:
        bars = self.bars()
        if len(names) != 2 or not bars:
            return []
        figures = {
            "valu",
            "quantity",
            "number",
            "total",
            "y",
            "sal",
            "sold",
            "height",
            "percent",
            "shar",
            "scor",
            *label_words(self.heading()),
        }
        counts = [name for name in names if {SYNONYMS.get(word, word) for word in key_words(name)} & figures]
        if len(counts) != 1:
            return []
        other = next(name for name in names if name not in counts)
        return [{other: label, counts[0]: f"{number:g}"} for label, number in bars]

    def _currencies(self) -> list[str]:
        text = self.text()
        return [*_CODES.findall(text), *(code for sign, code in _CURRENCY.items() if sign in text)][:1]


class Sheets:
    """Several pages that are searched as one."""

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self.sheets = sheets

    def values_of(self, name: str, hint: str) -> list[str]:
        return [value for sheet in self.sheets for value in sheet.values_of(name, hint)]

    def rows(self, names: Sequence[str]) -> list[dict[str, str]]:
        return [row for sheet in self.sheets for row in sheet.rows(names)]

    def text(self) -> str:
        return "\n".join(sheet.text() for sheet in self.sheets)


@lru_cache(maxsize=64)
def _sheet(reading: Reading) -> Sheet:
    return Sheet(reading)


def sheet_of(data: bytes | None) -> Sheet | None:
    """The `Sheet` of a picture that `look_image` accepts; None without the extra `eyes` or without bytes."""
    reading = read_image(data) if data is not None else None
    return None if reading is None else _sheet(reading)


def _middle(line: Line) -> float:
    return (line.box[1] + line.box[3]) / 2


def _same_column(one: Line, other: Line) -> bool:
    shared = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    return shared > 0.5 * min(one.box[2] - one.box[0], other.box[2] - other.box[0])


def _fits(name: str, label: str) -> bool:
    wanted, have = {SYNONYMS.get(word, word) for word in key_words(name)}, label_words(label)
    return bool(wanted & have) and 2 * len(wanted & have) >= len(have)


def _item_key(name: str) -> str | None:
    wanted = {SYNONYMS.get(word, word) for word in key_words(name)}
    if "unit" in wanted:
        return "unit"
    if wanted & {"quantity", "number"}:
        return "quantity"
    if wanted & {"pric", "total", "valu"}:
        return "pric"
    return (
        "nam"
        if wanted & {"nam", "item", "product", "description", "descript", "titl", "articl", "text", "label"}
        else None
    )

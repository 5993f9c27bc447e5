"""A small table that prints well in a terminal and in Jupyter."""

import html
from collections.abc import Sequence


class Table:
    """Rows of text under a header: `str(table)` aligns them, Jupyter shows them as HTML. Columns in `right` align right."""

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), caption: str = ""):
        self.header, self.rows, self.right, self.caption = list(header), [list(row) for row in rows], set(right), caption

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in [self.header, *self.rows]) for i in range(len(self.header))]
        lines = [
            "  ".join(
                cell.rjust(w) if i in self.right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in [self.header, *self.rows]
        ]
        return "\n".join([*([self.caption] if self.caption else []), *(line.rstrip() for line in lines)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            style = [f' style="text-align:{"right" if i in self.right else "left"};white-space:pre"' for i in range(len(cells))]
            return "<tr>" + "".join(f"<{tag}{s}>{html.escape(c)}</{tag}>" for c, s in zip(cells, style, strict=True)) + "</tr>"

        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        body = "".join(row(cells, "td") for cells in self.rows)
        return f"<table>{caption}<thead>{row(self.header, 'th')}</thead><tbody>{body}</tbody></table>"

"""Reads report.html as a browser would: tags that close, links, tables, pictures."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "hr", "input"}
LINKS = ("src", "href", "srcset", "action", "poster", "data", "xlink:href")


@dataclass
class Table:
    label: str
    rows: list[list[str]] = field(default_factory=list)


class Page(HTMLParser):
    """Fails at the first tag that does not match."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict]] = []
        self.links: list[tuple[str, str]] = []
        self.images: list[dict] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.tables: list[Table] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attrs = dict(attributes)
        self.tags.add(tag)
        self.links += [(name, attrs[name]) for name in LINKS if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            self.images.append(attrs)
        if tag == "table":
            labels = [a["aria-label"] for _, a in self.open if "aria-label" in a]
            self.tables.append(Table(labels[-1]))
        if tag == "tr":
            self.tables[-1].rows.append([])
        if tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag not in VOID:
            self.open.append((tag, attrs))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "style" in tags:
            return
        self.text += data + " "
        if "td" in tags or "th" in tags:
            self.tables[-1].rows[-1][-1] = " ".join((self.tables[-1].rows[-1][-1] + " " + data).split())
        if tags and tags[-1] in ("h1", "h2"):
            self.headings[-1] += data

    def table(self, label: str) -> list[list[str]]:
        return next(table.rows for table in self.tables if table.label == label)

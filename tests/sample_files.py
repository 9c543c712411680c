"""Small valid files of every format that can be read, and hostile ones: made in memory, always the same bytes."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence

import docx
import openpyxl
import pptx

DAY = datetime.datetime(2024, 3, 5, 8, 0)
SENTENCES = ("员工入职满一年后每年享受十五天带薪年假。", "差旅费用应当在返回后三十天内报销。", "The office opens at nine in the morning.")
ROWS = (("城市", "住宿标准"), ("北京", "600"), ("Lyon", "450"))
_ZIP_DAY = (2024, 3, 5, 8, 0, 0)


def zipped(members: dict[str, bytes], *, compress: bool = True) -> bytes:
    """A zip archive of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _ZIP_DAY)
            info.compress_type = zipfile.ZIP_DEFLATED if compress and name != "mimetype" else zipfile.ZIP_STORED
            archive.writestr(info, data)
    return out.getvalue()


def rezipped(data: bytes, changed: dict[str, bytes]) -> bytes:
    """A zip archive with some members changed or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    return zipped({**members, **changed})


def pdf(pages: Sequence[Sequence[str]] = ((*SENTENCES,),), *, outline: Sequence[tuple[str, int]] = (), extra: str = "") -> bytes:
    """A PDF: each page's lines from the top, 20 points apart; a line that begins with `# ` is larger. `outline` has (title, page).

    The font is STSong-Light by name, whose characters readers know (Adobe-GB1), so that Chinese text needs no font file.
    """
    kids = [f"{10 + 2 * n} 0 R" for n in range(len(pages))]
    objects: dict[int, str] = {
        1: f"<< /Type /Catalog /Pages 2 0 R /Outlines 5 0 R {extra} >>",
        2: f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(pages)} >>",
        3: "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [4 0 R] >>",
        4: "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> /DW 1000 "
        "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 4 /Ascent 880 /Descent -120 /CapHeight 880 "
        "/ItalicAngle 0 /StemV 93 /FontBBox [0 -120 1000 880] >> >>",
        6: "<< /Title <FEFF54585DE5624B518C> /Author (Zhang) /CreationDate (D:20240305080000) >>",
    }
    first = 10 + 2 * len(pages)
    marks = [first + n for n in range(len(outline))]
    objects[5] = f"<< /Type /Outlines {f'/First {marks[0]} 0 R /Last {marks[-1]} 0 R ' if marks else ''}/Count {len(marks)} >>"
    for n, (title, page) in enumerate(outline):
        following = f"/Next {marks[n + 1]} 0 R" if n + 1 < len(marks) else ""
        objects[marks[n]] = f"<< /Title <FEFF{title.encode('utf-16-be').hex()}> /Parent 5 0 R /Dest [{kids[page - 1]} /Fit] {following} >>"
    for n, lines in enumerate(pages):
        content = page_content(lines)
        objects[10 + 2 * n] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents {11 + 2 * n} 0 R >>"
        )
        objects[11 + 2 * n] = f"<< /Length {len(content)} >>\nstream\n{content}\nendstream"
    return pdf_of(objects, info=6)


def page_content(lines: Sequence[str]) -> str:
    """The content stream of a page with these lines."""
    parts = []
    for n, line in enumerate(lines):
        size, text = (18, line[2:]) if line.startswith("# ") else (11, line)
        parts.append(f"BT /F1 {size} Tf 50 {790 - 20 * n} Td <{text.encode('utf-16-be').hex()}> Tj ET")
    return "\n".join(parts)


def pdf_of(objects: dict[int, str], *, info: int | None = None) -> bytes:
    """The file of these objects, number 1 the catalogue, with a correct table of their places."""
    out = io.BytesIO(b"")
    out.write(b"%PDF-1.7\n")
    places: dict[int, int] = {}
    for number, body in objects.items():
        places[number] = out.tell()
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {max(objects) + 1}\n0000000000 65535 f \n".encode())
    for number in range(1, max(objects) + 1):
        out.write(f"{places[number]:010} 00000 n \n".encode() if number in places else b"0000000000 00000 f \n")
    said = f"/Info {info} 0 R" if info else ""
    out.write(f"trailer\n<< /Size {max(objects) + 1} /Root 1 0 R {said} >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def pdf_of_letters(meant: dict[str, str], shown: str, *, size: int = 20) -> bytes:
    """A page that shows these letters, each of which stands for the text that `meant` says."""
    mapped = " ".join(f"<{ord(letter):02X}> <{text.encode('utf-16-be').hex()}>" for letter, text in meant.items())
    cmap = f"begincmap 1 begincodespacerange <00> <FF> endcodespacerange {len(meant)} beginbfchar {mapped} endbfchar endcmap"
    content = f"BT /F1 {size} Tf 50 300 Td ({shown}) Tj ET"
    return pdf_of(
        {
            1: "<< /Type /Catalog /Pages 2 0 R >>",
            2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>",
            4: f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
            5: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>",
            6: f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream",
        }
    )


def pdf_table(rows: Sequence[Sequence[str]] = ROWS) -> bytes:
    """A page with a sentence above and below a table whose cells are drawn as boxes."""
    parts = [f"BT /F1 11 Tf 50 790 Td <{SENTENCES[0].encode('utf-16-be').hex()}> Tj ET"]
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            x, y = 50 + 150 * c, 730 - 24 * r
            parts.append(f"{x} {y} 150 24 re S BT /F1 11 Tf {x + 5} {y + 8} Td <{cell.encode('utf-16-be').hex()}> Tj ET")
    parts.append(f"BT /F1 11 Tf 50 500 Td <{SENTENCES[1].encode('utf-16-be').hex()}> Tj ET")
    content = "\n".join(parts).encode()
    whole = pdf([["x"]])
    begin, end = whole.index(b"<< /Length"), whole.index(b"endstream")
    body = b"<< /Length %d >>\nstream\n%s\n" % (len(content), content)
    return whole[:begin] + body + whole[end:]


def word() -> bytes:
    """Headings of two levels, a paragraph, a list and a table."""
    document = docx.Document()
    document.core_properties.title, document.core_properties.author = "员工手册", "Zhang"
    document.core_properties.created = document.core_properties.modified = DAY
    document.add_heading("休假", 1)
    document.add_paragraph(SENTENCES[0])
    document.add_heading("报销", 2)
    for item in ("发票", "行程单"):
        document.add_paragraph(item, style="List Bullet")
    table = document.add_table(rows=len(ROWS), cols=2)
    for r, row in enumerate(ROWS):
        for c, cell in enumerate(row):
            table.cell(r, c).text = cell
    document.add_paragraph(SENTENCES[2])
    return _saved(document.save)


def slides() -> bytes:
    """Two slides: a title with bullets, a title with a table and a note."""
    show = pptx.Presentation()
    show.core_properties.title = "员工手册"
    show.core_properties.created = show.core_properties.modified = DAY
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text, first.placeholders[1].text = "休假", "\n".join(SENTENCES[:2])
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = "报销"
    table = second.shapes.add_table(len(ROWS), 2, 1_000_000, 2_000_000, 5_000_000, 1_000_000).table
    for r, row in enumerate(ROWS):
        for c, cell in enumerate(row):
            table.cell(r, c).text = cell
    second.notes_slide.notes_text_frame.text = SENTENCES[2]
    return _saved(show.save)


def sheets() -> bytes:
    """A sheet with a table, an empty one, and a hidden one."""
    book = openpyxl.Workbook()
    book.properties.title, book.properties.created = "标准", DAY
    first = book.active
    first.title = "住宿"
    for row in (*ROWS, ("上海", 550.0), ("日期", DAY.replace(hour=0))):
        first.append(row)
    book.create_sheet("空")
    hidden = book.create_sheet("隐藏")
    hidden.append(["秘密"])
    hidden.sheet_state = "hidden"
    return _saved(book.save)


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    """What a library saves, with the same dates each time."""
    out = io.BytesIO()
    save(out)
    with zipfile.ZipFile(out) as archive:
        return zipped({info.filename: archive.read(info) for info in archive.infolist()})


def csv() -> bytes:
    """A table as Chinese Excel writes it: GB 18030."""
    return "".join(",".join(row) + "\r\n" for row in (*ROWS, ("备注", '"含早餐, 不含税"'))).encode("gb18030")


def html() -> bytes:
    """A page with navigation, an article with headings, list and table, and a foot."""
    table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in ROWS)
    long = "".join(f"<p>{SENTENCES[0]}{SENTENCES[1]}第{n}条。</p>" for n in range(8))
    return (
        '<!DOCTYPE html><html lang="zh-CN"><head><meta charset="utf-8"><title>员工手册</title><meta name="author" content="Zhang">'
        '<meta property="article:published_time" content="2024-03-05T08:00:00Z"><script>alert("no")</script></head><body>'
        '<nav><a href="/">首页</a><a href="/about">关于我们</a></nav>'
        f"<article><h1>休假</h1>{long}<h2>报销</h2><ul><li>发票</li><li>行程单</li></ul><table>{table}</table><pre>x = 1\ny = 2</pre></article>"
        "<footer>版权所有</footer></body></html>"
    ).encode()


def markdown() -> bytes:
    """Front matter, headings, a list, a table and code."""
    table = "\n".join("| " + " | ".join(row) + " |" for row in (ROWS[0], ("---", "---"), *ROWS[1:]))
    return (
        f"---\ntitle: 员工手册\ndate: 2024-03-05\n---\n# 休假\n\n{SENTENCES[0]}\n**{SENTENCES[1]}**\n\n## 报销\n\n- 发票\n- 行程单\n\n{table}\n\n"
        "```python\nx = 1\n```\n"
    ).encode()


def text() -> bytes:
    """Two chapters in GB 18030."""
    return f"第一章 休假\r\n\r\n{SENTENCES[0]}\r\n\r\n第二章 报销\r\n\r\n{SENTENCES[1]}\r\n".encode("gb18030")


def rows() -> bytes:
    """Three rows of JSON."""
    return "".join(
        json.dumps({"id": n, "title": f"条目{n}", "text": said}, ensure_ascii=False) + "\n" for n, said in enumerate(SENTENCES)
    ).encode()


def epub(chapters: Sequence[str] = SENTENCES) -> bytes:
    """A book of one sentence a chapter."""
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>员工手册</dc:title><dc:creator>Zhang</dc:creator>'
        f"<dc:language>zh-CN</dc:language><dc:date>2024-03-05</dc:date></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    members = {"mimetype": b"application/epub+zip", "META-INF/container.xml": container.encode(), "OEBPS/book.opf": package.encode()}
    for n, said in enumerate(chapters):
        page = (
            f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body><h1>第{n + 1}章</h1><p>{said}</p></body></html>'
        )
        members[f"OEBPS/c{n}.xhtml"] = page.encode()
    return zipped(members)


def archive() -> bytes:
    """A zip archive with two files, one in a folder, and one in an archive of its own."""
    return zipped({"手册/a.txt": text(), "b.md": markdown(), "inner.zip": zipped({"c.csv": csv()})})


VALID: dict[str, Callable[[], bytes]] = {
    "a.pdf": pdf,
    "table.pdf": pdf_table,
    "a.docx": word,
    "a.pptx": slides,
    "a.xlsx": sheets,
    "a.csv": csv,
    "a.html": html,
    "a.md": markdown,
    "a.txt": text,
    "a.jsonl": rows,
    "a.epub": epub,
}


def billion_laughs() -> str:
    """A document type whose entity `lol9` is 10^9 words long when expanded."""
    steps = "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE lolz [<!ENTITY lol0 "lol">{steps}]>'


def outside_entity(path: str) -> str:
    """A document type whose entity `leak` is a file of this machine."""
    return f'<!DOCTYPE leak [<!ENTITY leak SYSTEM "file://{path}">]>'


def zip_bomb(mib: int = 200) -> bytes:
    """A member of zeros that packs about 1,000 times."""
    return zipped({"zeros.txt": bytes(mib << 20)})


def lying_zip(said: int = 10) -> bytes:
    """A member that says to hold `said` bytes, in both of its headers, but holds 2 MiB."""
    data = zipped({"a.txt": b"a" * (2 << 20)})
    size = (2 << 20).to_bytes(4, "little")
    return data.replace(size, said.to_bytes(4, "little"))


def encrypted_zip() -> bytes:
    """An archive whose member says that it needs a password."""
    data = bytearray(zipped({"a.txt": b"secret"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def encrypted_office() -> bytes:
    """The beginning of a compound file with the stream that an encrypted Office document has."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(1024)


def encrypted_pdf() -> bytes:
    """A PDF that asks for a password (standard security handler, revision 2)."""
    objects = {1: "<< /Type /Catalog /Pages 2 0 R >>", 2: "<< /Type /Pages /Kids [] /Count 0 >>"}
    key = "<" + "41" * 32 + ">"
    whole = pdf_of({**objects, 3: f"<< /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >>"})
    return whole.replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt 3 0 R /ID [<00> <00>]")


def pdf_bomb(mib: int = 300) -> bytes:
    """A page whose content unpacks to blanks, through two filters."""
    packer = zlib.compressobj(1)
    once = b"".join([*(packer.compress(b" " * (1 << 20)) for _ in range(mib)), packer.flush()])
    twice = zlib.compress(once, 9)
    body = f"<< /Length {len(twice)} /Filter [/FlateDecode /FlateDecode] >>\nstream\n{twice.decode('latin-1')}\nendstream"
    return pdf_of(
        {
            1: "<< /Type /Catalog /Pages 2 0 R >>",
            2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
            4: body,
        }
    )


def huge_picture() -> bytes:
    """A PDF page with a picture that says to have a million by a million points."""
    return pdf_of(
        {
            1: "<< /Type /Catalog /Pages 2 0 R >>",
            2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /XObject << /I 5 0 R >> >> /Contents 4 0 R >>",
            4: "<< /Length 12 >>\nstream\nq /I Do Q   \nendstream",
            5: "<< /Type /XObject /Subtype /Image /Width 1000000 /Height 1000000 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Length 3 >>\n"
            "stream\nabc\nendstream",
        }
    )


def nested_html(depth: int = 100_000) -> bytes:
    """Elements within elements."""
    return b"<!doctype html><html><body>" + b"<div>" * depth + b"deep"


def _lying_sheet() -> bytes:
    """A sheet that says to have 2^34 cells and has one, in its last place."""
    cell = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>corner</t></is></c></row>'
    return (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/>'
        f"<sheetData>{cell}</sheetData></worksheet>"
    ).encode()


# One file of each kind that was made to do harm, by name.
HOSTILE: dict[str, Callable[[], bytes]] = {
    "bomb.zip": zip_bomb,
    "bomb.docx": lambda: rezipped(word(), {"word/document.xml": b"<a>" + bytes(100 << 20)}),
    "bomb.pdf": pdf_bomb,
    "nested.zip": lambda: zipped({"1.zip": zipped({"2.zip": zipped({"3.zip": zipped({"a.txt": b"deep"})})})}),
    "many.zip": lambda: zipped({f"{n}.txt": b"x" for n in range(10_050)}, compress=False),
    "lying.zip": lying_zip,
    "outside.zip": lambda: zipped({"../../outside.txt": b"x", "/etc/outside.txt": b"x", "C:\\outside.txt": b"x"}),
    "locked.zip": encrypted_zip,
    "locked.docx": encrypted_office,
    "locked.pdf": encrypted_pdf,
    "picture.pdf": huge_picture,
    "laughs.docx": lambda: rezipped(word(), {"word/document.xml": f'<?xml version="1.0"?>{billion_laughs()}<a>&lol9;</a>'.encode()}),
    "leak.pptx": lambda: rezipped(
        slides(), {"ppt/slides/slide1.xml": f'<?xml version="1.0"?>{outside_entity("/etc/passwd")}<a>&leak;</a>'.encode()}
    ),
    "laughs.xlsx": lambda: rezipped(sheets(), {"xl/sharedStrings.xml": f'<?xml version="1.0"?>{billion_laughs()}<a>&lol9;</a>'.encode()}),
    "leak.epub": lambda: rezipped(
        epub(), {"OEBPS/book.opf": f'<?xml version="1.0"?>{outside_entity("/etc/passwd")}<a>&leak;</a>'.encode()}
    ),
    "laughs.html": lambda: f"<!doctype html>{billion_laughs()}<html><body>&lol9;</body></html>".encode(),
    "laughs.xml": lambda: f'<?xml version="1.0"?>{billion_laughs()}<a>&lol9;</a>'.encode(),
    "deep.html": nested_html,
    "deep.jsonl": lambda: b"[" * 200_000,
    "deep.md": lambda: b"> " * 50_000 + b"deep",
    "brackets.md": lambda: b"[" * 50_000,
    "quote.csv": lambda: b'a,b\n"' + b"x" * (2 << 20),
    "sheet.xlsx": lambda: rezipped(sheets(), {"xl/worksheets/sheet1.xml": _lying_sheet()}),
    "noise.txt": lambda: bytes(range(256)) * 64,
    "blank.txt": lambda: b" \n" * 100,
}

"""Files made to cost a reader more than they weigh: loops, amplifiers, absurd sizes, and what is quadratic. In memory, always the same bytes."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable

from tests import sample_files
from tests.sample_files import epub, pdf_of, pdf_of_letters, rezipped, slides, word

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def picture_pdf(picture: str, *, box: str = "0 0 595 842", content: str = "q 500 0 0 700 0 0 cm /I Do Q") -> bytes:
    """One page of this size with this picture (dictionary and stream) and nothing else."""
    return pdf_of(
        {
            1: "<< /Type /Catalog /Pages 2 0 R >>",
            2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Resources << /XObject << /I 5 0 R >> >> /Contents 4 0 R >>",
            4: f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
            5: picture,
        }
    )


def picture(data: bytes, *, width: int, height: int, coding: str, bits: int = 8) -> str:
    """A picture in shades of grey: its dictionary and its stream."""
    return (
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent {bits} "
        f"/Filter {coding} /Length {len(data)} >>\nstream\n{data.decode('latin-1')}\nendstream"
    )


def zeros(mib: int) -> bytes:
    """So many MiB of zeros, packed a thousand times."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(mib)), packer.flush()])


def fax_picture() -> bytes:
    """A JBIG2 page of 65,535 by 65,535 points that is one empty region (ITU-T T.88, 7.2 and 7.4)."""
    size = (65_535).to_bytes(4, "big")
    page = bytes([0, 0, 0, 0, 0x30, 0, 1]) + (19).to_bytes(4, "big") + size * 2 + bytes(11)
    region = (
        bytes([0, 0, 0, 1, 0x26, 0, 1]) + (30).to_bytes(4, "big") + size * 2 + bytes(9) + b"\x00\x03\xff\xfd\xff\x02\xfe\xfe\xfe" + bytes(4)
    )
    return picture_pdf(picture(page + region, width=65_535, height=65_535, coding="/JBIG2Decode", bits=1))


def looping_outline() -> bytes:
    """An outline whose only title is followed by itself and stands under itself."""
    whole = sample_files.pdf(outline=[("x", 1)])
    return whole.replace(b"/Parent 5 0 R /Dest [10 0 R /Fit] ", b"/First 12 0 R /Next 12 0 R /Dest [10 0 R /Fit] ")


def looping_pages() -> bytes:
    """A tree of pages that holds itself."""
    return pdf_of({1: "<< /Type /Catalog /Pages 2 0 R >>", 2: "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 /Parent 2 0 R >>"})


def looping_form() -> bytes:
    """A drawing that draws itself, twice."""
    form = "q /I Do Q q /I Do Q"
    return picture_pdf(
        f"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /I 5 0 R >> >> /Length {len(form)} >>\nstream\n{form}\nendstream"
    )


def long_letters() -> bytes:
    """A font in which each of 3,000 letters on the page stands for 500 characters."""
    return pdf_of_letters({"A": "A" * 500}, "A" * 3_000, size=2)


def document(body: str) -> bytes:
    """A DOCX file with this body."""
    return rezipped(
        word(), {"word/document.xml": f'<?xml version="1.0"?><w:document {_WORD}><w:body>{body}</w:body></w:document>'.encode()}
    )


def cell(inner: str, span: int = 1) -> str:
    """A table of one cell."""
    return f'<w:tbl><w:tblGrid><w:gridCol/></w:tblGrid><w:tr><w:tc><w:tcPr><w:gridSpan w:val="{span}"/></w:tcPr>{inner}<w:p/></w:tc></w:tr></w:tbl>'


def nested_tables(depth: int) -> str:
    """Tables in tables."""
    body = "<w:p><w:r><w:t>deep</w:t></w:r></w:p>"
    for _ in range(depth):
        body = cell(body)
    return body


def repeated_chapter() -> bytes:
    """A book that reads its one chapter of half a megabyte 50,000 times."""
    book = epub(["".join(f"The same again, {n * 7_919:x}. " for n in range(25_000))])
    package = zipfile.ZipFile(io.BytesIO(book)).read("OEBPS/book.opf").decode()
    return rezipped(book, {"OEBPS/book.opf": package.replace('<itemref idref="c0"/>', '<itemref idref="c0"/>' * 50_000).encode()})


def outside_chapter() -> bytes:
    """A book whose chapters lie outside of it."""
    book = epub()
    package = zipfile.ZipFile(io.BytesIO(book)).read("OEBPS/book.opf").decode()
    return rezipped(book, {"OEBPS/book.opf": package.replace('href="c', 'href="../../../../etc/passwd?').encode()})


def encrypted_chapter() -> bytes:
    """A book with rights management."""
    said = '<encryption><EncryptedData><CipherData><CipherReference URI="OEBPS/c0.xhtml"/></CipherData></EncryptedData></encryption>'
    return rezipped(epub(), {"META-INF/encryption.xml": said.encode()})


def looping_slides() -> bytes:
    """A slide that is its own layout and its own notes."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    name = "http://schemas.openxmlformats.org/package/2006/relationships"
    links = "".join(
        f'<Relationship Id="r{n}" Type="{kind}/{what}" Target="slide1.xml"/>' for n, what in enumerate(("slideLayout", "notesSlide"))
    )
    return rezipped(slides(), {"ppt/slides/_rels/slide1.xml.rels": f'<Relationships xmlns="{name}">{links}</Relationships>'.encode()})


def nested_groups(depth: int = 60) -> bytes:
    """Shapes in groups in groups, deeper than is read."""
    show = slides()
    slide = zipfile.ZipFile(io.BytesIO(show)).read("ppt/slides/slide1.xml").decode()
    opened = "<p:grpSp><p:nvGrpSpPr><p:cNvPr id='9' name='g'/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>"
    return rezipped(
        show, {"ppt/slides/slide1.xml": slide.replace("</p:spTree>", opened * depth + "</p:grpSp>" * depth + "</p:spTree>").encode()}
    )


# One file of each kind, by name.
COSTLY: dict[str, Callable[[], bytes]] = {
    "pixels.pdf": lambda: picture_pdf(picture(zeros(900), width=30_000, height=31_400, coding="/FlateDecode")),
    "fax.pdf": fax_picture,
    "vast.pdf": lambda: picture_pdf(picture(zlib.compress(bytes(100)), width=10, height=10, coding="/FlateDecode"), box="0 0 1e9 1e9"),
    "sliver.pdf": lambda: picture_pdf(picture(zlib.compress(bytes(100)), width=10, height=10, coding="/FlateDecode"), box="0 0 14400 .01"),
    "outline.pdf": looping_outline,
    "pages.pdf": looping_pages,
    "form.pdf": looping_form,
    "letters.pdf": long_letters,
    "rules.pdf": lambda: sample_files.pdf([["x"]]).replace(b"BT /F1 11", b"0 0 9 9 re S " * 20_000 + b"BT /F1 11"),
    "span.docx": lambda: document(cell("<w:p><w:r><w:t>wide</w:t></w:r></w:p>", span=100_000_000)),
    "tables.docx": lambda: document(nested_tables(60)),
    "depth.docx": lambda: document("<w:p>" * 50_000 + "</w:p>" * 50_000),
    "repeated.epub": repeated_chapter,
    "outside.epub": outside_chapter,
    "locked.epub": encrypted_chapter,
    "loop.pptx": looping_slides,
    "groups.pptx": nested_groups,
    "line.jsonl": lambda: json.dumps({"text": "word " * 4_000_000}).encode(),
    "digits.jsonl": lambda: b'{"text": ' + b"9" * 2_000_000 + b"}",
    "quotes.csv": lambda: b'"' * (2 << 20),
    "commas.csv": lambda: b"," * (8 << 20),
    "tables.html": lambda: b"<!doctype html><html><body>" + b"<table><tr><td>" * 300 + b"deep",
    "comments.html": lambda: b"<!--" * 500_000,
    "attributes.html": lambda: b"<!doctype html><html><body " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">x",
    "items.html": lambda: b"<!doctype html><html><body>" + b"<ul><li>" * 200 + b"<span>x</span>" * 50_000,
    "images.md": lambda: b"![[]()" * 30_000,
    "stars.md": lambda: b"*a **b _c __d " * 30_000,
    "ticks.md": lambda: b" ".join(b"`" * n for n in range(1, 2_000)),
    "angles.md": lambda: b"<a " * 100_000,
    "links.md": lambda: b"[a]: b\n" * 50_000 + b"[a]" * 50_000,
    "lists.md": lambda: b"".join(b"  " * n + b"- x\n" for n in range(2_000)),
    "cells.md": lambda: b"|" * 20_000 + b"\n" + b"|-" * 20_000 + b"\n" + b"|x" * 20_000,
    "chapters.txt": lambda: ("第" + "一" * 50_000).encode() + b"\n" * 1_000_000,
    "names.zip": lambda: sample_files.zipped({f"{'n' * 60_000}{number}.txt": b"x" for number in range(20)}),
}

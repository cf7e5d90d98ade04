"""Files for the tests of the file plugin: real ones, by the libraries that people use, and hostile ones.

Every function returns bytes. What is hostile is made by hand, since no library makes it.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any

_TEXT = (
    "the quick brown fox jumps over the lazy dog while seven wizards mix a jar of liquid vowels near Oslo "
    "station at noon and 1234 trains leave"
)
_WORDS = _TEXT.split()


def lines(count: int, seed: int = 1) -> list[str]:
    """Lines of ten words each, the same for the same seed."""
    chosen = random.Random(seed)
    return [" ".join(chosen.choice(_WORDS) for _ in range(10)) for _ in range(count)]


# --- PDF


def pdf(pages: Sequence[Sequence[str]], *, title: str = "A report", password: str | None = None) -> bytes:
    """A PDF with these lines on its pages."""
    from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
    from reportlab.pdfgen import canvas  # type: ignore[import-untyped]

    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=A4, encrypt=password)
    made.setTitle(title)
    made.setAuthor("Ada Lovelace")
    for page in pages:
        made.setFont("Times-Roman", 12)
        for n, line in enumerate(page):
            made.drawString(50, 800 - 18 * n, line)
        made.showPage()
    made.save()
    return out.getvalue()


def scan(original: bytes, *, kept: Sequence[int] = ()) -> bytes:
    """A PDF whose pages are pictures of another's, a little turned and blurred, except those `kept`."""
    import pypdf
    import pypdfium2  # type: ignore[import-untyped]
    from PIL import Image, ImageFilter

    document = pypdfium2.PdfDocument(original)
    source = pypdf.PdfReader(io.BytesIO(original))
    writer = pypdf.PdfWriter()
    for n, page in enumerate(document):
        if n + 1 in kept:
            writer.add_page(source.pages[n])
            continue
        image = page.render(scale=200 / 72).to_pil().convert("L")
        turned = image.rotate(0.7, fillcolor=255, resample=Image.Resampling.BICUBIC)
        out = io.BytesIO()
        turned.filter(ImageFilter.GaussianBlur(0.6)).save(out, "PDF", resolution=200)
        writer.add_page(pypdf.PdfReader(io.BytesIO(out.getvalue())).pages[0])
    document.close()
    whole = io.BytesIO()
    writer.write(whole)
    return whole.getvalue()


def stamped(original: bytes, stamp: str) -> bytes:
    """A PDF with a text printed at the foot of each page of another."""
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(original))
    for page in writer.pages:
        width, height = float(page.mediabox.width), float(page.mediabox.height)
        foot = pypdf.PdfReader(io.BytesIO(_text_page(stamp, width, height)))
        page.merge_page(foot.pages[0])
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _text_page(text: str, width: float, height: float) -> bytes:
    from reportlab.pdfgen import canvas

    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(width, height))
    made.setFont("Helvetica", 7)
    made.drawString(50, 20, text)
    made.showPage()
    made.save()
    return out.getvalue()


def raw_pdf(objects: Mapping[int, bytes], root: int = 1) -> bytes:
    """A PDF of objects as they are given, with a right table of where they are."""
    out, places = bytearray(b"%PDF-1.7\n"), {}
    for number, body in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in places.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, place)
    size = max(objects) + 1
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, table)
    return bytes(out)


def looping_pdf(count: int = 1000) -> bytes:
    """A PDF whose page tree leads back to itself."""
    return raw_pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Count %d /Kids [3 0 R 2 0 R] >>" % count,
            3: b"<< /Type /Pages /Count %d /Parent 2 0 R /Kids [2 0 R 3 0 R] >>" % count,
        }
    )


def pdf_of_many_pages(count: int) -> bytes:
    """A PDF that has the same page very often, by reference."""
    return raw_pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, b"3 0 R " * count),
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>",
        }
    )


def pdf_of_many_objects(count: int) -> bytes:
    """A PDF of a page and very many objects that nothing needs."""
    return raw_pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>",
            **dict.fromkeys(range(4, 4 + count), b"1"),
        }
    )


def pdf_bomb(size: int) -> bytes:
    """A PDF whose page is a stream that is packed twice and unpacks to `size` bytes of nothing to draw."""
    packed = zlib.compress(zlib.compress(b" " * size, 9), 9)
    stream = b"<< /Filter [/FlateDecode /FlateDecode] /Length %d >>\nstream\n%s\nendstream" % (
        len(packed),
        packed,
    )
    return raw_pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R >>",
            4: stream,
        }
    )


# --- office files


def docx(title: str = "Minutes of May", paragraphs: Sequence[str] = ("We met on Monday.",)) -> bytes:
    """A Word file with a heading, paragraphs and a table."""
    import docx as library

    document = library.Document()
    document.add_heading("Minutes", 1)
    for text in paragraphs:
        document.add_paragraph(text)
    rows = [("Name", "Age"), ("Ada", "36"), ("Alan", "41")]
    table = document.add_table(rows=len(rows), cols=2)
    for n, row in enumerate(rows):
        for m, text in enumerate(row):
            table.cell(n, m).text = text
    document.core_properties.title = title
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def xlsx(rows: Sequence[Sequence[Any]] = (("Month", "Sum"), ("May", 12.5))) -> bytes:
    """An Excel file with one sheet."""
    import openpyxl  # type: ignore[import-untyped]

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sales"
    for row in rows:
        sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def pptx() -> bytes:
    """A PowerPoint file with one slide."""
    import pptx as library

    show = library.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "The plan"
    slide.placeholders[1].text = "Step one"
    out = io.BytesIO()
    show.save(out)
    return out.getvalue()


def odf(kind: str, body: str) -> bytes:
    """An OpenDocument file, `text` or `spreadsheet`; the body may have the prefixes of `names`."""
    names = "".join(
        f' xmlns:{one}="urn:oasis:names:tc:opendocument:xmlns:{one}:1.0"'
        for one in ("office", "text", "table")
    )
    content = f'<?xml version="1.0"?><office:document-content{names}><office:body>{body}</office:body>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("content.xml", f"{content}</office:document-content>")
    return out.getvalue()


def odt() -> bytes:
    """An OpenDocument text."""
    return odf("text", "<office:text><text:h>Title</text:h><text:p>Hello</text:p></office:text>")


def ods_of_a_billion_cells() -> bytes:
    """An OpenDocument sheet of one row that is repeated to the last."""
    row = (
        '<table:table-row table:number-rows-repeated="1048576"><table:table-cell '
        'table:number-columns-repeated="16384"><text:p>A</text:p></table:table-cell></table:table-row>'
    )
    return odf("spreadsheet", f"<office:spreadsheet><table:table>{row}</table:table></office:spreadsheet>")


def damaged(content: bytes, seed: int) -> bytes:
    """A file with a few bytes changed, a piece cut out, or one doubled; the same for the same seed."""
    chosen, changed = random.Random(seed), bytearray(content)
    for _ in range(chosen.randint(1, 8)):
        at = chosen.randrange(len(changed))
        length = chosen.choice((1, 1, 4, 50, 500))
        match chosen.choice(("change", "change", "cut", "double")):
            case "change":
                changed[at : at + length] = chosen.randbytes(len(changed[at : at + length]))
            case "cut":
                del changed[at : at + length]
            case _:
                changed[at:at] = changed[at : at + length]
        if not changed:
            return b"x"
    return bytes(changed)


def with_part(original: bytes, name: str, content: bytes) -> bytes:
    """An office file with one of its parts in the place of the one that it had."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info.filename, old.read(info))
        new.writestr(name, content)
    return out.getvalue()


def part(original: bytes, name: str) -> bytes:
    """A part of an office file."""
    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        return archive.read(name)


def docx_with_template(target: str) -> bytes:
    """A Word file that loads its template from elsewhere when it is opened."""
    office = "http://schemas.openxmlformats.org"
    relations = (
        f'<?xml version="1.0"?><Relationships xmlns="{office}/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{office}/officeDocument/2006/relationships/attachedTemplate" '
        f'Target="{target}" TargetMode="External"/></Relationships>'
    )
    return with_part(docx(), "word/_rels/settings.xml.rels", relations.encode())


def docx_with_entities() -> bytes:
    """A Word file whose XML declares entities that grow ("billion laughs")."""
    body = part(docx(), "word/document.xml").decode()
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    head, _, rest = body.partition("?>")
    declared = f'{head}?><!DOCTYPE d [<!ENTITY l0 "lol">{entities}]>{rest}'.replace("We met", "&l9; We met")
    return with_part(docx(), "word/document.xml", declared.encode())


def xlsx_of_a_billion_cells(*, dimension_only: bool = False) -> bytes:
    """An Excel file with a cell at each end of a sheet, or one that only says so."""
    sheet = part(xlsx(), "xl/worksheets/sheet1.xml").decode()
    if dimension_only:
        return with_part(xlsx(), "xl/worksheets/sheet1.xml", sheet.replace("A1:B2", "A1:XFD1048576").encode())
    last = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    return with_part(xlsx(), "xl/worksheets/sheet1.xml", sheet.replace("</sheetData>", last).encode())


# --- mails and web pages


def mail(body: str = "Dear Bob, the trains leave at noon.") -> bytes:
    """A mail with a text, the same as HTML, and an attachment."""
    message = EmailMessage()
    message["From"], message["To"] = "Ada <ada@example.org>", "bob@example.org"
    message["Subject"], message["Date"] = "Trains", "Mon, 01 Mar 2027 10:00:00 +0100"
    message.set_content(body)
    message.add_alternative(f"<p>{body}</p>", subtype="html")
    message.add_attachment(b"%PDF-1.7 pretended", maintype="application", subtype="pdf", filename="plan.pdf")
    return message.as_bytes()


def mail_of_parts(count: int) -> bytes:
    """A mail with very many parts."""
    parts = b"".join(b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" for _ in range(count))
    head = b"From: a@example.org\r\nSubject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + parts + b"--b--\r\n"


def nested_mail(depth: int) -> bytes:
    """A mail whose parts are within parts, very deep."""
    head = b"From: a@example.org\r\nSubject: deep\r\n"
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )
    return head + opened + b"Content-Type: text/plain\r\n\r\nbottom\r\n"


def nested_html(depth: int) -> bytes:
    """A web page whose elements are within elements, very deep."""
    return (
        b"<!doctype html><html><body>" + b"<div>" * depth + b"bottom" + b"</div>" * depth + b"</body></html>"
    )


# --- pictures


def png(width: int, height: int) -> bytes:
    """A small file of a white picture that may be ever so large."""
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")

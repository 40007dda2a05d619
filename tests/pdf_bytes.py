"""PDF files for tests, written byte by byte: lines of text at given places, in any script, without a font file."""

import zlib


def pdf_bytes(pages: list[list[tuple[float, float, str]]], *, title: str = "", compressed: bool = True) -> bytes:
    """A PDF with a list of (x, y, line) on each page. Glyph n is the nth character; ToUnicode tells what it means."""
    glyphs = {c: i + 1 for i, c in enumerate(dict.fromkeys("".join(line for page in pages for _, _, line in page)))}
    mapped = "".join(f"<{i:04x}> <{c.encode('utf-16-be').hex()}>\n" for c, i in glyphs.items())
    blocks = mapped.splitlines(keepends=True)
    ranges = [blocks[i : i + 100] for i in range(0, len(blocks), 100)]
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /T def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        + "".join(f"{len(r)} beginbfchar\n{''.join(r)}endbfchar\n" for r in ranges)
        + "endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    widths = " ".join(f"{i} [{500 if c.isascii() else 1000}]" for c, i in glyphs.items())
    kids = " ".join(f"{7 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R] "
        b"/ToUnicode 5 0 R >>",
        f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) "
        f"/Supplement 0 >> /DW 1000 /W [{widths}] /FontDescriptor 6 0 R >>".encode(),
        _stream(cmap.encode(), compressed),
        b"<< /Type /FontDescriptor /FontName /F /Flags 4 /FontBBox [0 -200 1000 800] /ItalicAngle 0 /Ascent 800 "
        b"/Descent -200 /CapHeight 700 /StemV 80 >>",
    ]
    for number, page in enumerate(pages):
        shown = "".join(
            f"BT /F1 10 Tf 1 0 0 1 {x} {y} Tm <{''.join(f'{glyphs[c]:04x}' for c in line)}> Tj ET\n"
            for x, y, line in page
        )
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {8 + 2 * number} 0 R >>".encode(),
            _stream(shown.encode(), compressed),
        ]
    info = f"<< /Title <feff{title.encode('utf-16-be').hex()}> >>".encode() if title else b"<< >>"
    return _file([*objects, info], info_number=len(objects) + 1)


def _stream(data: bytes, compressed: bool) -> bytes:
    packed = zlib.compress(data) if compressed else data
    kind = b" /Filter /FlateDecode" if compressed else b""
    return b"<< /Length %d%s >>\nstream\n%s\nendstream" % (len(packed), kind, packed)


def _file(objects: list[bytes], *, info_number: int) -> bytes:
    data, offsets = b"%PDF-1.7\n", list[int]()
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"<< /Size %d /Root 1 0 R /Info %d 0 R >>" % (len(objects) + 1, info_number)
    return data + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n%s\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1, table, trailer, len(data),
    )  # fmt: skip

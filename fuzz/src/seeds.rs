//! Writes a first corpus: sound artifacts from `forge`, into `fuzz/corpus/inspect`.

use std::fs;
use std::path::Path;

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
    egress()?;
    println!("{}", folder.display());
    Ok(())
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

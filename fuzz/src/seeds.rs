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
    println!("{}", folder.display());
    Ok(())
}

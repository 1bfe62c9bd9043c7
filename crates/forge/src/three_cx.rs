//! A small product as the attackers of 3CX found and left it, in March 2023, harmlessly: an installer with two
//! libraries from another vendor, one of them signed.
//!
//! The poisoned release has (1) an `ffmpeg.dll` of the same name and exports that also reads files, and (2) a
//! `d3dcompiler_47.dll` with 275 KB hidden in the certificate table, behind a signature whose digest still matches.

use crate::{MARKER, PeImage, TestSigner, noise, stuff_certificate_table};

/// How much was hidden behind the signature.
const HIDDEN_BYTES: usize = 275 * 1024;

/// The maker of the product's releases. Two makers have different test keys.
pub struct ThreeCx {
    signer: TestSigner,
    compiler: Vec<u8>,
    ffmpeg: Vec<u8>,
}

/// The files of one release, by path in the source folder.
#[derive(Clone, Debug)]
pub struct Release {
    /// Path and content.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Release {
    /// Returns the content of one file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.iter().find(|(name, _)| name == path).map(|(_, content)| content.as_slice())
    }
}

const FFMPEG_EXPORTS: &[&str] =
    &["av_buffer_alloc", "av_free", "av_malloc", "avcodec_open2", "avformat_open_input"];

impl ThreeCx {
    /// Makes a maker with a new test key.
    pub fn new() -> Self {
        let signer = TestSigner::new("Countersign Test Library Vendor");
        let compiler = signer.sign(
            &PeImage {
                name: "d3dcompiler_47.dll".into(),
                exports: ["D3DCompile", "D3DReflect", "D3DDisassemble"].map(str::to_owned).to_vec(),
                imports: vec![("KERNEL32.dll".into(), vec!["HeapAlloc".into(), "HeapFree".into()])],
                content: noise(1, 40_000),
                timestamp: 0x6000_0000,
                ..PeImage::default()
            }
            .bytes(),
        );
        let ffmpeg = ffmpeg(&["HeapAlloc", "HeapFree"], &noise(2, 60_000));
        Self { signer, compiler, ffmpeg }
    }

    /// The first release: clean.
    pub fn first(&self) -> Release {
        self.release("1.0.0", "int answer(void) { return 41; }\n", self.ffmpeg.clone(), self.compiler.clone())
    }

    /// The second release: the product's own source has changed, the libraries have not.
    pub fn second(&self) -> Release {
        self.release("2.0.0", "int answer(void) { return 42; }\n", self.ffmpeg.clone(), self.compiler.clone())
    }

    /// The second release after a night in the attackers' hands.
    pub fn poisoned(&self) -> Release {
        let payload = [MARKER, &noise(3, HIDDEN_BYTES - MARKER.len())].concat();
        let ffmpeg = ffmpeg(
            &["HeapAlloc", "HeapFree", "CreateFileW", "ReadFile", "VirtualProtect", "GetModuleFileNameW"],
            &[MARKER, b" reads d3dcompiler_47.dll", &noise(4, 61_000)].concat(),
        );
        self.release(
            "2.0.0",
            "int answer(void) { return 42; }\n",
            ffmpeg,
            stuff_certificate_table(&self.compiler, &payload),
        )
    }

    /// Signs an image with the test key of the library's vendor.
    pub fn sign(&self, image: &[u8]) -> Vec<u8> {
        self.signer.sign(image)
    }

    fn release(&self, version: &str, source: &str, ffmpeg: Vec<u8>, compiler: Vec<u8>) -> Release {
        let script = "set -e\nrm -rf stage dist\nmkdir -p stage dist\n\
            sed \"s/VERSION/$(cat VERSION)/\" app.c.in > stage/app.c\n\
            cc -O1 -c -o stage/app.o stage/app.c\nrm stage/app.c\n\
            cp vendor/ffmpeg.dll vendor/d3dcompiler_47.dll stage/\n\
            tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -czf dist/desktop-app.tar.gz -C stage .\n";
        let app = format!("const char version[] = \"VERSION\";\n{source}");
        Release {
            files: vec![
                ("VERSION".into(), version.as_bytes().to_vec()),
                ("app.c.in".into(), app.into_bytes()),
                ("build.sh".into(), script.as_bytes().to_vec()),
                ("vendor/ffmpeg.dll".into(), ffmpeg),
                ("vendor/d3dcompiler_47.dll".into(), compiler),
            ],
        }
    }
}

impl Default for ThreeCx {
    fn default() -> Self {
        Self::new()
    }
}

fn ffmpeg(imports: &[&str], content: &[u8]) -> Vec<u8> {
    PeImage {
        name: "ffmpeg.dll".into(),
        exports: FFMPEG_EXPORTS.iter().map(|name| (*name).to_owned()).collect(),
        imports: vec![("KERNEL32.dll".into(), imports.iter().map(|name| (*name).to_owned()).collect())],
        content: content.to_vec(),
        timestamp: 0x6000_0001,
        ..PeImage::default()
    }
    .bytes()
}

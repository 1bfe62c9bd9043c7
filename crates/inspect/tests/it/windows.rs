//! Formats of Windows installers.

use std::io::Write;

use evidence::Digest;

use crate::corpus::msi;
use crate::samples::{cab, lzx_aligned, lzx_verbatim};
use crate::{find, kinds, open, paths};

#[test]
fn an_installer_database_shows_its_tables_and_files() {
    let cabinet = cab(0, &[("f1", b"content")], &[b"content"]);
    let tree = open("setup.msi", &msi("cmd", &cabinet));
    assert_eq!(tree.problems, []);
    assert_eq!(tree.root.format, "msi");
    assert_eq!(
        find(&tree, "setup.msi!app.cab!ProgramFilesFolder/Demo App/ffmpeg long.dll").digest,
        Some(Digest::of(b"content"))
    );
    let action = find(&tree, "!#table/CustomAction");
    assert_eq!(action.digest, Some(Digest::of(b"Action*:2d48\tTarget:1dff\nAct\tcmd\n")));
    let odd = find(&tree, "!#table/Odd");
    assert_eq!(
        odd.digest,
        Some(Digest::of("Name*:2d48\tComment:0d00\tCount:1104\na\\x09b\té\t-5\n".as_bytes())),
        "{odd:?}"
    );
    let changed = open("setup.msi", &msi("cmd /c evil", &cabinet));
    let differ: Vec<_> = tree
        .root
        .members
        .iter()
        .zip(&changed.root.members)
        .filter(|(a, b)| a.digest != b.digest)
        .map(|(a, _)| a.name.to_string())
        .collect();
    assert_eq!(differ, ["#table/CustomAction"]);
    let mut longer = msi("cmd", &cabinet);
    longer.resize(longer.len().next_multiple_of(512), 0);
    longer.extend(b"appended");
    assert_eq!(find(&open("setup.msi", &longer), "!#after").digest, Some(Digest::of(b"appended")));
}

#[test]
fn other_compound_files_show_their_streams() {
    let mut file = cfb::CompoundFile::create(std::io::Cursor::new(Vec::new())).unwrap();
    file.create_storage("/Macros").unwrap();
    for (path, content) in
        [("/WordDocument", vec![7; 20_000]), ("/Macros/Module1", b"Sub AutoOpen()".to_vec())]
    {
        file.create_stream(path).unwrap().write_all(&content).unwrap();
    }
    let tree = open("x.doc", &file.into_inner().into_inner());
    assert_eq!(tree.problems, []);
    assert_eq!(find(&tree, "x.doc!Macros/Module1").digest, Some(Digest::of(b"Sub AutoOpen()")));
    assert_eq!(find(&tree, "x.doc!WordDocument").digest, Some(Digest::of(&[7; 20_000])));
}

#[test]
fn cabinets_of_each_compression_are_opened() {
    let big: Vec<u8> =
        (0..70_000_u32).flat_map(|number| number.to_string().into_bytes()).take(80_000).collect();
    let files: [(&str, &[u8]); 2] = [("a\\one.txt", &big[..50_000]), ("two.txt", &big[50_000..])];
    let blocks: Vec<&[u8]> = big.chunks(32_768).collect();
    for compression in [0, 1] {
        let tree = open("x.cab", &cab(compression, &files, &blocks));
        assert_eq!(tree.problems, []);
        assert_eq!(find(&tree, "!a\\x5cone.txt").digest, Some(Digest::of(files[0].1)));
        assert_eq!(find(&tree, "!two.txt").digest, Some(Digest::of(files[1].1)));
    }
    for (packed, content) in [lzx_verbatim(), lzx_aligned()] {
        let tree = open("x.cab", &cab(0x0f03, &[("x", &content)], &[&packed]));
        assert_eq!(tree.problems, []);
        assert_eq!(find(&tree, "!x").digest, Some(Digest::of(&content)));
    }
    assert_eq!(kinds(&open("x.cab", &cab(2, &[("x", b"abc")], &[b"abc"]))), ["unsupported-compression"]);
    let mut damaged = cab(0, &files, &blocks);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let tree = open("x.cab", &damaged);
    assert_eq!(kinds(&tree), ["malformed-cab"]);
    assert_eq!(paths(&tree), ["x.cab", "x.cab!a\\x5cone.txt"]);
    let climbs = open("x.cab", &cab(0, &[("..\\x", b"abc")], &[b"abc"]));
    assert_eq!(kinds(&climbs), ["path-escapes"]);
}

//! File systems and disks that the field's own tools have made: what is shown is what went in.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use evidence::{BytePath, Digest, Node, Tree};
use forge::noise;
use inspect::{Budget, Input, extract, open};
use tempfile::TempDir;

use crate::kinds;

/// Runs a tool of the field in a folder; Debian keeps those for file systems where not everybody looks.
fn tool(folder: &TempDir, program: &str, arguments: &[&str]) -> Option<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let run = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .env("PATH", path)
        .env("MTOOLS_SKIP_CHECK", "1")
        .output();
    match run {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr);
            // `e2fsck` says by 1 that it has changed something.
            let is_fine = output.status.success() || program == "e2fsck" && output.status.code() == Some(1);
            assert!(is_fine, "{program} {arguments:?}: {said}{complaint}");
            Some(said)
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "CI must have {program}: {error}");
            eprintln!("SKIPPED: {program} is not installed");
            None
        }
    }
}

/// Writes bytes at places of a file that is otherwise a hole.
fn sparse(path: &Path, length: u64, parts: &[(u64, &[u8])]) {
    let mut file = File::create(path).unwrap();
    file.set_len(length).unwrap();
    for (at, bytes) in parts {
        file.seek(SeekFrom::Start(*at)).unwrap();
        file.write_all(bytes).unwrap();
    }
}

/// A folder with what file systems keep in ways of their own.
fn source(folder: &TempDir) {
    let root = folder.path().join("source");
    fs::create_dir_all(root.join("deep/er/and/deeper")).unwrap();
    let sizes =
        [0, 1, 59, 60, 61, 100, 156, 1023, 1024, 1025, 4096, 4097, 12 << 10, (12 << 10) + 1, 70_000, 300_000];
    for size in sizes {
        fs::write(root.join(format!("size-{size}")), noise(size as u64, size)).unwrap();
    }
    fs::write(root.join("deep/er/and/deeper/big"), noise(7, 600_000)).unwrap();
    let part = noise(1, 9000);
    // `mke2fs` forgets a hole at the end if there is content in inodes.
    sparse(&root.join("sparse"), 1 << 20, &[(0, b"first"), (1 << 18, &part), ((1 << 20) - 9000, &part)]);
    let pieces: Vec<(u64, &[u8])> = (0..400).map(|number| (number * 8192, &part[..4096])).collect();
    sparse(&root.join("pieces"), 400 * 8192 - 4096, &pieces);
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..400 {
        let name = format!("many/a name that is not short {number}");
        fs::write(root.join(name), number.to_string()).unwrap();
    }
    symlink("size-1", root.join("link")).unwrap();
    symlink("../".repeat(40) + "elsewhere", root.join("deep/long link")).unwrap();
    symlink("x".repeat(60), root.join("link of 60")).unwrap();
    fs::hard_link(root.join("size-4097"), root.join("deep/other name")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    for (name, mode) in [("size-1", 0o4755), ("size-60", 0o600), ("many", 0o1777), ("deep/er", 0o750)] {
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

/// A member: its format, permissions, digest and link.
type Seen = (String, Option<u32>, Option<Digest>, Option<BytePath>);

/// What is in a folder of the machine.
fn expected(root: &Path) -> BTreeMap<String, Seen> {
    let (mut found, mut stack) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = stack.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = Some(metadata.mode() & 0o7777);
            let seen = if metadata.is_dir() {
                stack.push(path.clone());
                ("directory".to_owned(), mode, None, None)
            } else if metadata.is_symlink() {
                let target =
                    BytePath::new(fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
                ("symlink".to_owned(), mode, None, Some(target))
            } else if metadata.is_file() {
                ("data".to_owned(), mode, Some(Digest::of(&fs::read(&path).unwrap())), None)
            } else {
                ("fifo".to_owned(), mode, None, None)
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), seen);
        }
    }
    found
}

/// What an inspection shows, in the same form: another name of a file is the file.
fn shown(node: &Node) -> BTreeMap<String, Seen> {
    node.members.iter().map(|found| (found.name.to_string(), seen(node, found))).collect()
}

fn seen<'n>(node: &'n Node, found: &'n Node) -> Seen {
    let is_other_name =
        |member: &&Node| found.format == "hardlink" && found.link.as_ref() == Some(&member.name);
    let first = node.members.iter().find(is_other_name).unwrap_or(found);
    let has_content = first.format == "data";
    let link = first.link.clone().filter(|_| first.format == "symlink");
    (first.format.clone(), found.mode, first.digest.filter(|_| has_content), link)
}

fn opened(folder: &TempDir, name: &str, held_bytes: u64) -> Tree {
    let file = File::open(folder.path().join(name)).unwrap();
    open(&name.into(), file, &mut Budget { held_bytes, ..Budget::default() }).unwrap()
}

/// So little memory that nothing is held.
const LITTLE: u64 = 64 << 10;
const MUCH: u64 = 184 << 20;

#[track_caller]
fn same(image: &str, found: &BTreeMap<String, Seen>, expected: &BTreeMap<String, Seen>) {
    for (name, seen) in expected {
        assert_eq!(found.get(name), Some(seen), "{image} {name}");
    }
    let more: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert_eq!(more, [""; 0]);
}

#[test]
fn ext_images_of_each_kind_show_the_folder_that_went_in() {
    let folder = TempDir::new().unwrap();
    source(&folder);
    let expected = expected(&folder.path().join("source"));
    let kinds: [(&str, &[&str]); 12] = [
        ("ext2-1k", &["-t", "ext2", "-b", "1024"]),
        ("ext2-old", &["-t", "ext2", "-r", "0", "-b", "1024", "-I", "128", "-O", "none"]),
        ("ext2-4k", &["-t", "ext2", "-b", "4096", "-O", "^filetype"]),
        ("ext3-1k", &["-t", "ext3", "-b", "1024"]),
        ("ext3-2k", &["-t", "ext3", "-b", "2048", "-I", "128"]),
        ("ext4-1k", &["-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum"]),
        ("ext4-4k", &["-t", "ext4", "-b", "4096", "-O", "^64bit,^metadata_csum"]),
        ("ext4-seed", &["-t", "ext4", "-b", "4096", "-O", "metadata_csum,metadata_csum_seed,64bit"]),
        ("ext4-inline", &["-t", "ext4", "-b", "1024", "-I", "256", "-O", "inline_data,large_dir,casefold"]),
        ("ext4-maps", &["-t", "ext4", "-b", "1024", "-O", "^extents,^64bit,^has_journal"]),
        (
            "ext4-meta",
            &["-t", "ext4", "-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode,sparse_super2"],
        ),
        (
            "ext4-clusters",
            &["-t", "ext4", "-b", "4096", "-O", "bigalloc,encrypt,verity,quota", "-C", "16384"],
        ),
    ];
    for (name, options) in kinds {
        let made = ["-q", "-F", "-N", "4096", "-d", "source", name, "160M"];
        if tool(&folder, "mke2fs", &[options, &made].concat()).is_none() {
            return;
        }
        let index = tool(&folder, "e2fsck", &["-f", "-y", "-D", name]).unwrap();
        // Some in memory, the others where they lie.
        let tree = opened(&folder, name, if name.ends_with("1k") { LITTLE } else { MUCH });
        assert_eq!(
            (tree.problems.as_slice(), tree.root.format.as_str()),
            (&[][..], "ext"),
            "{name}: {index}"
        );
        let mut found = shown(&tree.root);
        let kept = found.remove("lost+found");
        assert_eq!(kept.map(|(word, mode, ..)| (word, mode)), Some(("directory".to_owned(), Some(0o700))));
        same(name, &found, &expected);
        let hard_links = tree.root.members.iter().filter(|member| member.format == "hardlink").count();
        assert_eq!(hard_links, 1, "{name}");
    }
    // The samples are what they are meant to be.
    let ask = |image: &str, question: &str| tool(&folder, "debugfs", &["-R", question, image]).unwrap();
    assert!(ask("ext4-1k", "htree_dump /many").contains("Number of entries"));
    assert!(ask("ext4-1k", "dump_extents /pieces").lines().count() > 400);
    assert!(ask("ext2-1k", "stat /deep/er/and/deeper/big").contains("(DIND)"));
    assert!(ask("ext4-inline", "stat /size-100").contains("Size of inline data: 100"));
}

#[test]
fn a_map_of_three_levels_is_followed() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("source")).unwrap();
    let part = noise(1, 9000);
    sparse(
        &folder.path().join("source/file"),
        70 << 20,
        &[(300, &part), (30 << 20, &part), (69 << 20, &part)],
    );
    let made = ["-q", "-F", "-t", "ext2", "-b", "1024", "-d", "source", "x", "16M"];
    if tool(&folder, "mke2fs", &made).is_none() {
        return;
    }
    assert!(tool(&folder, "debugfs", &["-R", "stat /file", "x"]).unwrap().contains("(TIND)"));
    let content = fs::read(folder.path().join("source/file")).unwrap();
    let path = BytePath::from("x!file");
    let image = Input::File(File::open(folder.path().join("x")).unwrap());
    let mut found =
        extract(&"x".into(), image, [path.clone()].into(), 80 << 20, &mut Budget::default()).unwrap();
    assert!(found.remove(&path).unwrap() == content);
}

#[test]
fn an_ext_image_shows_what_is_no_file_and_what_cannot_be_read() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("source/folder")).unwrap();
    for name in ["secret", "packed", "plain", "folder/inside"] {
        fs::write(folder.path().join("source").join(name), name).unwrap();
    }
    if tool(&folder, "mke2fs", &["-q", "-F", "-t", "ext4", "-d", "source", "x", "8M"]).is_none() {
        return;
    }
    let requests = [
        "mknod device c 1 3",
        "set_inode_field secret flags 0x80800",
        "set_inode_field folder flags 0x80800",
        "set_inode_field packed flags 0x80200",
        "link plain lost+found/#13",
        "feature needs_recovery",
    ];
    for request in requests {
        tool(&folder, "debugfs", &["-w", "-R", request, "x"]).unwrap();
    }
    let tree = opened(&folder, "x", LITTLE);
    let mut found = kinds(&tree);
    found.sort_unstable();
    assert_eq!(
        found,
        ["encrypted-member", "encrypted-member", "unsupported-compression", "unsupported-container"]
    );
    let seen = shown(&tree.root);
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["device", "folder", "lost+found", "lost+found/#13", "plain"]);
    assert_eq!(seen["device"].0, "device");
    assert_eq!(seen["lost+found/#13"].2, Some(Digest::of(b"plain")));
}

#[test]
fn fat_images_of_each_kind_show_the_files_that_went_in() {
    let folder = TempDir::new().unwrap();
    source(&folder);
    let root = folder.path().join("source");
    // What FAT cannot keep is left out.
    for name in ["link", "link of 60", "deep/long link", "fifo", "sparse"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    fs::write(root.join("Ein Name mit Ä und 漢字.txt"), b"long").unwrap();
    fs::write(root.join("SHORT.TXT"), b"short").unwrap();
    fs::write(root.join("small.txt"), b"small").unwrap();
    let expected = expected(&root);
    let kinds: [(&str, &[&str], u64); 5] = [
        ("fat12", &["-F", "12", "-s", "64"], 100 << 20),
        ("fat16", &["-F", "16"], 40 << 20),
        ("fat16-wide", &["-F", "16", "-S", "2048", "-s", "2", "-f", "1"], 64 << 20),
        ("fat32", &["-F", "32", "-s", "1"], 64 << 20),
        ("fat32-far", &["-F", "32", "-s", "1", "-R", "200"], 64 << 20),
    ];
    for (name, options, size) in kinds {
        File::create(folder.path().join(name)).unwrap().set_len(size).unwrap();
        if tool(&folder, "mkfs.vfat", &[options, &["-n", "LABEL", name]].concat()).is_none() {
            return;
        }
        let entries = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
        let paths: Vec<String> = entries.map(|path| path.to_str().unwrap().to_owned()).collect();
        let mut words = vec!["-s", "-Q", "-i", name];
        words.extend(paths.iter().map(String::as_str));
        words.push("::");
        if tool(&folder, "mcopy", &words).is_none() {
            return;
        }
        // What was deleted is not shown, and the next file is in several places.
        tool(&folder, "mdel", &["-i", name, "::size-12288"]).unwrap();
        tool(&folder, "mcopy", &["-i", name, "source/deep/er/and/deeper/big", "::scattered"]).unwrap();
        let tree = opened(&folder, name, if name == "fat16" { MUCH } else { LITTLE });
        assert_eq!((tree.problems.as_slice(), tree.root.format.as_str()), (&[][..], "fat"), "{name}");
        let mut found = shown(&tree.root);
        assert!(found.remove("#system-area").is_some());
        assert_eq!(found.remove("scattered").unwrap().2, expected["deep/er/and/deeper/big"].2);
        let without_modes = expected.iter().filter(|(path, _)| path.as_str() != "size-12288");
        let expected = without_modes.map(|(path, seen)| (path.clone(), (seen.0.clone(), None, seen.2, None)));
        same(name, &found, &expected.collect());
    }
}

/// Puts images into a disk, where a tool has said that there are partitions.
fn filled(folder: &TempDir, disk: &str, images: &[(u64, &str)]) {
    for (sector, image) in images {
        let mut file = File::options().write(true).open(folder.path().join(disk)).unwrap();
        file.seek(SeekFrom::Start(sector * 512)).unwrap();
        file.write_all(&fs::read(folder.path().join(image)).unwrap()).unwrap();
    }
}

#[test]
fn disks_of_each_kind_show_their_partitions() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("source")).unwrap();
    fs::write(folder.path().join("source/file"), b"in the file system").unwrap();
    if tool(&folder, "mke2fs", &["-q", "-F", "-t", "ext4", "-d", "source", "ext", "8M"]).is_none() {
        return;
    }
    File::create(folder.path().join("fat")).unwrap().set_len(4 << 20).unwrap();
    if tool(&folder, "mkfs.vfat", &["fat"]).is_none() {
        return;
    }
    if tool(&folder, "mcopy", &["-i", "fat", "source/file", "::FILE"]).is_none() {
        return;
    }
    let disk = |name: &str| File::create(folder.path().join(name)).unwrap().set_len(40 << 20).unwrap();
    disk("mbr");
    let script = "label: dos\n2048,8192,c,*\n10240,+,5\n12288,16384,83\n30720,16384,83\n";
    fs::write(folder.path().join("script"), script).unwrap();
    let partition = |disk: &str| tool(&folder, "sh", &["-c", &format!("sfdisk -q {disk} < script")]);
    if tool(&folder, "sfdisk", &["--version"]).is_none() {
        return;
    }
    partition("mbr").unwrap();
    filled(&folder, "mbr", &[(2048, "fat"), (12288, "ext"), (30720, "ext")]);
    disk("gpt");
    if tool(&folder, "sgdisk", &["-n", "1:2048:+4M", "-c", "1:EFI system", "-n", "5:12288:+8M", "gpt"])
        .is_none()
    {
        return;
    }
    filled(&folder, "gpt", &[(2048, "fat"), (12288, "ext")]);
    for (name, files) in [
        ("mbr", vec!["#partition/1!FILE", "#partition/5!file", "#partition/6!file"]),
        ("gpt", vec!["#partition/1-EFI system!FILE", "#partition/5!file"]),
    ] {
        let tree = opened(&folder, name, LITTLE);
        assert_eq!((tree.problems.as_slice(), tree.root.format.as_str()), (&[][..], "partitions"));
        for file in files {
            assert_eq!(
                crate::find(&tree, file).digest,
                Some(Digest::of(b"in the file system")),
                "{name} {file}"
            );
        }
    }
    // What a boot loader keeps behind the record.
    filled(&folder, "gpt", &[(40, "source/file")]);
    assert!(crate::find(&opened(&folder, "gpt", LITTLE), "!#unlisted/1").size > 18);
    // GPT is moved to the end of a larger disk by nobody but its owner.
    File::options().write(true).open(folder.path().join("gpt")).unwrap().set_len(41 << 20).unwrap();
    assert_eq!(opened(&folder, "gpt", LITTLE).problems, []);
    File::options().write(true).open(folder.path().join("gpt")).unwrap().set_len(30 << 20).unwrap();
    assert_eq!(kinds(&opened(&folder, "gpt", LITTLE)), ["malformed-partitions"]);
}

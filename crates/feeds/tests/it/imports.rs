//! Imports: what is read, what is a problem, and what a second import, damage or a missing file leaves.

use std::path::{Path, PathBuf};

use evidence::{Digest, Problem, Timestamp};
use feeds::affected::{Doubt, Outcome};
use feeds::snapshot::{ChangeKind, Error, Import, Imported, Opened, compact, import};
use feeds::{Package, Snapshot};

const NOW: i64 = 1_795_651_200;

struct Index {
    folder: tempfile::TempDir,
}

impl Index {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, paths: &[PathBuf], replace: bool) -> Result<Imported, Error> {
        let inputs: Vec<(String, PathBuf)> = paths
            .iter()
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path.clone()))
            .collect();
        let now = Timestamp::from_unix(NOW);
        let listed = Default::default();
        let options = Import {
            inputs: &inputs,
            now,
            replace,
            may_shrink: false,
            listed: &listed,
            opened: &Opened::unasked,
        };
        import(&self.path(), &options)
    }

    fn open(&self) -> Snapshot<Vec<u8>> {
        Snapshot::open(&self.path(), &|path| std::fs::read(path)).unwrap().unwrap()
    }
}

fn record(id: &str, modified: &str, name: &str, events: &str) -> String {
    format!(
        r#"{{"id": "{id}", "modified": "{modified}", "summary": "s", "affected": [{{"package": {{"ecosystem": "npm", "name": "{name}"}},
        "ranges": [{{"type": "SEMVER", "events": [{events}]}}]}}]}}"#
    )
    .replace('\n', " ")
}

const FROM_0: &str = r#"{"introduced": "0"}, {"fixed": "2.0.0"}"#;

fn outcome(snapshot: &Snapshot<Vec<u8>>, name: &str, version: &str) -> Option<Outcome> {
    snapshot.matches(&Package::new("npm", name, version)).first().map(|hit| hit.outcome)
}

fn kinds(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.kind.as_str()).collect()
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_imported() {
    let index = Index::new();
    let deep = format!(
        r#"{{"id": "D", "modified": "2026-01-01T00:00:00Z", "details": {}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let lines = [
        record("A-1", "2026-01-01T00:00:00Z", "a", FROM_0),
        "{".to_owned(),
        r#"{"id": "A-2", "id": "A-2", "modified": "2026-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"id": "A-3", "modified": "yesterday"}"#.to_owned(),
        record("A-4", "2030-01-01T00:00:00Z", "b", r#"{"introduced": "not a version"}"#),
        deep,
        record("A-5", "2026-01-01T00:00:00Z", "c", FROM_0),
    ];
    let path = index.write("all.jsonl", lines.join("\n"));
    let imported = index.import(std::slice::from_ref(&path), false).unwrap();
    let places: Vec<String> = imported.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert!(
        places[0].ends_with("all.jsonl:2") && places[1].ends_with(":3") && places[2].ends_with(":4"),
        "{places:?}"
    );
    assert!(kinds(&imported.problems).contains(&"malformed-advisory"));
    assert!(kinds(&imported.problems).contains(&"doubtful-advisory"));
    let snapshot = index.open();
    snapshot.verify().unwrap();
    assert_eq!(outcome(&snapshot, "a", "1.0.0"), Some(Outcome::Affected));
    assert_eq!(outcome(&snapshot, "a", "2.0.0"), None);
    assert_eq!(outcome(&snapshot, "a", "what"), Some(Outcome::Undetermined(Doubt::UnreadableVersion)));
    assert_eq!(outcome(&snapshot, "a", ""), Some(Outcome::Undetermined(Doubt::NoVersion)));
    assert_eq!(outcome(&snapshot, "b", "1.0.0"), Some(Outcome::Undetermined(Doubt::UnreadableRange)));
    assert_eq!(outcome(&snapshot, "c", "1.0.0"), Some(Outcome::Affected));
    // A date to come makes nothing fresh.
    assert_eq!(snapshot.manifest().newest().unwrap().to_string(), "2026-01-01T00:00:00Z");
    let nothing = index.write("readme.json", "{}");
    assert!(matches!(index.import(&[nothing], false), Err(Error::Nothing)));
}

#[test]
fn a_second_import_replaces_records_and_a_withdrawn_one_says_so() {
    let index = Index::new();
    let base: Vec<String> = (0..200)
        .map(|number| record(&format!("B-{number}"), "2026-01-01T00:00:00Z", &format!("p{number}"), FROM_0))
        .collect();
    let first = index.import(&[index.write("a.jsonl", base.join("\n"))], false).unwrap();
    let withdrawn = record("B-1", "2026-02-01T00:00:00Z", "p1", FROM_0).replacen(
        "\"summary\"",
        "\"withdrawn\": \"2026-02-01T00:00:00Z\", \"summary\"",
        1,
    );
    let lines = [
        record("B-0", "2026-02-01T00:00:00Z", "p0", r#"{"introduced": "0"}, {"fixed": "1.0.0"}"#),
        withdrawn,
        record("B-2", "2025-01-01T00:00:00Z", "other", FROM_0),
        record("B-new", "2026-02-01T00:00:00Z", "new", FROM_0),
    ];
    let second = index.import(&[index.write("b.jsonl", lines.join("\n"))], false).unwrap();
    assert_ne!(first.snapshot, second.snapshot);
    let changes: Vec<(&str, ChangeKind)> =
        second.changes.iter().map(|change| (change.id.as_str(), change.kind)).collect();
    assert_eq!(
        changes,
        [("B-0", ChangeKind::Changed), ("B-1", ChangeKind::Withdrawn), ("B-new", ChangeKind::Added)]
    );
    let snapshot = index.open();
    assert_eq!(outcome(&snapshot, "p0", "1.5.0"), None);
    assert_eq!(outcome(&snapshot, "p0", "0.5.0"), Some(Outcome::Affected));
    assert_eq!(outcome(&snapshot, "other", "1.0.0"), None, "an older version of a record counts no more");
    let hits = snapshot.matches(&Package::new("npm", "p1", "1.0.0"));
    assert_eq!(hits.len(), 1);
    assert!(snapshot.advisory(hits[0].at).unwrap().withdrawn.is_some());
    assert_eq!(snapshot.manifest().ecosystems["npm"], 201);
    // The same again changes nothing.
    let third = index.import(&[index.write("b.jsonl", lines.join("\n"))], false).unwrap();
    assert_eq!(third.changes, []);
}

#[test]
fn an_ecosystem_that_shrinks_is_asked_about() {
    let index = Index::new();
    let all: Vec<String> =
        (0..100).map(|number| record(&format!("C-{number}"), "2026-01-01T00:00:00Z", "p", FROM_0)).collect();
    let before = index.import(&[index.write("a.jsonl", all.join("\n"))], false).unwrap();
    let fewer = index.write("b.jsonl", all[..80].join("\n"));
    assert!(matches!(
        index.import(std::slice::from_ref(&fewer), true),
        Err(Error::Shrinks { before: 100, after: 80, .. })
    ));
    assert_eq!(*index.open().id(), before.snapshot, "the advisories of before stay in use");
    index.import(&[index.write("b.jsonl", all[..81].join("\n"))], true).unwrap();
    assert_eq!(index.open().manifest().records(), 81);
}

#[test]
fn damage_makes_answers_undetermined_and_never_panics() {
    let index = Index::new();
    let lines: Vec<String> = (0..100)
        .map(|number| record(&format!("D-{number}"), "2026-01-01T00:00:00Z", &format!("p{number}"), FROM_0))
        .collect();
    index.import(&[index.write("a.jsonl", lines.join("\n"))], false).unwrap();
    let path = std::fs::read_dir(index.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "cadx"))
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x5a;
        let Ok(segment) = feeds::index::Segment::open(damaged) else { continue };
        assert!(segment.verify().is_err(), "byte {at}");
        for number in [0, 1, 50, 99] {
            segment.matches(&Package::new("npm", &format!("p{number}"), "1.0.0"));
            segment.advisory(number);
            segment.find(&format!("D-{number}"));
        }
        segment.artifact(&Digest::of(b""));
        segment.newest();
    }
    for length in (0..whole.len()).step_by(31) {
        assert!(feeds::index::Segment::open(whole[..length].to_vec()).is_err());
    }
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_a_problem() {
    use std::io::Write;
    let index = Index::new();
    let good = record("E-1", "2026-01-01T00:00:00Z", "p", FROM_0);
    let zip = forge::zip_stored(&[("E-1.json", good.as_bytes()), ("readme.txt", b"x"), ("bad.json", b"{")])
        .unwrap();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..400 {
        bomb.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let paths = [index.write("all.zip", zip), index.write("bomb.json.gz", bomb.finish().unwrap())];
    let imported = index.import(&paths, false).unwrap();
    assert_eq!(imported.kinds["osv"], 1);
    assert_eq!(kinds(&imported.problems), ["malformed-advisory", "unreadable-document"]);
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/advisories").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: no advisories beside the project (`shared/advisories/{name}`)");
        return None;
    }
    Some(path)
}

#[test]
fn real_exploitation_data_and_statements_are_read() {
    let (Some(kev), Some(epss), Some(csaf), Some(hub)) =
        (shared("kev"), shared("epss"), shared("csaf"), shared("vex/aquasecurity-vexhub.tar.zst"))
    else {
        return;
    };
    let index = Index::new();
    let unpacked = index.folder.path().join("hub");
    let tar = zstd::stream::read::Decoder::new(std::fs::File::open(hub).unwrap()).unwrap();
    tar::Archive::new(tar).unpack(&unpacked).unwrap();
    let imported = index.import(&[kev, epss, csaf, unpacked], false).unwrap();
    assert!(imported.kinds["exploited"] > 3_000 && imported.kinds["epss"] > 75_000, "{:?}", imported.kinds);
    assert_eq!(imported.kinds["ssvc"], 44_130);
    assert!(imported.kinds["vex"] > 100, "{:?}", imported.kinds);
    let malformed: Vec<&Problem> =
        imported.problems.iter().filter(|problem| problem.kind == "malformed-advisory").collect();
    assert_eq!(malformed, Vec::<&Problem>::new());
    let snapshot = index.open();
    snapshot.verify().unwrap();
    let log4j = snapshot.facts("CVE-2021-44228").unwrap();
    assert!(log4j.exploited_since.is_some() && log4j.ransomware && log4j.epss.unwrap() > 0.9);
    assert!(
        snapshot
            .statements()
            .unwrap()
            .iter()
            .any(|statement| statement.status == feeds::vex::Status::NotAffected)
    );
}

#[test]
fn a_mirror_gives_what_is_new() {
    let index = Index::new();
    let (one, two) = (
        record("F-1", "2026-01-01T00:00:00Z", "a", FROM_0),
        record("F-2", "2026-02-01T00:00:00Z", "b", FROM_0),
    );
    index.write("mirror/npm/all.zip", forge::zip_stored(&[("F-1.json", one.as_bytes())]).unwrap());
    index.write("mirror/npm/modified_id.csv", "2026-01-01T00:00:00Z,F-1\n");
    let from = index.folder.path().join("mirror").display().to_string();
    let update = |known: &std::collections::BTreeMap<String, feeds::snapshot::Source>| {
        let fetched = feeds::mirror::fetch(&from, known, false).unwrap()?;
        let now = Timestamp::from_unix(NOW);
        let options = Import {
            inputs: &fetched.inputs,
            now,
            replace: false,
            may_shrink: false,
            listed: &fetched.listed,
            opened: &Opened::unasked,
        };
        Some((import(&index.path(), &options).unwrap(), fetched.problems))
    };
    assert_eq!(update(&Default::default()).unwrap().0.kinds["osv"], 1);
    index.write("mirror/npm/F-2.json", two);
    index.write(
        "mirror/npm/modified_id.csv",
        "2026-02-01T00:00:00Z,F-2\n2026-02-01T00:00:00Z,F-3\nnonsense\n2025-01-01T00:00:00Z,F-0\n",
    );
    let (imported, problems) = update(&index.open().manifest().sources).unwrap();
    assert_eq!(imported.changes.len(), 1);
    assert_eq!(kinds(&problems), ["missing-file", "missing-file"]);
    assert_eq!(outcome(&index.open(), "b", "1.0.0"), Some(Outcome::Affected));
    assert!(feeds::mirror::fetch("http://example.com", &Default::default(), false).is_err());
    assert!(feeds::mirror::fetch("/nowhere", &Default::default(), false).is_err());
}

#[test]
fn segments_become_one_and_say_the_same() {
    let index = Index::new();
    let line = |number: usize, modified: &str, events: &str| {
        record(&format!("G-{number}"), modified, &format!("p{number}"), events)
    };
    let first: Vec<String> = (0..300).map(|number| line(number, "2026-01-01T00:00:00Z", FROM_0)).collect();
    index.import(&[index.write("a.jsonl", first.join("\n"))], false).unwrap();
    let answers = |snapshot: &Snapshot<Vec<u8>>| -> Vec<Option<Outcome>> {
        let versions = ["0.5.0", "1.5.0", "2.0.0", "what"];
        (0..310).flat_map(|n| versions.map(|version| outcome(snapshot, &format!("p{n}"), version))).collect()
    };
    let fixed = |version: &str| format!(r#"{{"introduced": "0"}}, {{"fixed": "{version}"}}"#);
    for step in 0..3_usize {
        let at = format!("2026-02-0{}T00:00:00Z", step + 1);
        let changed = [line(step, &at, &fixed("1.0.0")), line(300 + step, &at, FROM_0)];
        index.import(&[index.write("b.jsonl", changed.join("\n"))], false).unwrap();
    }
    let before = index.open();
    assert_eq!(before.manifest().segments.len(), 4);
    let expected = answers(&before);
    let (id, segments) = compact(&index.path(), Timestamp::from_unix(NOW)).unwrap().unwrap();
    let after = index.open();
    after.verify().unwrap();
    assert_eq!((segments, after.manifest().segments.len(), *after.id()), (4, 1, id));
    assert_eq!(answers(&after), expected);
    assert_eq!(after.manifest().records(), 303, "what was replaced is gone");
    assert_eq!(after.manifest().ecosystems["npm"], 303);
    // What was known before can still be asked.
    let earlier =
        Snapshot::open_earlier(&index.path(), &before.id().hex()[..12], &|path| std::fs::read(path));
    assert_eq!(answers(&earlier.unwrap().unwrap()), expected);
    assert!(
        Snapshot::open_earlier(&index.path(), "00000000", &|path| std::fs::read(path)).unwrap().is_none()
    );
    // By itself, once what came later is a tenth of it.
    let many: Vec<String> = (0..60).map(|n| line(400 + n, "2026-03-01T00:00:00Z", FROM_0)).collect();
    index.import(&[index.write("c.jsonl", many.join("\n"))], false).unwrap();
    assert_eq!(index.open().manifest().segments.len(), 1);
    assert_eq!(outcome(&index.open(), "p459", "1.0.0"), Some(Outcome::Affected));
    assert_eq!(outcome(&index.open(), "p0", "1.5.0"), None);
}

#[test]
fn a_record_cannot_write_into_others() {
    let index = Index::new();
    let lines = [
        record("K-1", "2026-01-01T00:00:00Z", "a", FROM_0),
        record("K-2", "2026-01-01T00:00:00Z", r"b\u001dnpm\u0000c", FROM_0),
        record("K-3", "2026-01-01T00:00:00Z", "d", FROM_0).replacen(
            "\"summary\"",
            r#""aliases": ["CVE-1\u001eX", "CVE-2 CVE-3", "CVE-4"], "summary""#,
            1,
        ),
        record(r"K-4\u001e", "2026-01-01T00:00:00Z", "e", FROM_0),
        record("K-5", "2026-01-01T00:00:00Z", "f", FROM_0),
    ];
    let imported = index.import(&[index.write("a.jsonl", lines.join("\n"))], false).unwrap();
    assert_eq!(kinds(&imported.problems), ["doubtful-advisory", "doubtful-advisory", "malformed-advisory"]);
    let snapshot = index.open();
    let named = |id: &str| {
        let at = snapshot.find(id);
        at.first()
            .and_then(|at| snapshot.advisory(*at))
            .map(|found| (found.id, found.packages, found.aliases))
    };
    let of = |id: &str, package: &str, aliases: &[&str]| {
        let aliases = aliases.iter().map(|id| (*id).to_owned()).collect();
        Some((id.to_owned(), vec![format!("npm\0{package}")], aliases))
    };
    assert_eq!(named("K-1"), of("K-1", "a", &[]));
    assert_eq!(named("K-3"), of("K-3", "d", &["CVE-4"]));
    assert_eq!(named("K-5"), of("K-5", "f", &[]));
    assert_eq!(named("CVE-3"), None);
}

#[test]
fn old_snapshots_are_forgotten_with_their_files() {
    let index = Index::new();
    let count = |end: &str| {
        let entries = std::fs::read_dir(index.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|found| found == end)).count()
    };
    for round in 0..20_i64 {
        let content = record("H-1", &format!("2026-01-{:02}T00:00:00Z", round + 1), "p", FROM_0);
        let path = index.write("a.json", content);
        let inputs = [("a".to_owned(), path)];
        let listed = Default::default();
        let now = Timestamp::from_unix(NOW + round);
        let options = Import {
            inputs: &inputs,
            now,
            replace: true,
            may_shrink: true,
            listed: &listed,
            opened: &Opened::unasked,
        };
        import(&index.path(), &options).unwrap();
    }
    assert_eq!((count("snapshot"), count("cadx")), (16, 16));
}

#[test]
fn a_mirror_that_has_lost_a_fifth_is_asked_about() {
    let index = Index::new();
    let list = |count: usize| -> String {
        (0..count).map(|number| format!("2026-01-01T00:00:00Z,I-{number}\n")).collect()
    };
    let one = record("I-0", "2026-01-01T00:00:00Z", "a", FROM_0);
    index.write("mirror/npm/all.zip", forge::zip_stored(&[("I-0.json", one.as_bytes())]).unwrap());
    index.write("mirror/npm/modified_id.csv", list(100));
    let from = index.folder.path().join("mirror").display().to_string();
    let fetched = feeds::mirror::fetch(&from, &Default::default(), false).unwrap().unwrap();
    let now = Timestamp::from_unix(NOW);
    let options = Import {
        inputs: &fetched.inputs,
        now,
        replace: false,
        may_shrink: false,
        listed: &fetched.listed,
        opened: &Opened::unasked,
    };
    import(&index.path(), &options).unwrap();
    let known = index.open().manifest().sources.clone();
    assert_eq!(known.values().map(|source| source.listed).collect::<Vec<_>>(), [Some(100)]);
    index.write("mirror/npm/modified_id.csv", list(80));
    let error = feeds::mirror::fetch(&from, &known, false).err().unwrap();
    assert!(matches!(error, feeds::mirror::Error::Shrinks { before: 100, after: 80, .. }), "{error}");
    assert!(feeds::mirror::fetch(&from, &known, true).is_ok());
    index.write("mirror/npm/modified_id.csv", list(81));
    assert!(feeds::mirror::fetch(&from, &known, false).is_ok());
}

#[test]
fn popular_names_are_kept_in_the_snapshot() {
    let index = Index::new();
    let names = index.write("names/npm.txt", "# popular\nlodash\nreact\n\n");
    index.write("names/LICENSE.txt", "not names");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, b"requests\n").unwrap();
    index.write("names/pypi.txt.gz", packed.finish().unwrap());
    let imported = index.import(&[names.parent().unwrap().to_path_buf()], false).unwrap();
    assert_eq!((imported.kinds["names"], imported.problems.len()), (3, 0));
    let snapshot = index.open();
    snapshot.verify().unwrap();
    assert_eq!(
        (snapshot.popular("npm"), snapshot.popular("pypi")),
        (Some("lodash\nreact"), Some("requests"))
    );
    assert_eq!(snapshot.popular("cargo"), None);
}

#[test]
fn a_later_version_of_a_document_takes_the_place_of_the_one_before() {
    let index = Index::new();
    let document = |version: u32, at: &str, package: &str| {
        format!(
            r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "urn:vex:1", "version": {version}, "timestamp": "{at}",
            "statements": [{{"vulnerability": {{"name": "CVE-1"}}, "status": "not_affected", "justification": "x",
            "products": [{{"@id": "pkg:npm/{package}"}}]}}]}}"#
        )
    };
    let products = || -> Vec<String> {
        index.open().statements().unwrap().into_iter().flat_map(|one| one.products).collect()
    };
    index.import(&[index.write("a.json", document(1, "2026-01-01T00:00:00Z", "a"))], false).unwrap();
    let second =
        index.import(&[index.write("b.json", document(2, "2026-02-01T00:00:00Z", "b"))], false).unwrap();
    assert_eq!(products(), ["pkg:npm/b"]);
    assert!(second.stated.contains("CVE-1"));
    index.import(&[index.write("a.json", document(1, "2026-01-01T00:00:00Z", "a"))], false).unwrap();
    assert_eq!(products(), ["pkg:npm/b"], "an older one changes nothing");
}

#[test]
fn a_zip_bomb_is_a_problem_and_the_rest_is_imported() {
    use std::io::Write;
    let index = Index::new();
    let good = record("J-1", "2026-01-01T00:00:00Z", "p", FROM_0);
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..400 {
        bomb.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let packed = bomb.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    let zip = zip_of(&[
        ("J-1.json", 0, good.len() as u32, good.as_bytes()),
        ("bomb.json", 8, 400 << 20, &packed),
        // One that says that it is small.
        ("liar.json", 8, 100, &packed),
    ]);
    let imported = index.import(&[index.write("all.zip", zip)], false).unwrap();
    assert_eq!(imported.kinds["osv"], 1, "{:?}", imported.problems);
    let places: Vec<String> = imported.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert!(places.iter().any(|place| place.ends_with("all.zip!bomb.json")), "{places:?}");
    assert!(places.iter().any(|place| place.contains("liar.json")), "{places:?}");
}

/// A zip archive: name, method, size as it is said, packed bytes.
fn zip_of(members: &[(&str, u16, u32, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, method, size, packed) in members {
        let at = out.len() as u32;
        let unpacked_crc = if *method == 0 { flate_crc(packed) } else { 0 };
        let mut fields = Vec::new();
        for word in [20_u16, 0, *method, 0, 0] {
            fields.extend(word.to_le_bytes());
        }
        for word in [unpacked_crc, packed.len() as u32, *size] {
            fields.extend(word.to_le_bytes());
        }
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend(0_u16.to_le_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&fields);
        out.extend(name.as_bytes());
        out.extend(*packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, start) = (members.len() as u16, out.len() as u32);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn flate_crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

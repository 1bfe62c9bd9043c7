//! Five clean rebuilds are silent; one intruder is not.

use evidence::record::{
    Access, Completeness, Destination, Exit, File, Machine, Process, Program as Image, Record, SCHEMA,
    Variable,
};
use evidence::{Digest, Timestamp};

use super::*;

fn record(seed: &str) -> Record {
    let program = |path: String| Image {
        path: path.into(),
        digest: Some(Digest::of(b"x")),
        arguments: vec![],
        started_ns: 0,
        input: None,
        output: None,
    };
    let file = |path: String, role| File {
        path: path.into(),
        role,
        read: vec![],
        left: None,
        size: None,
        format: None,
        readers: vec![],
        writers: vec![Access { process: 0, at_ns: 0 }],
        moved_from: BTreeSet::new(),
        package: None,
        mutated: false,
    };
    let hash = &Digest::of(seed.as_bytes()).to_string()[7..23];
    let variable = |name: &str, value: &str| Variable {
        name: name.into(),
        value: Some(value.into()),
        salted_digest: None,
    };
    Record {
        schema: SCHEMA.into(),
        product: "demo".into(),
        release: "1.0".into(),
        command: vec!["make".into()],
        workdir: format!("/w/{seed}").into(),
        checkout: None,
        detections: evidence::record::Detections::default(),
        started: Timestamp::from_unix(0),
        finished: Timestamp::from_unix(1),
        exit: Exit::Code(0),
        completeness: Completeness { complete: true, ..Completeness::default() },
        machine: Machine {
            architecture: "x86_64".into(),
            kernel: "6".into(),
            tracer: "seccomp".into(),
            network: "observed".into(),
            recorder: "0".into(),
        },
        environment: vec![variable("PATH", &format!("/usr/bin:/w/{seed}/bin")), variable("USER", seed)],
        processes: vec![Process {
            index: 0,
            parent: None,
            started_ns: 0,
            finished_ns: None,
            status: None,
            programs: vec![
                program("/usr/bin/make".into()),
                program(format!("/w/{seed}/target/build/a-{hash}/build-script-build")),
                program(format!("/tmp/pip-build-env-{hash}/bin/ninja")),
            ],
        }],
        files: vec![
            file(format!("/w/{seed}/dist/a-{hash}.o"), Role::Generated),
            file(format!("/w/{seed}/target/build/a-{hash}/out/x"), Role::Generated),
            file(format!("/tmp/cc{}.o", &hash[..6]), Role::Generated),
        ],
        network: vec![Destination {
            address: format!("tcp:127.0.0.1:4{}", hash.len() * 100 + seed.len()).as_str().into(),
            action: "connect".into(),
            processes: BTreeSet::from([0]),
        }],
        components: vec![],
        outputs: vec![],
        segments: vec![],
    }
}

fn codes(baseline: &Baseline, record: &Record) -> Vec<String> {
    novel(baseline, record).into_iter().map(|finding| finding.code).collect()
}

#[test]
fn clean_rebuilds_are_silent() {
    let records: Vec<Record> = ["one", "twoo", "three33", "four", "five"].map(record).into();
    let baseline = Baseline::learn(&[&records[0]]);
    for record in &records {
        assert_eq!(novel(&baseline, record), []);
    }
    let all: Vec<&Record> = records.iter().collect();
    let learned = Baseline::learn(&all);
    assert_eq!(Baseline { records: 1, ..learned.clone() }, baseline);
    let text = serde_json::to_string(&learned).unwrap();
    assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), learned);
    assert!(
        serde_json::from_str::<Baseline>(&text.replacen("\"records\"", "\"x\":1,\"records\"", 1)).is_err()
    );
}

#[test]
fn what_is_new_is_found() {
    let baseline = Baseline::learn(&[&record("one")]);
    let mut new = record("two");
    new.processes[0].programs[0].path = "/usr/bin/curl".into();
    assert_eq!(codes(&baseline, &new), ["baseline-new-program"]);
    let mut new = record("two");
    new.network[0].address = "tcp:198.51.100.7:443".into();
    assert_eq!(codes(&baseline, &new), ["baseline-new-destination"]);
    let mut new = record("two");
    new.files[0].path = "/home/u/.config/systemd/user/x.service".into();
    assert_eq!(codes(&baseline, &new), ["baseline-new-area"]);
    let mut new = record("two");
    new.environment[1].name = "LD_PRELOAD".into();
    assert_eq!(codes(&baseline, &new), ["baseline-new-loading"]);
    // The same name in another part: what was a tool is now made by the build.
    let mut new = record("two");
    new.files[0].path = "/usr/bin/make".into();
    assert_eq!(codes(&baseline, &new), ["baseline-new-program", "baseline-new-area"]);
}

#[test]
fn a_network_is_one_destination() {
    let mut first = record("one");
    first.network[0].address = "tcp:198.51.100.7:443".into();
    let mut second = record("two");
    second.network[0].address = "tcp:198.51.7.9:443".into();
    let baseline = Baseline::learn(&[&first]);
    assert_eq!(codes(&baseline, &second), [] as [&str; 0]);
    second.network[0].address = "tcp:198.52.7.9:443".into();
    assert_eq!(codes(&baseline, &second), ["baseline-new-destination"]);
}

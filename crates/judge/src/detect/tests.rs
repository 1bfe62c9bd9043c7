//! The built-in rules against their examples, the folder and ordinary builds; the engine against limits.

use std::collections::BTreeSet;

use evidence::{BytePath, Event, EventKind, Severity};

use super::form::Step;
use super::*;

#[test]
fn every_example_of_every_rule_holds() {
    let failures = Rules::builtin().try_examples();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_list_is_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules");
    let found: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    let listed: BTreeSet<String> = builtin::FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
    for (rule, (name, _)) in Rules::builtin().iter().zip(builtin::FILES) {
        assert!(name.starts_with(&rule.id.to_lowercase()), "{name}");
    }
    assert!(listed.len() >= 45);
}

#[test]
fn fields_are_all_explained() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/README.md")).unwrap();
    for (_, word, ..) in fields::Field::ALL {
        assert!(text.contains(&format!("| `{word}` |")), "rules/README.md does not explain `{word}`");
    }
}

fn facts() -> Facts {
    Facts {
        homes: vec!["/home/u".into()],
        project: Some("/src/p".into()),
        tracked: Some([("/src/p/a.c".into(), None)].into()),
        owned: None,
        hosts: Some(vec!["registry.npmjs.org".to_owned(), "*.crates.io".to_owned(), "pypi.org".to_owned()]),
        network_over: Some(false),
        own_folders: vec!["/var/lib/countersign".into()],
        machine: MachineRole::Developer,
    }
}

fn trace(text: &str) -> Vec<Event> {
    let steps: Vec<Step> = yaml::read(text.as_bytes()).unwrap();
    examples::events(&steps).unwrap()
}

fn codes_of(rules: &Rules, facts: Facts, events: &[Event]) -> Vec<String> {
    let mut detector = Detector::new(rules, facts);
    let mut codes = Vec::new();
    for event in events {
        codes.extend(detector.observe(event).into_iter().map(|detection| detection.finding.code));
    }
    codes
}

/// What honest builds do that looks odd.
const ORDINARY: &[(&str, &str)] = &[
    ("configure", "[run: sh configure > sh -c x, run: env | sed s/a/b/, run: gcc conftest.c > cc1 conftest.c,
      read: /etc/ld.so.cache, read: /usr/include/stdio.h, write: /tmp/ccAbCdEf.s, run: gcc conftest.o > as x,
      read: /tmp/ccAbCdEf.s, write: /src/p/conftest.o, run: gcc x > collect2 x > ld x, read: /src/p/conftest.o,
      read: /usr/lib/x86_64-linux-gnu/crt1.o, write: /src/p/conftest, run: /src/p/conftest, unlink: /src/p/conftest,
      run: sed s/x/y/ | awk x, write: /src/p/config.status, write: /src/p/Makefile]"),
    ("make", "[run: make all > sh -c x > gcc a.c > cc1 a.c, read: /src/p/a.c, write: /src/p/a.o, run: make > ar rcs liba.a,
      read: /src/p/a.o, write: /src/p/liba.a, run: make > gcc > collect2 > ld, read: /src/p/liba.a, write: /src/p/app,
      run: strip app, write: /src/p/app, run: make clean > rm -rf build a.o, {unlink: '/src/p/build/{}', times: 300}]"),
    ("cargo", "[run: cargo build, {read: /home/u/.cargo/credentials.toml, errno: 2}, request: 'index.crates.io:443',
      connect: 'tcp:198.51.100.7:443', write: /home/u/.cargo/registry/src/i/a-1.0.0/build.rs,
      run: cargo build > rustc a, read: /home/u/.cargo/registry/src/i/a-1.0.0/build.rs,
      run: cargo build > rustc a > cc x > collect2 x > ld x, write: /src/p/target/debug/build/a-1/build-script-build,
      run: cargo build > /src/p/target/debug/build/a-1/build-script-build > cc x.c > cc1 x.c, read: /usr/include/stdio.h,
      write: /src/p/target/debug/build/a-1/out/x.o, run: cargo build > rustc b, map: /src/p/target/debug/deps/libm.so,
      run: cargo test > /src/p/target/debug/deps/a-1, {listen: 'tcp:127.0.0.1:0'}]"),
    ("npm", "[run: npm ci, {read: /home/u/.npmrc}, request: 'registry.npmjs.org:443', connect: 'tcp:198.51.100.7:443',
      write: /src/p/node_modules/esbuild/install.js, write: /src/p/node_modules/esbuild/bin/esbuild,
      write: /src/p/node_modules/x/.github/workflows/ci.yml, run: npm ci > sh -c node > node install.js,
      read: /src/p/node_modules/esbuild/install.js, run: npm ci > sh -c node > node install.js > /src/p/node_modules/esbuild/bin/esbuild --version,
      run: npm run build > sh -c tsc > node /src/p/node_modules/.bin/tsc, read: /src/p/.env, write: /src/p/dist/x.js,
      write: /home/u/.npm/_cacache/x, {unlink: '/home/u/.npm/_cacache/{}', times: 300}]"),
    ("pip", "[run: python3 -m pip install x, request: 'pypi.org:443', connect: 'tcp:198.51.100.7:443',
      write: /tmp/pip-install-x/setup.py, run: python3 -m pip install x > python3 setup.py egg_info, read: /tmp/pip-install-x/setup.py,
      write: /home/u/.venv/lib/python3.12/site-packages/distutils-precedence.pth,
      write: /home/u/.venv/lib/python3.12/site-packages/x/__pycache__/a.pyc, {in: 0, unlink: /tmp/pip-install-x/setup.py}]"),
    ("cmake", "[run: cmake . > gcc x > cc1 x, write: /src/p/build/CMakeFiles/x.o, run: cmake --build . > ninja > cc x > cc1 x,
      read: /src/p/a.c, {memory: jit}, write: /dev/shm/sem.x, run: ninja > ctest > /src/p/build/t]"),
    ("git", "[run: git clone x, {read: /home/u/.git-credentials}, connect: 'tcp:198.51.100.7:443', write: /src/p/.git/hooks/pre-commit.sample,
      write: /src/p/.github/workflows/ci.yml, write: /src/p/a.c, run: git commit -S > gpg -bsau x, read: '/home/u/.gnupg/private-keys-v1.d/x']"),
    ("debian", "[{run: dpkg-buildpackage > fakeroot > make > gcc x, environment: [LD_PRELOAD=libfakeroot-sysv.so]},
      connect: 'unix:/run/nscd/socket', run: dpkg-deb -b x, read: /src/p/debian/x, write: /src/x.deb,
      run: curl -s http://localhost/x | python3 -m json.tool, run: tar xf x.tar.xz > xz -d | tar x]"),
];

#[test]
fn ordinary_builds_are_silent() {
    for (name, text) in ORDINARY {
        let found = codes_of(Rules::builtin(), facts(), &trace(text));
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn a_synthetic_build_costs_little_and_is_silent() {
    let mut ticks = 0;
    let headers = (0..100).map(|header| (format!("/src/p/src/deep/part-{header}.h").into(), None)).collect();
    let facts = Facts { tracked: Some(headers), ..facts() };
    let measured = measure(Rules::builtin(), facts, 3, &mut || {
        ticks += 1;
        ticks
    });
    assert_eq!((measured.events, measured.detections, measured.elapsed_ns), (3 * 204, 0, 3));
}

#[test]
fn a_finding_names_what_it_rests_on() {
    let events =
        trace("[run: npm install > sh -c x > node setup.js, {read: /home/u/.aws/credentials, content: x}]");
    let mut detector = Detector::new(Rules::builtin(), facts());
    let all: Vec<Detection> = events.iter().flat_map(|event| detector.observe(event)).collect();
    assert_eq!(all.len(), 1);
    let (finding, sequence) = (&all[0].finding, events.last().unwrap().sequence);
    assert_eq!(
        (finding.code.as_str(), finding.severity, all[0].sequence),
        ("credential-read", Severity::High, sequence)
    );
    assert_eq!(finding.because[..2], ["rule CRD-001", "ATT&CK T1552.001, T1552.004"]);
    assert_eq!(finding.because[2], "process 2 `/usr/bin/node`: node setup.js");
    assert_eq!(finding.because[4], "started by 0 `/usr/bin/npm`: npm install");
    assert_eq!(finding.because[5], format!("read event {sequence}"));
    assert!(finding.subject.digest.is_some());
    // Once per step and subject.
    assert!(detector.observe(events.last().unwrap()).is_empty());
    assert!(detector.finish().is_empty());
}

#[test]
fn severity_and_rules_follow_the_facts() {
    let events = trace("[run: make > x, gap: io-uring]");
    for (machine, severity) in
        [(MachineRole::Developer, Severity::Medium), (MachineRole::Build, Severity::High)]
    {
        let mut detector = Detector::new(Rules::builtin(), Facts { machine, ..facts() });
        let found: Vec<Detection> = events.iter().flat_map(|event| detector.observe(event)).collect();
        assert_eq!(found[0].finding.severity, severity);
    }
    let detector = Detector::new(Rules::builtin(), Facts::default());
    let skipped = detector.not_evaluated();
    assert!(
        skipped.iter().any(|skipped| skipped.rule == "CRD-001" && skipped.reason.contains("home folders"))
    );
    assert!(skipped.iter().all(|skipped| !skipped.reason.is_empty()));
    let mut detector = Detector::new(Rules::builtin(), facts());
    assert_eq!(detector.not_evaluated().len(), 3, "only what needs the toolchain manifest");
    let mut late = Event::new(EventKind::Connect, 0);
    late.target = Some("tcp:198.51.100.7:443".into());
    assert!(detector.observe(&late).is_empty());
    detector.end_of_network_phase();
    assert_eq!(detector.observe(&late)[0].finding.code, "network-in-build-phase");
}

#[test]
fn paths_need_not_be_text() {
    let mut events = trace("[run: npm install > sh -c x > node setup.js]");
    let mut read = Event::new(EventKind::Read, 2);
    read.path = Some(BytePath::new(b"/home/u/.ssh/id_\xff\xfe".to_vec()));
    events.push(read);
    assert_eq!(codes_of(Rules::builtin(), facts(), &events), ["credential-read"]);
}

const RULE: &str = "
id: X-001
code: x-found
title: x
severity: high
attack: [T1000]
hint: look
detection:
  exec: {kind: exec, name: x}
  condition: exec
tests:
  match: [[run: x]]
  silent: [[run: y]]
";

fn parse(text: &str) -> Result<Rules, RuleError> {
    Rules::parse(&[("x.yaml", text.as_bytes())])
}

#[test]
fn a_limit_that_is_hit_is_a_finding() {
    let rules = parse(RULE).unwrap();
    let mut detector = Detector::new(&rules, Facts::default());
    let mut codes = Vec::new();
    for process in 0..300 {
        let mut event = Event::new(EventKind::Exec, process);
        event.path = Some(format!("/{process}/x").into());
        codes.extend(detector.observe(&event).into_iter().map(|detection| detection.finding.code));
    }
    assert_eq!(codes.iter().filter(|code| *code == "x-found").count(), DETECTIONS_PER_RULE_MAX);
    assert_eq!(codes.iter().filter(|code| *code == "detection-limit").count(), 1);
    let last = detector.finish();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].finding.because, ["rule X-001", "44 more matches than the 256 reported"]);

    let grouped = RULE.replace(
        "tests:",
        "correlation: {type: event_count, group-by: [path], timespan: 1h, condition: {gte: 2}}\ntests:",
    );
    let grouped = parse(&grouped).unwrap();
    let mut detector = Detector::new(&grouped, Facts::default());
    let mut codes = Vec::new();
    for process in 0..5000 {
        let mut event = Event::new(EventKind::Exec, process);
        event.path = Some(format!("/{process}/x").into());
        codes.extend(detector.observe(&event).into_iter().map(|detection| detection.finding.code));
    }
    assert_eq!(codes, ["detection-limit"]);
}

#[test]
fn user_rules_take_the_place_of_ours() {
    let rules = parse(RULE).unwrap();
    assert_eq!(rules.try_examples(), []);
    let digest = rules.digest();
    let quieter = RULE.replace("tests:", "allow: [{path: /usr/bin/x}]\ntests:");
    let both = rules.with(parse(&quieter).unwrap()).unwrap();
    assert_eq!(both.iter().count(), 1);
    assert_ne!(both.digest(), digest);
    assert_eq!(both.try_examples()[0].what, "it did not match");
}

#[test]
fn what_is_not_understood_is_refused() {
    for (from, to, expected) in [
        ("hint:", "hints:", "hints"),
        ("kind: exec", "kinds: exec", "field `detection.exec`: field `kinds`: there is no field"),
        ("kind: exec", "kind: execute", "there is no kind"),
        ("name: x}", "name|near: x}", "the modifier `near` is not supported"),
        ("name: x}", "name|re: '('}", "field `name|re`"),
        ("name: x}", "role: wizard}", "there is no role"),
        ("name: x}", "written: perhaps}", "it is `true` or `false`"),
        ("name: x}", "errno|contains: 1}", "the modifier does not fit"),
        ("condition: exec", "condition: exec and", "ends too early"),
        ("condition: exec", "condition: (exec", "lacks a `)`"),
        ("condition: exec", "condition: other", "there is no selection `other`"),
        ("condition: exec", "condition: 1 of y*", "no selection is meant"),
        ("condition: exec", "condition: exec exec", "does not go on"),
        ("silent: [[run: y]]", "silent: []", "at least one example"),
        ("severity: high", "severity: awful", "awful"),
        (
            "tests:",
            "correlation: {type: event_count, timespan: 1x, condition: {gte: 2}}\ntests:",
            "`timespan`",
        ),
        ("tests:", "correlation: {type: event_count, timespan: 1s, condition: {gte: 0}}\ntests:", "`gte`"),
        ("title: x", "title: &a x", "anchor"),
    ] {
        let text = RULE.replace(from, to);
        let error = parse(&text).map(|_| ()).unwrap_err();
        assert_eq!(error.file, "x.yaml");
        assert!(error.reason.to_lowercase().contains(expected), "{to}: {}", error.reason);
    }
    let deep = format!("condition: {}exec{}", "(".repeat(40), ")".repeat(40));
    assert!(parse(&RULE.replace("condition: exec", &deep)).is_err());
    let deep = RULE.replace("title: x", &format!("title: {}x{}", "[".repeat(500), "]".repeat(500)));
    assert!(parse(&deep).is_err());
    assert!(parse(&format!("{RULE}# {}", "x".repeat(300_000))).is_err());
    assert!(
        Rules::parse(&[("a", RULE.as_bytes()), ("b", RULE.as_bytes())]).is_err(),
        "two rules with one id"
    );
}

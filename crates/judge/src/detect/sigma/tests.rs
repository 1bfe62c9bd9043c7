//! A dozen rules in Sigma's format, written for this test: what they match, and why some cannot be used.

use super::super::form::Step;
use super::super::{Detector, Facts, examples};
use super::*;

/// Category, detection, a trace that matches, one that does not.
const SUPPORTED: &[(&str, &str, &str, &str)] = &[
    (
        "process_creation",
        "{s: {Image|endswith: '/curl', CommandLine|contains|all: [' -o ', 'http']}, condition: s}",
        "[run: sh x > CURL.x, run: curl -o a http://x]",
        "[run: curl http://x]",
    ),
    (
        "process_creation",
        "{s: {ParentImage|endswith: '/make', Image|endswith: ['/BASH', '/sh']}, condition: s}",
        "[run: make > sh x]",
        "[run: cmake > sh x]",
    ),
    (
        "process_creation",
        "{a: {Image: '*/nc'}, b: {CommandLine|contains: '-l'}, condition: 1 of * and not b}",
        "[run: nc x]",
        "[run: nc -l]",
    ),
    (
        "process_creation",
        "{s1: {Image: '*/a'}, s2: {Image: '*/b'}, condition: 1 of s*}",
        "[run: b]",
        "[run: c]",
    ),
    (
        "process_creation",
        "{s: [{Image: '*/a'}, {CommandLine|re: 'x{3}'}], condition: s}",
        "[run: c xxx]",
        "[run: c xx]",
    ),
    (
        "process_creation",
        "{s: {Image|endswith: '/base64'}, f: {ParentCommandLine|contains: 'backup'}, condition: s and not f}",
        "[run: sh x > base64 -d]",
        "[run: sh backup > base64 -d]",
    ),
    (
        "file_event",
        "{s: {TargetFilename|startswith: '/etc/cron.'}, condition: s}",
        "[run: sh x, {rename: /tmp/a, to: /etc/cron.d/a}]",
        "[run: sh x, {read: /etc/cron.d/a}]",
    ),
    (
        "file_event",
        "{s: {TargetFilename|contains: '/.ssh/', Image|endswith: '/sh'}, condition: s}",
        "[run: sh x, write: /home/u/.ssh/authorized_keys]",
        "[run: cp x, write: /home/u/.ssh/authorized_keys]",
    ),
    (
        "network_connection",
        "{s: {DestinationIp|cidr: '198.51.100.0/24', DestinationPort: 4444, Initiated: 'true'}, condition: s}",
        "[run: x, connect: 'tcp:198.51.100.9:4444']",
        "[run: x, connect: 'tcp:198.51.101.9:4444']",
    ),
    (
        "network_connection",
        "{s: {DestinationHostname|endswith: '.Evil.example'}, condition: s}",
        "[run: x, request: 'a.evil.example:443']",
        "[run: x, request: 'evil.example:443']",
    ),
    (
        "dns_query",
        "{s: {QueryName|contains: pool}, condition: [s]}",
        "[run: x, resolve: xmr.pool.example]",
        "[run: x, resolve: example.org]",
    ),
];

fn rule(product: &str, category: &str, detection: &str) -> String {
    format!(
        "title: a rule\nid: 00000000-0000-4000-8000-000000000000\nstatus: test\nauthor: us\nlevel: high\n\
         tags: [attack.t1059.004, attack.execution]\nlogsource: {{product: {product}, category: {category}}}\n\
         detection: {detection}\nfalsepositives: [none]\n"
    )
}

fn matches(rules: &Rules, trace: &str) -> Vec<String> {
    let steps: Vec<Step> = yaml::read(trace.as_bytes()).unwrap();
    let mut detector = Detector::new(rules, Facts::default());
    let events = examples::events(&steps).unwrap();
    events
        .iter()
        .flat_map(|event| detector.observe(event))
        .map(|detection| format!("{} {}", detection.finding.code, detection.finding.because[1]))
        .collect()
}

#[test]
fn linux_rules_are_evaluated() {
    for (category, detection, yes, no) in SUPPORTED {
        let text = rule("linux", category, detection);
        let sigma = read(&[("a.yml", text.as_bytes())]).unwrap();
        assert_eq!(sigma.unsupported, [], "{detection}");
        assert_eq!(matches(&sigma.rules, yes), ["sigma-rule-matched ATT&CK T1059.004"], "{detection}");
        assert_eq!(matches(&sigma.rules, no), [] as [&str; 0], "{detection}");
    }
}

#[test]
fn what_is_not_supported_is_said() {
    for (product, category, detection, expected) in [
        ("windows", "process_creation", "{s: {Image: a}, condition: s}", "product `windows`"),
        ("linux", "auditd_x", "{s: {Image: a}, condition: s}", "the category `auditd_x` is not recorded"),
        ("linux", "process_creation", "{s: {User: root}, condition: s}", "the recorder does not know `User`"),
        ("linux", "process_creation", "{s: [a, b], condition: s}", "values without a field"),
        ("linux", "process_creation", "{s: {CommandLine|base64: a}, condition: s}", "the modifier `base64`"),
        (
            "linux",
            "process_creation",
            "{s: {Image: a}, condition: s | count() > 3}",
            "does not go on with `|`",
        ),
        ("linux", "process_creation", "{s: {Image: a}, timeframe: 5m, condition: s}", "`timeframe`"),
        (
            "linux",
            "file_event",
            "{s: {CommandLine: a}, condition: s}",
            "the recorder does not know `CommandLine`",
        ),
    ] {
        let text = rule(product, category, detection);
        let sigma = read(&[("a.yml", text.as_bytes())]).unwrap();
        assert_eq!(sigma.rules.iter().count(), 0, "{detection}");
        let reasons = &sigma.unsupported[0].reasons;
        assert!(reasons.iter().any(|reason| reason.contains(expected)), "{reasons:?}");
    }
    let sigma = read(&[("a.yml", b"title: [")]).unwrap();
    assert_eq!((sigma.unsupported.len(), sigma.unsupported[0].file.as_str()), (1, "a.yml"));
}

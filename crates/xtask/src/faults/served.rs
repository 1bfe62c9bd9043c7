//! The same for what is served: a log that takes entries, and a witness. Each occurrence of each writing system call fails with an
//! input/output error, with a full disk, or is the last that the process does; then it is started again, and must have kept
//! whatever it had answered.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{CALLS, ask, copy, environment, must};

/// What is tried besides [`CALLS`]: what opens, and what makes folders elsewhere.
const MORE: &[&str] = &["openat", "mkdirat"];
const FAULTS: &[&str] = &["error=EIO", "error=ENOSPC", "signal=KILL"];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that listens, traced or not.
struct Served {
    child: Child,
    address: Option<String>,
}

impl Served {
    /// Starts it; without an address it ended before it listened.
    fn start(program: &Path, folder: &Path, options: &[&str], words: &[&str]) -> Result<Self> {
        let mut command = if options.is_empty() {
            Command::new(program)
        } else {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq"]).args(options).arg(program);
            command
        };
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = environment(&mut command, folder).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        Ok(Self { child, address })
    }

    fn listening(program: &Path, folder: &Path, words: &[&str]) -> Result<(Self, String)> {
        let served = Self::start(program, folder, &[], words)?;
        let address = served.address.clone().context("it does not start again")?;
        Ok((served, address))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A tracer that is killed leaves what it traces: that is ended first, and the tracer then ends by itself.
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            Command::new("kill").args(["-KILL", child]).stderr(Stdio::null()).status().ok();
        }
        let end = Instant::now() + Duration::from_secs(5);
        while !children.is_empty() && matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One request; none if no whole answer came.
fn http(address: &str, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n")?;
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}

/// What came of all faults.
#[derive(Default)]
struct Tally {
    tried: usize,
    never_listened: usize,
    answered: usize,
    failed: Vec<String>,
}

/// Lets each call fail in turn; `attempt` is one run with options for the tracer, and says what was wrong.
fn each(
    every: usize,
    folder: &Path,
    mut attempt: impl FnMut(&[&str], &mut Tally) -> Result<Option<String>>,
) -> Result<()> {
    let mut tally = Tally::default();
    for call in MORE.iter().chain(CALLS) {
        let log = folder.join("calls");
        let trace = format!("trace={call}");
        let path = log.display().to_string();
        let wrong = attempt(&["-e", &trace, "-o", &path], &mut Tally::default())?;
        ensure!(wrong.is_none(), "without any fault: {}", wrong.unwrap_or_default());
        let text = fs::read_to_string(&log)?;
        let count = text.lines().filter(|line| line.contains(&format!("{call}("))).count();
        for number in (1..=count).step_by(every) {
            for fault in FAULTS {
                let inject = format!("inject={call}:{fault}:when={number}");
                tally.tried += 1;
                let wrong = attempt(&["-e", &inject, "-o", "/dev/null"], &mut tally)?;
                tally.failed.extend(wrong.map(|wrong| format!("{inject}: {wrong}")));
            }
        }
        println!("{call}: {count} occurrences");
    }
    println!(
        "{} faults; {} ended it before it listened, {} requests were answered in spite of one; {} left damage",
        tally.tried,
        tally.never_listened,
        tally.answered,
        tally.failed.len()
    );
    ensure!(tally.failed.is_empty(), "{}", tally.failed.join("\n"));
    Ok(())
}

/// Requests of Rekor's write API, by a key of openssl's.
fn requests(folder: &Path, count: usize) -> Result<Vec<Vec<u8>>> {
    let script = r#"openssl ecparam -name prime256v1 -genkey -noout -out k.pem
        openssl pkey -in k.pem -pubout -outform DER | base64 -w0 > key
        for n in $(seq 1 "$1"); do
            echo "$n" > message
            openssl dgst -sha256 -binary message | base64 -w0 > digest
            openssl dgst -sha256 -sign k.pem message | base64 -w0 > signature
            printf '{"hashedRekordRequestV002":{"digest":"%s","signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}\n' \
                "$(cat digest)" "$(cat signature)" "$(cat key)"
        done"#;
    let output =
        Command::new("sh").args(["-ec", script, "sh", &count.to_string()]).current_dir(folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// Submits an entry; returns the checkpoint that proves it, if it was taken.
fn submit(address: &str, request: &[u8]) -> Result<Option<String>> {
    match http(address, "POST", "/api/v2/log/entries", request) {
        Some((200 | 201, answer)) => {
            let answer: Value = serde_json::from_slice(&answer)?;
            let note = answer.pointer("/inclusionProof/checkpoint/envelope").and_then(Value::as_str);
            Ok(Some(note.context("an entry without a checkpoint")?.to_owned()))
        }
        Some((500.., _)) | None => Ok(None),
        Some((status, answer)) => bail!("{status}: {}", String::from_utf8_lossy(&answer)),
    }
}

/// Waits until tiles are written, or it has ended.
fn settled(address: &str, size: &str) {
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        match http(address, "GET", "/checkpoint", b"") {
            Some((200, note)) if String::from_utf8_lossy(&note).lines().nth(1) == Some(size) => return,
            Some(_) => std::thread::sleep(Duration::from_millis(20)),
            None => return,
        }
    }
}

/// The log: what it had acknowledged must be in it, and it goes on from what was published.
pub(crate) fn log(every: usize) -> Result<()> {
    let program = crate::program("dev")?;
    let folder = tempfile::Builder::new().prefix("faults-").tempdir()?;
    let at = folder.path();
    let words = ["serve", "--log", "served", "--origin", "faults.example", "--listen", "127.0.0.1:0"];
    let requests = requests(at, 5)?;
    {
        let (_served, address) = Served::listening(&program, at, &words)?;
        for request in &requests[..2] {
            ensure!(submit(&address, request)?.is_some(), "an entry was not taken");
        }
        settled(&address, "2");
    }
    let (served, before) = (at.join("served"), at.join("before"));
    fs::copy(served.join("log/checkpoint"), at.join("published"))?;
    copy(&served, &before)?;
    let check = |against: &str| -> Result<bool> {
        let words = ["log", "check", "--served", "served", "--against", against];
        Ok(ask(&program, at, &words)?.success())
    };
    each(every, at, |options, tally| {
        super::restore(&before, &served)?;
        let mut acknowledged = Vec::new();
        {
            let traced = Served::start(&program, at, options, &words)?;
            match &traced.address {
                None => tally.never_listened += 1,
                Some(address) => {
                    for request in &requests[2..4] {
                        acknowledged.extend(submit(address, request)?);
                    }
                    settled(address, &(2 + acknowledged.len()).to_string());
                }
            }
        }
        tally.answered += acknowledged.len();
        let Ok((again, address)) = Served::listening(&program, at, &words) else {
            return Ok(Some("it does not start again".into()));
        };
        let Some(last) = submit(&address, &requests[4])? else {
            return Ok(Some("it takes nothing any more".into()));
        };
        let size = last.lines().nth(1).unwrap_or_default().to_owned();
        settled(&address, &size);
        drop(again);
        acknowledged.push(last);
        for (number, note) in acknowledged.iter().enumerate() {
            fs::write(at.join("acknowledged"), note)?;
            if !check("acknowledged")? {
                return Ok(Some(format!("acknowledged entry {number} is not in the log")));
            }
        }
        Ok((!check("published")?).then(|| "it does not go on from what was published".into()))
    })
}

/// The witness: what it has cosigned it remembers, and it goes on.
pub(crate) fn witness(every: usize) -> Result<()> {
    let program = crate::program("dev")?;
    let folder = tempfile::Builder::new().prefix("faults-").tempdir()?;
    let at = folder.path();
    must(&program, at, &["init", "--origin", "faults.example"])?;
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    must(&program, at, &["log", "export", "exported"])?;
    let name = "witness.example/w";
    let key = "exported/verifier-key.txt";
    let words = ["log", "witness", "witness", "--name", name, "--log", key, "--listen", &listen];
    let build = |content: &str| -> Result<()> {
        fs::write(at.join("source"), content)?;
        must(
            &program,
            at,
            &["run", "-q", "--product", content, "--output", "artifact", "--", "cp", "source", "artifact"],
        )
    };
    let size = |store: &Path| -> Result<u64> {
        let note = fs::read_to_string(store.join("log/checkpoint"))?;
        Ok(note.lines().nth(1).context("no size")?.parse()?)
    };
    // The witness has seen the log with one build; since then there is another.
    build("one")?;
    {
        let (_served, _) = Served::listening(&program, at, &words)?;
        let verifier = fs::read_to_string(at.join("witness/witness.vkey"))?;
        let policy = format!("witness w {} http://{listen}\nquorum w\n", verifier.trim());
        fs::write(at.join("policy.txt"), policy)?;
        must(&program, at, &["trust", "set", "--witness-policy", "policy.txt"])?;
        must(&program, at, &["log", "cosign"])?;
    }
    let store = at.join(".countersign");
    let old = size(&store)?;
    build("two")?;
    // Once it has a cosignature, a store does not ask for it again: each attempt begins with one that has none.
    let (new, unseen) = (size(&store)?, at.join("unseen"));
    ensure!(old < new, "the log did not grow");
    copy(&store, &unseen)?;
    let (witness, before) = (at.join("witness"), at.join("before"));
    copy(&witness, &before)?;
    let hash = Command::new("sh").args(["-c", "printf faults.example | sha256sum | cut -c1-64"]).output()?;
    let seen = format!("/{}/checkpoint", String::from_utf8_lossy(&hash.stdout).trim());
    let newest = |address: &str| -> Option<u64> {
        let (_, note) = http(address, "GET", &seen, b"")?;
        String::from_utf8_lossy(&note).lines().nth(1)?.parse().ok()
    };
    each(every, at, |options, tally| {
        super::restore(&before, &witness)?;
        super::restore(&unseen, &store)?;
        let mut cosigned = false;
        {
            let traced = Served::start(&program, at, options, &words)?;
            match traced.address {
                None => tally.never_listened += 1,
                Some(_) => cosigned = ask(&program, at, &["log", "cosign"])?.success(),
            }
        }
        tally.answered += usize::from(cosigned);
        let Ok((_again, address)) = Served::listening(&program, at, &words) else {
            return Ok(Some("it does not start again".into()));
        };
        let remembered = newest(&address);
        let expected = if cosigned {
            remembered == Some(new)
        } else {
            matches!(remembered, Some(size) if size == old || size == new)
        };
        if !expected {
            return Ok(Some(format!(
                "it remembers {remembered:?}, and had cosigned {}",
                if cosigned { new } else { old }
            )));
        }
        super::restore(&unseen, &store)?;
        let goes_on = ask(&program, at, &["log", "cosign"])?.success() && newest(&address) == Some(new);
        Ok((!goes_on).then(|| "it does not go on".into()))
    })
}

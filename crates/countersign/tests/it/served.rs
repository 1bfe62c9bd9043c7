//! What is served to others: a store's evidence with search and jobs, a log that takes releases.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A server that ends with the test.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(sandbox: &Sandbox, words: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["serve", "--listen", "127.0.0.1:0"], words].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).to_owned();
        Self { child, url }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        get(self.address(), path)
    }

    fn search(&self, query: &str) -> Vec<Value> {
        let (status, body) = self.get(&format!("/search?{query}"));
        assert_eq!(status, 200, "{query}: {}", String::from_utf8_lossy(&body));
        let found: Value = serde_json::from_slice(&body).unwrap();
        found["entries"].as_array().unwrap().clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn get(address: &str, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), answer[end + 4..].to_vec())
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

#[test]
fn another_builder_takes_the_job_and_no_verdict() {
    let ours = Sandbox::new();
    ours.ok(&["run", "--product", "demo", "--output", "demo", "--", "cc", "-O1", "-o", "demo", "main.c"]);
    let served = Served::start(&ours, &["--evidence"]);
    let theirs = Sandbox::bare();
    fs::remove_file(theirs.path("main.c")).unwrap();
    theirs.ok(&["init"]);
    let rebuild = |from: &str| theirs.run(&["rebuild", "r1", "--from", from, "--json"]);
    // What a stranger commands is not run.
    let stranger = rebuild(&served.url);
    assert!(
        stranger.code == 2 && stranger.err.contains("not signed by a builder of our trust file"),
        "{}",
        stranger.err
    );
    ours.ok(&["trust", "export", "trust.json"]);
    theirs.ok(&["trust", "add-builder", ours.path("trust.json").to_str().unwrap()]);
    let same = rebuild(&served.url);
    assert_eq!((same.code, same.json()["verdict"].as_str()), (0, Some("agree")), "{}{}", same.out, same.err);
    assert_eq!(
        theirs.ok(&["records", "--json"]).json()["records"].as_array().unwrap().len(),
        1,
        "their own record alone"
    );
    let shown = theirs.ok(&["log", "show", "--json"]).json();
    assert_eq!(kinds(shown["entries"].as_array().unwrap()).last(), Some(&"rebuild"));
    // Two builders with keys of their own, on one artifact.
    let record = format!("{}@r1", theirs.path(".countersign").display());
    theirs.ok(&["trust", "export", "trust.json"]);
    ours.ok(&["trust", "add-builder", theirs.path("trust.json").to_str().unwrap()]);
    let quorum = ours.ok(&["quorum", "demo", "--record", "r1", "--record", &record, "--json"]).json();
    assert_eq!((quorum["verdict"].as_str(), quorum["agreed"].as_u64()), (Some("agree"), Some(2)));
    {
        let theirs = Served::start(&theirs, &["--evidence"]);
        let record = format!("{}@r1", theirs.url);
        let served = ours.ok(&["quorum", "demo", "--record", "r1", "--record", &record, "--json"]).json();
        assert_eq!((served["verdict"].as_str(), served["agreed"].as_u64()), (Some("agree"), Some(2)));
    }
    // On the way something is changed: the source, the record, the statement.
    for change in ["content", "record", "statement"] {
        let proxy = proxy(served.address().to_owned(), change);
        let refused = rebuild(&proxy);
        assert!(
            refused.code == 2 && refused.err.contains("is not taken"),
            "{change}: {}{}",
            refused.out,
            refused.err
        );
    }
    // The source is not what was recorded any more.
    ours.write("main.c", "int main(void) { return 1; }\n");
    let gone = rebuild(&served.url);
    assert!(gone.code == 2 && gone.err.contains("does not have `main.c` any more"), "{}", gone.err);
    assert_eq!(rebuild("http://127.0.0.1:9").code, 2);
    assert_eq!(theirs.run(&["rebuild", "r7", "--from", &served.url]).code, 2);
    theirs.ok(&["fsck"]);
}

/// Somebody on the way, who changes one byte of what passes.
fn proxy(to: String, change: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut record = String::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            while line.split_once("\r\n\r\n").is_none() && !line.ends_with("\r\n\r\n") {
                reader.read_line(&mut line).unwrap();
            }
            let path = line.split(' ').nth(1).unwrap().to_owned();
            let (status, mut body) = get(&to, &path);
            let is_job = path == "/jobs/r1";
            if is_job {
                let job: Value = serde_json::from_slice(&body).unwrap();
                record = job["record"].as_str().unwrap().replace("sha256:", "");
            }
            let is_record = path.ends_with(&record) && !is_job;
            match change {
                "statement" if is_job => {
                    let mut job: Value = serde_json::from_slice(&body).unwrap();
                    let payload = job["payload"].as_str().unwrap().replacen("eyJ", "eyK", 1);
                    job["payload"] = payload.into();
                    body = job.to_string().into_bytes();
                }
                "record" if is_record => body[20] ^= 1,
                "content" if !is_job && !is_record => body[0] ^= 1,
                _ => {}
            }
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            )
            .unwrap();
            stream.write_all(&body).ok();
        }
    });
    url
}

#[test]
fn the_log_is_searched_and_statements_prove_themselves() {
    let sandbox = Sandbox::new();
    let identity = "https://vendor.example/releases";
    sandbox.ok(&["trust", "authority", "--identity", identity, "--issuer", "https://vendor.example"]);
    sandbox.build("1.0.0");
    sandbox.ok(&["sign", "dist/demo.tar.gz"]);
    let answers = || {
        let served = Served::start(&sandbox, &["--evidence"]);
        let digest = sandbox.ok(&["verify", "dist/demo.tar.gz", "--json"]).json()["artifact"]
            .as_str()
            .unwrap()
            .to_owned();
        let about = served.search(&format!("digest={digest}"));
        assert_eq!(kinds(&about), ["provenance", "intent", "release"]);
        let release = about[2].clone();
        let product = served.search("product=demo");
        assert_eq!(kinds(&product), ["record", "provenance", "intent", "release"]);
        let by_identity = served.search("identity=https%3A%2F%2Fvendor.example%2Freleases");
        assert_eq!(by_identity, std::slice::from_ref(&release));
        let by_key = served.search(&format!("key={}", release["key"].as_str().unwrap()));
        assert!(by_key.contains(&release) && by_key.len() > 2);
        assert_eq!(served.search("kind=record").len(), 1);
        let from = format!("product=demo&from={}", release["index"]);
        assert_eq!(served.search(&from), std::slice::from_ref(&release));
        assert!(served.search("product=other").is_empty());
        let record = product[0]["subjects"][0]["digest"].as_str().unwrap();
        assert_eq!(kinds(&served.search(&format!("digest={record}")))[0], "record");
        // An entry comes with its proof: the provenance's bundle is what `sign` wrote.
        let (status, bundle) = served.get(&format!("/entry/{}", about[0]["index"]));
        assert_eq!(status, 200);
        let written: Value =
            serde_json::from_slice(&sandbox.read("dist/demo.tar.gz.provenance.sigstore.json")).unwrap();
        let got: Value = serde_json::from_slice(&bundle).unwrap();
        assert_eq!(got["dsseEnvelope"], written["dsseEnvelope"]);
        for (path, expected) in [
            ("/search", 400),
            ("/search?digest=x", 400),
            ("/search?product=a&key=b", 400),
            ("/entry/99", 404),
            ("/entry/-1", 404),
            ("/jobs/r9", 404),
            ("/jobs/..", 404),
            (&format!("/jobs/r1/{}", "0".repeat(64)), 404),
            ("/jobs/r1/../../keys/release.pem", 404),
            ("/", 404),
        ] {
            assert_eq!(served.get(path).0, expected, "{path}");
        }
        // Nothing but what the build read of the project and made is shown: not the compiler, not the policy.
        let policy = sandbox.ok(&["log", "show", "--json"]).json();
        let policy = policy["entries"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["kind"] == "policy")
            .unwrap()
            .clone();
        let policy = policy["subjects"][0]["digest"].as_str().unwrap().replace("sha256:", "");
        assert_eq!(served.get(&format!("/jobs/r1/{policy}")).0, 404);
        (about, product, by_key)
    };
    let before = answers();
    fs::remove_file(sandbox.path(".countersign/index.db")).unwrap();
    assert_eq!(answers(), before, "the index is made anew from the log");
    sandbox.ok(&["fsck"]);
    assert_eq!(answers(), before);
}

#[test]
fn a_release_goes_into_a_served_log_too() {
    let sandbox = Sandbox::new();
    let identity = "https://vendor.example/releases";
    sandbox.ok(&["trust", "authority", "--identity", identity, "--issuer", "https://vendor.example"]);
    sandbox.build("1.0.0");
    let artifact = "dist/demo.tar.gz";
    let published = "dist/demo.tar.gz.published.sigstore.json";
    {
        let served = Served::start(&sandbox, &["--log", "public", "--origin", "log.public.example"]);
        let key = sandbox.path("public/verifier-key.txt").display().to_string();
        sandbox.ok(&["sign", artifact, "--log", &served.url, "--log-key", &key]);
        sandbox.ok(&[
            "trust",
            "export",
            "trust.json",
            "--sigstore",
            "sigstore",
            "--url",
            &served.url,
            "--log-key",
            &key,
        ]);
        let verify = |bundle: &str| {
            sandbox.run(&[
                "verify",
                artifact,
                "--bundle",
                bundle,
                "--trusted-root",
                "sigstore/trusted_root.json",
                "--certificate-identity",
                identity,
                "--certificate-oidc-issuer",
                "https://vendor.example",
            ])
        };
        let verified = verify(published);
        assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
        // The store's own bundle is of another log.
        assert_eq!(verify("dist/demo.tar.gz.sigstore.json").code, 1);
        sandbox.ok(&["verify", artifact]);
        // The served log has it, in tiles that anybody can read.
        // The file follows the journal, which has it already, after a moment.
        let published_checkpoint = || String::from_utf8(served.get("/checkpoint").1).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while published_checkpoint().starts_with("log.public.example\n0\n") && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let checkpoint = published_checkpoint();
        assert!(checkpoint.starts_with("log.public.example\n1\n"), "{checkpoint}");
        // A log that is not the one that was named is not believed.
        let other = Sandbox::new();
        let trust: Value = serde_json::from_slice(&other.read(".countersign/trust.json")).unwrap();
        let wrong = trust["log"]["verifierKey"].as_str().unwrap();
        fs::remove_file(sandbox.path(published)).unwrap();
        let refused = sandbox.run(&["sign", artifact, "--log", &served.url, "--log-key", wrong]);
        assert!(refused.code == 3 && refused.err.contains("does not verify"), "{}", refused.err);
        assert!(!sandbox.path(published).exists());
        for file in ["trusted_root.json", "signing_config.v0.2.json", "client_trust_config.json"] {
            let document: Value = serde_json::from_slice(&sandbox.read(&format!("public/{file}"))).unwrap();
            assert!(
                document["mediaType"].as_str().unwrap().starts_with("application/vnd.dev.sigstore."),
                "{file}"
            );
        }
    }
    assert_eq!(sandbox.run(&["serve"]).code, 2);
    assert_eq!(sandbox.run(&["serve", "--log", "x"]).code, 2);
    assert_eq!(sandbox.run(&["sign", artifact, "--log", "http://127.0.0.1:9"]).code, 2);
}

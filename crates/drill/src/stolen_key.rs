//! A stolen key: somebody has taken the whole store with keys and passphrase, builds something else elsewhere, signs it
//! there with the real release key, and puts it where customers get their files.

use std::path::Path;
use std::time::Instant;

use crate::sandbox::{Answer, DrillError, Sandbox, Started};
use crate::{Control, Drill, Score, Step};

const SIGHTINGS: &str = "sightings";
const CONSISTENCY: &str = "consistency";
const WITNESSES: &str = "witnesses";
const RETIREMENT: &str = "key-retirement";

pub(crate) const DRILL: Drill = Drill {
    name: "stolen-key",
    attack: "keys, passphrase and store are copied; a malicious file is signed elsewhere with the real release key",
    controls: &[
        Control { name: SIGHTINGS, what: "the monitor finds a bundle by our key that our log does not have" },
        Control {
            name: CONSISTENCY,
            what: "the monitor finds a checkpoint by our log key that our log contradicts",
        },
        Control {
            name: WITNESSES,
            what: "a customer's check refuses a log that its witnesses have not seen",
        },
        Control {
            name: RETIREMENT,
            what: "once the key is retired, a customer's check refuses what came after",
        },
    ],
    run,
};

fn run(program: &Path, without: Option<&str>) -> Result<Score, DrillError> {
    let vendor = Sandbox::new(program)?;
    vendor.must(&["init", "--origin", "log.vendor.invalid"])?;
    let _witness = witnessed(&vendor, without != Some(WITNESSES))?;
    vendor.release("app", b"honest\n")?;
    vendor.must(&["trust", "export", "customer.json"])?;

    // The thief works on a copy, where no witness is asked and nothing stands in the way.
    let began = Instant::now();
    let thief = Sandbox::new(program)?;
    vendor.copy(".countersign", &thief.path(".countersign"))?;
    thief.must(&["trust", "set", "--witness-policy", "none"])?;
    thief.release("other", b"a harmless marker in place of malware\n")?;
    std::fs::create_dir_all(vendor.path("mirror"))?;
    for name in ["app", "app.sigstore.json"] {
        thief.copy(&format!("dist/{name}"), &vendor.path("mirror"))?;
    }

    let mut steps = Vec::new();
    let swept = vendor.ask(&["monitor", "--sweep", "mirror"])?;
    let mut judged = |control: &'static str, expected: &str, answer: &Answer, code: &str| {
        let evidence = if without == Some(control) { Vec::new() } else { answer.of_code(code) };
        let caught = !evidence.is_empty() && answer.code == Some(1);
        steps.push(Step::new(control, expected, caught, evidence, began));
    };
    judged(SIGHTINGS, "the signature on the mirror is an incident", &swept, "unrecorded-signature");
    judged(CONSISTENCY, "the log that it names is not ours", &swept, "log-forked");
    let verify = ["verify", "mirror/app", "--trust", "customer.json"];
    let refused = vendor.ask(&verify)?;
    judged(WITNESSES, "a customer's check refuses the file", &refused, "witnesses-missing");

    // The answer: the key ends at the present end of the log, and customers get the new trust file.
    let key = refused_key(&swept);
    vendor.must(&["trust", "set", "--witness-policy", "none"])?;
    vendor.must(&["trust", "retire-key", &key, "--reason", "stolen"])?;
    vendor.must(&["trust", "export", "customer.json"])?;
    // The thief's log goes on from the vendor's, so the vendor's end is where the stolen signatures begin.
    let refused = vendor.ask(&verify)?;
    judged(
        RETIREMENT,
        "after the key was retired, a customer's check refuses the file",
        &refused,
        "key-retired",
    );
    Ok(Score { drill: DRILL.name, without: without.map(str::to_owned), steps })
}

/// Starts a witness for a store's log and lets the store's trust demand it.
pub(crate) fn witnessed(vendor: &Sandbox, demanded: bool) -> Result<Option<Started>, DrillError> {
    if !demanded {
        return Ok(None);
    }
    let trust: serde_json::Value =
        serde_json::from_slice(&std::fs::read(vendor.path(".countersign/trust.json"))?).unwrap_or_default();
    let key = trust.pointer("/log/verifierKey").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
    let listen = [
        "log",
        "witness",
        "witness",
        "--name",
        "witness.invalid/w1",
        "--log",
        &key,
        "--listen",
        "127.0.0.1:0",
    ];
    let witness = vendor.start(&listen)?;
    let policy = format!("witness w1 {} {}\nquorum w1\n", witness.text("verifierKey"), witness.text("url"));
    vendor.write("witnesses", policy.as_bytes())?;
    vendor.must(&["trust", "set", "--witness-policy", "witnesses"])?;
    Ok(Some(witness))
}

/// The key that the monitor named.
fn refused_key(swept: &Answer) -> String {
    let words = swept.of_code("unrecorded-signature").join(" ");
    words.split_whitespace().skip_while(|word| *word != "key").nth(1).unwrap_or("unknown").to_owned()
}

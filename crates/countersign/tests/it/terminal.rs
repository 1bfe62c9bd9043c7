//! A build on a terminal: job control, and the keys that end it.

use std::process::Command;

use crate::sandbox::Sandbox;

/// Runs a command on a terminal of its own and types as a person would: each text once the pattern before it has appeared.
/// Prints what was seen, then the exit status, then how many texts were typed.
const TYPIST: &str = r#"
import os, pty, re, select, sys, time
steps = [(p.encode(), t.encode().decode("unicode_escape").encode()) for p, t in (s.split("=>") for s in sys.argv[1].split("|"))]
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen, at, typed, end = b"", 0, 0, time.time() + 90
while time.time() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            read = os.read(terminal, 65536)
        except OSError:
            break
        if not read:
            break
        seen += read
    if typed < len(steps) and (found := re.search(steps[typed][0], seen[at:])):
        at += found.end()
        time.sleep(0.3)
        os.write(terminal, steps[typed][1])
        typed += 1
else:
    os.kill(child, 9)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(seen.decode(errors="replace"), status, typed, sep="\n")
"#;

fn typed(sandbox: &Sandbox, steps: &str, command: &[&str]) -> (String, i32, usize) {
    let template = sandbox.command(&[&["run", "--"], command].concat());
    let mut typist = Command::new("python3");
    typist.args(["-c", TYPIST, steps]).arg(template.get_program()).args(template.get_args());
    for (name, value) in template.get_envs() {
        match value {
            Some(value) => typist.env(name, value),
            None => typist.env_remove(name),
        };
    }
    let output = typist.current_dir(template.get_current_dir().unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut last = text.trim_end().rsplitn(3, '\n');
    let count = last.next().unwrap().parse().unwrap();
    let status = last.next().unwrap().parse().unwrap();
    (last.next().unwrap().to_owned(), status, count)
}

#[test]
fn a_shell_has_its_jobs() {
    let sandbox = Sandbox::new();
    let steps = [
        r"[#$] =>sleep 30\n",
        r"sleep 30\r\n=>\x1a",
        r"Stopped=>jobs; echo J$((1+1))\n",
        r"J2\r\n=>fg\n",
        r"sleep 30\r\n=>\x03",
        r"\^C=>echo done$((2+3))\n",
        r"done5\r\n=>exit 7\n",
    ];
    let (seen, status, count) = typed(&sandbox, &steps.join("|"), &["bash", "--norc", "-i"]);
    assert_eq!((status, count), (7, steps.len()), "{seen}");
    assert!(seen.contains("recorded r1 (failed (7))"), "{seen}");
}

#[test]
fn the_keys_that_end_a_build_end_it_and_its_record_says_so() {
    for (key, signal) in [(r"\x03", 2), (r"\x1c", 3)] {
        let sandbox = Sandbox::new();
        let command = ["sh", "-c", "ulimit -c 0; echo started; sleep 30; echo went on"];
        let (seen, status, _) = typed(&sandbox, &format!("started=>{key}"), &command);
        assert_eq!(status, 128 + signal, "{seen}");
        assert!(!seen.contains("went on"), "{seen}");
        let records = sandbox.ok(&["records"]).out;
        assert!(records.contains(&format!("killed ({signal})")), "{records}");
    }
}

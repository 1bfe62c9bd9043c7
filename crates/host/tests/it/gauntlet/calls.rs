//! No call could be left out of the lists: for each there is a case, and without the call the case fails.

use std::collections::BTreeSet;
use std::fs;

use host::{Seccomp, Tracer};

use super::expect::Expect;
use super::foreign::Shared;
use super::probes::{PROBES, REFUSED, VIEWS, expected, probes};
use crate::tracing::{Traced, folder, launch, traced_by};

/// Makes one call under a recorder. Tells whether it was seen, and everything that was.
fn probe(call: &str, expect: &Expect, tracer: &dyn Tracer) -> (bool, Traced) {
    let (_keep, folder) = folder();
    fs::write(folder.join("file"), "content").unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    let shared = match call {
        "shmat" => Some(Shared::make("shm")),
        "msgsnd" | "msgrcv" => Some(Shared::make("msg")),
        _ => None,
    };
    let mut command = vec![probes().to_str().unwrap(), call];
    command.extend(shared.as_ref().map(|shared| shared.id.as_str()));
    let seen = traced_by(tracer, &launch(&folder, &command)).unwrap();
    (expect.holds(&seen, &folder), seen)
}

#[test]
fn each_call_has_one_case() {
    let calls: BTreeSet<&str> = Seccomp::calls().into_iter().collect();
    for call in &calls {
        assert_eq!(expected(call).len(), 1, "`{call}` has no case, or two");
    }
    let listed = PROBES.iter().flat_map(|(calls, _)| *calls).chain(VIEWS).chain(REFUSED);
    let unknown: Vec<_> = listed.filter(|call| !calls.contains(**call)).collect();
    // Newer architectures lack the older calls.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(unknown, [] as [&&str; 0], "cases of calls that nobody asks about");
    }
}

#[test]
fn without_any_one_call_its_case_fails() {
    let mut wrong = Vec::new();
    for call in Seccomp::calls() {
        for expect in expected(call) {
            let (holds, seen) = probe(call, &expect, &Seccomp);
            if !holds {
                wrong.push(format!("`{call}`: no {expect:?} in {:?}", seen.interesting()));
            }
            let (holds, _) = probe(call, &expect, &Seccomp::without(call));
            if holds {
                wrong.push(format!("`{call}` is asked about for nothing: {expect:?} holds without"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

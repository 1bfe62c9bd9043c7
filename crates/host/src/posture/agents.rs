//! Detection and response agents: which are installed, and which of them run.

use std::fs;

use evidence::posture::Fact;

use super::{Found, NOT_LIVE, exists, fact, list};
use crate::inventory::Root;

/// An agent, where it is installed, and what its processes are called.
struct Agent {
    name: &'static str,
    places: &'static [&'static str],
    processes: &'static [&'static str],
}

const AGENTS: &[Agent] = &[
    Agent {
        name: "CrowdStrike Falcon",
        places: &["opt/CrowdStrike"],
        processes: &["falcon-sensor", "falcond"],
    },
    Agent {
        name: "SentinelOne",
        places: &["opt/sentinelone"],
        processes: &["s1-agent", "s1-orchestrator", "sentineld"],
    },
    Agent { name: "Microsoft Defender", places: &["opt/microsoft/mdatp"], processes: &["wdavdaemon"] },
    Agent {
        name: "Elastic Defend",
        places: &["opt/Elastic"],
        processes: &["elastic-endpoint", "elastic-agent"],
    },
    Agent { name: "Wazuh", places: &["var/ossec"], processes: &["wazuh-agentd", "wazuh-syscheckd"] },
    Agent { name: "Falco", places: &["usr/bin/falco", "etc/falco"], processes: &["falco"] },
    Agent { name: "Tetragon", places: &["usr/local/bin/tetragon", "etc/tetragon"], processes: &["tetragon"] },
    Agent {
        name: "Carbon Black",
        places: &["opt/carbonblack", "var/opt/carbonblack"],
        processes: &["cbagentd", "cbdaemon"],
    },
    Agent {
        name: "Sophos",
        places: &["opt/sophos-spl"],
        processes: &["sophos_managementagent", "sophos_watchdog"],
    },
    Agent { name: "Trend Micro", places: &["opt/ds_agent"], processes: &["ds_agent"] },
    Agent { name: "Cortex XDR", places: &["opt/traps"], processes: &["pmd", "cortex-xdr"] },
    Agent { name: "osquery", places: &["usr/bin/osqueryd", "opt/osquery"], processes: &["osqueryd"] },
];

/// How much of its name the kernel keeps of a process (`TASK_COMM_LEN` less one).
const NAME_BYTES: usize = 15;

pub(super) fn facts(root: &Root) -> Vec<Fact> {
    let processes = root.is_live().then(running);
    let with = |found: &dyn Fn(&[String]) -> Vec<String>| -> Found {
        processes.as_ref().map(|names| list(found(names))).ok_or_else(|| NOT_LIVE.to_owned())
    };
    let installed = |agent: &&Agent| agent.places.iter().any(|place| exists(root, place));
    let runs =
        |agent: &Agent, names: &[String]| agent.processes.iter().any(|name| names.contains(&kept(name)));
    let name = |agent: &Agent| agent.name.to_owned();
    // An agent that runs from nowhere is only a process of that name.
    let running =
        with(&|names| AGENTS.iter().filter(installed).filter(|agent| runs(agent, names)).map(name).collect());
    let stopped = with(&|names| {
        AGENTS.iter().filter(installed).filter(|agent| !runs(agent, names)).map(name).collect()
    });
    let all = list(AGENTS.iter().filter(installed).map(name).collect());
    let read = ["places of known agents", "/proc/*/comm"];
    vec![
        fact("edr-installed", Ok(all), &read[..1]),
        fact("edr-running", running, &read),
        fact("edr-stopped", stopped, &read),
    ]
}

fn kept(name: &str) -> String {
    name.chars().take(NAME_BYTES).collect()
}

/// The names of all processes, as the kernel keeps them; everybody may read those.
pub(super) fn running() -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    let names = numbered.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

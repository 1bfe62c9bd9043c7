//! One function per command.

mod advisories;
mod approvals;
mod builders;
mod compare;
mod describe;
mod drills;
mod inventory;
mod log;
mod monitor;
mod posture;
mod records;
mod releases;
mod run;
mod sbom;
mod serve;
mod store;
mod trust;
mod verify;
mod watch;
mod why;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::context::{Context, UsageError};
use crate::output::{self, YES};

/// Runs a command; returns the exit code.
pub(crate) fn run(context: &Context, command: Command) -> Result<u8> {
    match command {
        Command::Init { origin, release_key } => {
            store::init(context, origin.as_deref(), release_key.as_deref())
        }
        Command::Run(arguments) => run::run(context, arguments),
        Command::Records => records::list(context),
        Command::Show(arguments) => records::show(context, &arguments),
        Command::Inspect { paths, root, timestamp_root, catalog, key, rules } => {
            let rules = rules.as_deref().map(engine::Rules::load).transpose()?;
            let trusted = engine::Trusted {
                roots: root,
                timestamp_roots: timestamp_root,
                catalogs: catalog,
                keys: key,
                rules,
            };
            describe::inspect(context, &paths, &trusted)
        }
        Command::Sbom(arguments) => sbom::run(context, *arguments),
        Command::Inventory(command) => inventory::run(context, command),
        Command::Posture(command) => posture::run(context, command),
        Command::Compare(arguments) => compare::compare(context, &arguments),
        Command::Gate { artifact } => releases::gate(context, &artifact),
        Command::Sign { artifact, with, detached, log, log_key, person, store_passphrase_file } => {
            let signer = with.map(|command| engine::NativeSigner { command, detached });
            let other = log.zip(log_key).map(|(url, key)| trust::other_log(url, &key)).transpose()?;
            let person = person.zip(Some(store_passphrase_file));
            releases::sign(context, &artifact, signer.as_ref(), other.as_ref(), person)
        }
        Command::Quorum(arguments) => builders::quorum(context, arguments),
        Command::Rebuild(arguments) => builders::rebuild(context, arguments),
        Command::Monitor(arguments) => monitor::monitor(context, arguments),
        Command::Verify(arguments) => verify::verify(context, arguments),
        Command::Approve(arguments) => approvals::approve(context, &arguments),
        Command::Approver(command) => approvals::approver(context, command),
        Command::Revoke { artifact, reason } => releases::revoke(context, &artifact, &reason),
        Command::Log(command) => log::run(context, command),
        Command::Serve(arguments) => serve::serve(context, &arguments),
        Command::Trust(command) => trust::run(context, command),
        Command::Watch(arguments) => watch::run(context, *arguments),
        Command::Advisories(command) => advisories::run(context, command),
        Command::Fsck => store::fsck(context),
        Command::Drill(command) => drills::run(context, command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "countersign", &mut script);
            output::bytes(&script)?;
            Ok(YES)
        }
        Command::Help { topic } => help(context, topic.as_deref()),
    }
}

fn help(context: &Context, topic: Option<&str>) -> Result<u8> {
    let Some(topic) = topic else {
        output::text(&Cli::command().render_long_help().to_string())?;
        return Ok(YES);
    };
    if let Some(code) = engine::judge::codes::find(topic) {
        if context.json {
            let content = serde_json::json!({
                "code": code.word, "severity": code.severity, "title": code.title, "hint": code.hint, "approvable": code.approvable,
            });
            output::document("finding-code", content)?;
            return Ok(YES);
        }
        let approval = match (code.approvable, code.two_people) {
            (true, true) => "Two people together may approve it; no policy can allow it.",
            (true, false) => "A person may approve it.",
            (false, _) => "Nobody can approve it.",
        };
        output::text(&format!(
            "{} ({})\n\n{}.\n\nWhat to do: {}.\n{approval}\n\nMore: docs/findings/{}.md\n",
            code.word,
            code.severity.word(),
            code.title,
            code.hint,
            code.word
        ))?;
        return Ok(YES);
    }
    if let Some(command) = Cli::command().find_subcommand_mut(topic) {
        output::text(&command.render_long_help().to_string())?;
        return Ok(YES);
    }
    anyhow::bail!(UsageError(format!(
        "`{topic}` is neither a command nor a finding code; `countersign help` lists the commands"
    )))
}

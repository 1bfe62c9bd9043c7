//! The command line: reads what a person typed, calls one use case of the engine, prints what it returned.
//! No logic lives here.

mod args;
mod commands;
mod context;
mod output;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use context::Context;

fn main() -> ExitCode {
    // The helper is the same program: no other has to be found, or could be put in its place.
    if std::env::args_os().nth(1).is_some_and(|word| word == engine::TOKEN_HELPER) {
        let served = engine::serve_token(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
        return ExitCode::from(if served.is_ok() { 0 } else { output::UNDECIDED });
    }
    let cli = Cli::parse_from(args::joined(std::env::args_os()));
    let is_run = cli.is_run();
    let context = Context::new(&cli.common);
    match commands::run(&context, cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = output::error(&context, &error);
            // A build tool's own codes must not be taken for ours.
            ExitCode::from(if is_run { output::RECORDER_FAILED } else { code })
        }
    }
}

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

//! `serve --log`, `serve --evidence`, `log witness`: what listens. They run until they are ended.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::{EvidenceService, LogService, Witness};
use serde_json::json;
use server::{Limits, Serving};

use crate::args::trust::ServeArgs;
use crate::context::Context;
use crate::output::{self, YES};

pub(crate) fn serve(context: &Context, arguments: &ServeArgs) -> Result<u8> {
    let Some((log, origin)) = arguments.log.as_ref().zip(arguments.origin.as_deref()) else {
        return evidence(context, arguments);
    };
    let keys = match &arguments.trust {
        Some(file) => engine::keys_of(file)?,
        None => Vec::new(),
    };
    let passphrase = context.passphrase()?;
    let limits = engine::GroupLimits::default();
    let now = Context::now;
    let service = LogService::open(log, origin, keys, &passphrase, limits, now())?;
    let key = service.verifier_key().to_owned();
    let service = Arc::new(service);
    let routes = server::log_routes(Arc::clone(&service), now);
    let serving = server::serve(&arguments.listen, Limits::default(), routes)?;
    let url = arguments.url.clone().unwrap_or_else(|| format!("http://{}", serving.address()));
    service.write_client_files(log, url.trim_end_matches('/'), now())?;
    listening(context, "serve", &serving, &key)?;
    serving.wait();
    Ok(YES)
}

fn evidence(context: &Context, arguments: &ServeArgs) -> Result<u8> {
    // A store that cannot be opened is said now, not at the first question.
    let world = context.world()?;
    let key = world.trust().log.verifier_key.clone();
    let service = EvidenceService::new(world.root());
    drop(world);
    let routes = server::evidence_routes(Arc::new(service), Context::now);
    let serving = server::serve(&arguments.listen, Limits::default(), routes)?;
    listening(context, "serve", &serving, &key)?;
    serving.wait();
    Ok(YES)
}

pub(crate) fn witness(
    context: &Context,
    folder: &Path,
    name: &str,
    logs: &[String],
    listen: &str,
) -> Result<u8> {
    let logs = logs.iter().map(|log| key_text(log)).collect::<Result<Vec<_>>>()?;
    let witness = Witness::open(folder, name, &logs, &context.passphrase()?)?;
    let key = witness.key();
    let now = || u64::try_from(Context::now().unix()).unwrap_or(0);
    let quiet = context.quiet;
    let found = move |words: &str| {
        if !quiet {
            // Nobody is left to tell if stderr is gone.
            use std::io::Write as _;
            writeln!(std::io::stderr().lock(), "FOUND log-forked: {words}").ok();
        }
    };
    let routes = server::witness_routes(Arc::new(witness), now, found);
    let serving = server::serve(listen, Limits::default(), routes)?;
    listening(context, "log-witness", &serving, &key)?;
    serving.wait();
    Ok(YES)
}

/// Says where it listens and by which key it signs; programs wait for this line.
fn listening(context: &Context, schema: &str, serving: &Serving, key: &str) -> Result<()> {
    let url = format!("http://{}", serving.address());
    if context.json {
        return output::document(schema, json!({ "url": url, "verifierKey": key }));
    }
    output::text(&format!("listening on {url}\n  key {key}\n"))
}

/// A verifier key, or a file that holds one.
pub(crate) fn key_text(word: &str) -> Result<String> {
    let path = Path::new(word);
    if !path.is_file() {
        return Ok(word.to_owned());
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{word}`"))
}

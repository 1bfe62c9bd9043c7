//! Listing records and finding one by what a person calls it.

use std::collections::BTreeMap;

use evidence::{BytePath, Digest, Event, Record, Tree};
use judge::lineage::{Lineage, Why};
use store::{Index, RecordRow};

use crate::error::{Error, Result};
use crate::world::{World, store_error};

/// A record with what the ledger knows about it.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordView {
    /// Its number: `r7`.
    pub number: u64,
    /// Digest of the record document.
    pub digest: Digest,
    /// Index of its statement in the log.
    pub log_index: u64,
    /// The document.
    pub record: Record,
}

/// Lists all records, oldest first, as the index knows them.
pub fn records(world: &World) -> Result<Vec<RecordRow>> {
    world.index.records().map_err(store_error)
}

/// Finds a record by `latest`, `r7`, `7`, its digest, or the beginning of the digest's hex digits (at least 6).
pub fn show(world: &World, name: &str) -> Result<RecordView> {
    let row = find(world, name)?.ok_or_else(|| Error::NoRecord(name.to_owned()))?;
    view(world, &row)
}

/// Reads a record: the document by its digest, and that a builder key of this store signed for it.
pub(crate) fn view(world: &World, row: &RecordRow) -> Result<RecordView> {
    let keys = world.builder_keys();
    let (verified, _) = world.statement::<evidence::statement::RecordStatement>(row.log_index, &keys)?;
    if !verified.statement().is_about(&row.digest) {
        return Err(Error::Document { kind: "record", digest: row.digest });
    }
    let record = world.document("record", &row.digest)?;
    Ok(RecordView { number: row.number, digest: row.digest, log_index: row.log_index, record })
}

pub(crate) fn find(world: &World, name: &str) -> Result<Option<RecordRow>> {
    if name == "latest" {
        return world.index.latest().map_err(store_error);
    }
    if let Ok(number) = name.strip_prefix('r').unwrap_or(name).parse::<u64>()
        && let Some(row) = world.index.record(number).map_err(store_error)?
    {
        return Ok(Some(row));
    }
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if hex.len() < 6 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    Ok(records(world)?.into_iter().find(|row| row.digest.hex().starts_with(hex)))
}

/// Reads the raw trace of a record, in order.
pub fn timeline(world: &World, view: &RecordView) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    replay(world, &view.record, &mut |event| events.push(event))?;
    Ok(events)
}

/// Hands over the raw trace of a record, in order; no more than one segment of it is in memory.
pub(crate) fn replay(world: &World, record: &Record, take: &mut dyn FnMut(Event)) -> Result<()> {
    for segment in &record.segments {
        let events = store::read_segment(&world.read(&segment.digest)?).map_err(store_error)?;
        events.into_iter().for_each(&mut *take);
    }
    Ok(())
}

/// Tells how a file of a record came to be. `file` is its path as recorded, or relative to the working directory.
pub fn why<'a>(view: &RecordView, lineage: &Lineage<'a>, file: &str) -> Result<Why<'a>> {
    let given = BytePath::from(file);
    let below = [view.record.workdir.as_bytes(), b"/", given.as_bytes()].concat();
    lineage
        .why(&given)
        .or_else(|| lineage.why(&BytePath::new(below)))
        .ok_or_else(|| Error::NoFile { file: file.to_owned(), record: view.number })
}

/// Reads the inspections of a record's outputs.
pub(crate) fn trees(world: &World, record: &Record) -> Result<BTreeMap<BytePath, Tree>> {
    record
        .outputs
        .iter()
        .map(|output| Ok((output.path.clone(), world.document("inspection", &output.tree)?)))
        .collect()
}

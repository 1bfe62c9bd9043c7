//! Group commit: whatever waits while one batch is being made durable becomes the next batch.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use crate::log::{InclusionProof, LogError};
use crate::seam::Tiles;
use crate::sequencer::{Batch, Sequencer, Settlement};

/// Entries that somebody wants in the log, and where the answer goes. If the answer's other end is closed without one,
/// the log has failed; whether the entries are in it is not known then.
pub struct Submission {
    /// The entries; they get indices in a row.
    pub entries: Vec<Vec<u8>>,
    /// Where to tell.
    pub reply: Sender<Receipt>,
}

/// Where entries stand: durable, and provable at once.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Index of the first entry.
    pub first_index: u64,
    batch: Arc<Batch>,
}

impl Receipt {
    /// Proves an entry of the submission, counted from zero.
    pub fn proof(&self, offset: u64) -> Result<InclusionProof, LogError> {
        self.batch.proof(self.first_index + offset)
    }
}

/// How much is done at a time.
#[derive(Clone, Copy, Debug)]
pub struct GroupLimits {
    /// Entries of one batch, as long as no single submission has more.
    pub batch_entries: usize,
    /// Entries in the journal from which on tiles are written.
    pub settle_entries: u64,
    /// How long the log is quiet before tiles are written.
    pub settle_after: Duration,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { batch_entries: 2048, settle_entries: 1 << 16, settle_after: Duration::from_millis(200) }
    }
}

/// Commits submissions until nobody can submit any more, then writes the last tiles. `tiles` is where the sequencer
/// writes them.
pub fn commit_groups(
    sequencer: &mut Sequencer<'_>,
    tiles: &(dyn Tiles + Sync),
    inbox: &Receiver<Submission>,
    limits: &GroupLimits,
) -> Result<(), LogError> {
    std::thread::scope(|scope| {
        let (done, settled) = channel::<Result<Settlement, LogError>>();
        let mut settling = false;
        loop {
            let first = match inbox.recv_timeout(limits.settle_after) {
                Ok(submission) => Some(submission),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let quiet = first.is_none();
            if let Some(first) = first {
                commit(sequencer, gather(first, inbox, limits.batch_entries))?;
            }
            match settled.try_recv() {
                Ok(settlement) => {
                    sequencer.finish_settling(&settlement?)?;
                    settling = false;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
            let waiting = sequencer.unsettled();
            if !settling && waiting > 0 && (quiet || waiting >= limits.settle_entries) {
                let settlement = sequencer.begin_settling()?;
                let done = done.clone();
                settling = true;
                scope.spawn(move || {
                    let result = settlement.write(tiles).map(|()| settlement);
                    // Nobody listens any more only if the loop has ended with an error of its own.
                    done.send(result).ok();
                });
            }
        }
        if settling && let Ok(settlement) = settled.recv() {
            sequencer.finish_settling(&settlement?)?;
        }
        if sequencer.unsettled() > 0 { sequencer.settle() } else { Ok(()) }
    })
}

fn gather(first: Submission, inbox: &Receiver<Submission>, entries_max: usize) -> Vec<Submission> {
    let mut count = first.entries.len();
    let mut group = vec![first];
    while count < entries_max {
        let Ok(next) = inbox.try_recv() else { break };
        count += next.entries.len();
        group.push(next);
    }
    group
}

fn commit(sequencer: &mut Sequencer<'_>, group: Vec<Submission>) -> Result<(), LogError> {
    let mut entries = Vec::new();
    let mut replies = Vec::with_capacity(group.len());
    for submission in group {
        replies.push((entries.len() as u64, submission.reply));
        entries.extend(submission.entries);
    }
    let batch = Arc::new(sequencer.append(&entries)?);
    for (offset, reply) in replies {
        // Who no longer waits does not need to know.
        reply.send(Receipt { first_index: batch.first_index() + offset, batch: Arc::clone(&batch) }).ok();
    }
    Ok(())
}

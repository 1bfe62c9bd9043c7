//! What waits to be delivered: bounded, in order, tried ever more seldom while nobody takes it.

use std::collections::VecDeque;
use std::io;

use evidence::Timestamp;

/// The most messages that wait, and their bytes; the oldest go first.
const MESSAGES_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 << 20;
/// The longest pause between two attempts, in seconds.
const PAUSE_MAX: i64 = 300;

#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    failures: u32,
    next: Option<Timestamp>,
    dropped: u64,
    last_error: String,
}

impl Queue {
    pub(super) fn add(&mut self, message: Vec<u8>) {
        self.bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            self.bytes -= self.messages.pop_front().map_or(0, |message| message.len());
            self.dropped += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Delivers in order until something fails; then waits twice as long as the last time.
    pub(super) fn deliver(&mut self, now: Timestamp, mut send: impl FnMut(&[u8]) -> io::Result<()>) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        while let Some(message) = self.messages.front() {
            match send(message) {
                Ok(()) => {
                    self.bytes -= message.len();
                    self.messages.pop_front();
                    (self.failures, self.next) = (0, None);
                }
                Err(error) => {
                    let pause = 1_i64.checked_shl(self.failures).unwrap_or(PAUSE_MAX).clamp(1, PAUSE_MAX);
                    self.next = Some(Timestamp::from_unix(now.unix().saturating_add(pause)));
                    self.failures = (self.failures + 1).min(16);
                    self.last_error = error.to_string();
                    return;
                }
            }
        }
    }

    /// Says what did not arrive, if anything.
    pub(super) fn lost(&self) -> Option<String> {
        let lost = self.dropped + self.messages.len() as u64;
        (lost > 0).then(|| format!("{lost} messages were not delivered: {}", self.last_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn it_is_tried_ever_more_seldom_and_in_order() {
        let mut queue = Queue::default();
        queue.add(b"1".to_vec());
        queue.add(b"2".to_vec());
        let mut attempts = Vec::new();
        for second in 0..20 {
            queue.deliver(at(second), |_| {
                attempts.push(second);
                Err(io::ErrorKind::ConnectionRefused.into())
            });
        }
        assert_eq!(attempts, [0, 1, 3, 7, 15]);
        assert!(queue.lost().unwrap().starts_with("2 messages"));
        let mut sent = Vec::new();
        queue.deliver(at(31), |message| {
            sent.push(message.to_vec());
            Ok(())
        });
        assert_eq!((sent, queue.is_empty(), queue.lost()), (vec![b"1".to_vec(), b"2".to_vec()], true, None));
    }

    #[test]
    fn the_oldest_go_when_it_is_full_and_that_is_told() {
        let mut queue = Queue::default();
        for _ in 0..=MESSAGES_MAX {
            queue.add(b"x".to_vec());
        }
        queue.add(vec![0; BYTES_MAX]);
        assert_eq!((queue.messages.len(), queue.bytes), (1, BYTES_MAX));
        assert!(queue.dropped > MESSAGES_MAX as u64);
    }
}

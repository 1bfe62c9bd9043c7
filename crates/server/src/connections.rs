//! The connections of one server: how many there are, and how all of them are ended.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// All that are open. Shared by the acceptor, which adds, and by the server's owner, who ends them.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    left: Condvar,
}

#[derive(Default)]
struct Open {
    streams: HashMap<u64, Arc<TcpStream>>,
    next: u64,
}

/// A connection's place among the open ones, given back when it is dropped, whatever ended the connection.
pub(crate) struct Place {
    connections: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().streams.len()
    }

    /// Takes a place for a stream.
    pub(crate) fn enter(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Place {
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.streams.insert(number, Arc::clone(stream));
        Place { connections: Arc::clone(self), number }
    }

    /// Takes no more requests from any of them, and returns when the last has left: those that wait for a request
    /// at once, those that answer one when the answer is written.
    pub(crate) fn end(&self) {
        let mut open = self.lock();
        for stream in open.streams.values() {
            // It fails for streams that the client has ended; their threads are on their way out.
            stream.shutdown(Shutdown::Read).ok();
        }
        while !open.streams.is_empty() {
            open = self.left.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing panics under this lock, and the table is whole between any two of its calls.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().streams.remove(&self.number);
        self.connections.left.notify_all();
    }
}

//! Members of one artifact are unpacked by one thread and looked at by another.
//!
//! The result depends neither on when the other is ready, nor on whether there is one, nor on whether the other artifact of a comparison
//! had the member first: how much is under way at a time is decided by numbers and sizes alone, and each member is paid for in its turn.
//! One that is more than what is left of the budget has no facts of images, whoever has read them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use evidence::{BytePath, Digest, Node};

use super::Inspection;
use super::kept::found_bytes;
use super::member::{facts, format_of, is_leaf};
use super::twins::{Claim, Key, Known, Turn, Twins};
use crate::budget::Budget;
use crate::executable::Trusted;
use crate::format::Format;
use crate::room::{Held, Hold};

/// What is smaller is looked at sooner than handed over.
const JOB_MIN_BYTES: u64 = 32 << 10;
/// What is under way at a time, but for one member that has more.
const UNDER_WAY_MAX_BYTES: u64 = 12 << 20;
const UNDER_WAY_MAX: usize = 64;

/// The other thread, once there is work for it.
#[derive(Default)]
pub(super) struct Crew {
    worker: Option<Worker>,
    /// Whether there was work for it.
    is_asked: bool,
    /// In the order in which it was handed over, which is the order in which it comes back.
    under_way: VecDeque<Trip>,
    under_way_bytes: u64,
    /// What has come back, by the place among the members of the container that is being read.
    landed: Vec<(usize, Node)>,
}

struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

/// A member that is under way.
struct Trip {
    /// Among the members of its container.
    place: usize,
    path: BytePath,
    bytes: u64,
    is_image: bool,
    way: Way,
}

/// Who looks at it.
enum Way {
    /// The other thread, while its bytes are held.
    Other(Hold),
    /// Nobody any more: there is no other thread, or the other artifact of a comparison had it.
    Ready(Box<Done>),
}

struct Job {
    node: Node,
    format: Format,
    bytes: Vec<u8>,
    trusted: Trusted,
    budget: Budget,
    claim: Option<Claim>,
    /// Whom to ask whether the other artifact has the member too, if nobody was asked; and how deep it lies.
    ask: Option<(Arc<Twins>, u32)>,
}

struct Done {
    known: Known,
    problems: Vec<String>,
}

impl Worker {
    fn start() -> Option<Self> {
        // With one processor, handing over is work for nothing.
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return None;
        }
        let (jobs, taken) = channel::<Job>();
        let (give, done) = channel();
        let thread = std::thread::Builder::new().name("members".into()).spawn(move || {
            for job in taken {
                if give.send(job.run()).is_err() {
                    break;
                }
            }
        });
        Some(Self { jobs, done, thread: thread.ok()? })
    }
}

impl Job {
    fn run(mut self) -> Done {
        let digest = Digest::of(&self.bytes);
        self.node.digest = Some(digest);
        if let Some((twins, depth)) = self.ask.take() {
            let key = Key { digest, name: self.node.name.clone(), packing: None, depth };
            match twins.turn(key, true) {
                Turn::Known(known) => return Done { known: *known, problems: Vec::new() },
                Turn::Mine(claim) => self.claim = Some(claim),
                Turn::Alone => {}
            }
        }
        let before = (self.budget.symbols, self.budget.facts_bytes);
        let problems = facts(&mut self.node, self.format, &self.bytes, &self.trusted, &mut self.budget);
        let (symbols, facts_bytes) = (before.0 - self.budget.symbols, before.1 - self.budget.facts_bytes);
        let known = Known { node: self.node, symbols, facts_bytes };
        if let Some(claim) = self.claim
            && problems.is_empty()
        {
            claim.fulfil(known.clone());
        }
        Done { known, problems }
    }
}

impl Inspection<'_> {
    /// Opens a member of a container whose `place` it gets there; one that is looked at elsewhere has its facts when all have
    /// [landed](Self::land_into).
    pub(crate) fn held_member(
        &mut self,
        container: &Node,
        path: &BytePath,
        name: BytePath,
        held: Held,
        place: usize,
    ) -> Node {
        let format = format_of(&name, &held);
        let bytes = held.len() as u64;
        if bytes < JOB_MIN_BYTES || !self.is_plain() || !is_leaf(format, &held) {
            return self.member(container, path, name, &held);
        }
        self.noted(container, &name, &held);
        let Held { bytes: content, hold } = held;
        let node = Node::leaf(name, format.word(), Digest::of(b""), bytes);
        self.make_way(bytes);
        let claim = self.claim.take();
        let asks = claim.is_none() && !self.trusted.is_asked();
        let job = Job {
            node: node.clone(),
            format,
            bytes: content,
            trusted: self.trusted.clone(),
            budget: self.budget.clone(),
            ask: self.twins.clone().filter(|_| asks).map(|twins| (twins, self.depth)),
            claim,
        };
        if !std::mem::replace(&mut self.crew.is_asked, true) {
            self.crew.worker = Worker::start();
        }
        let way = match &self.crew.worker {
            // At once, because others may wait for it.
            None => Way::Ready(Box::new(job.run())),
            Some(worker) => match worker.jobs.send(job) {
                Ok(()) => Way::Other(hold),
                Err(_) => self.crew.failed(),
            },
        };
        let path = container.join(path, &node.name);
        let trip = Trip { place, path, bytes, is_image: format != Format::Data, way };
        self.crew.under_way.push_back(trip);
        node
    }

    /// Takes a member that the other artifact has, too, as if it had been handed over; gives it back if it is too small for that.
    pub(crate) fn known_member(
        &mut self,
        container: &Node,
        path: &BytePath,
        known: Box<Known>,
        place: usize,
    ) -> Result<Node, Box<Known>> {
        let bytes = known.node.size;
        if bytes < JOB_MIN_BYTES {
            return Err(known);
        }
        self.make_way(bytes);
        let node = Node::leaf(known.node.name.clone(), &known.node.format, Digest::of(b""), bytes);
        let is_image = known.node.format != Format::Data.word();
        let path = container.join(path, &node.name);
        let way = Way::Ready(Box::new(Done { known: *known, problems: Vec::new() }));
        self.crew.under_way.push_back(Trip { place, path, bytes, is_image, way });
        Ok(node)
    }

    /// Waits until so much more may be under way.
    fn make_way(&mut self, bytes: u64) {
        while self.crew.under_way.len() >= UNDER_WAY_MAX
            || self.crew.under_way_bytes + bytes > UNDER_WAY_MAX_BYTES && !self.crew.under_way.is_empty()
        {
            self.land_one();
        }
        self.crew.under_way_bytes += bytes;
    }

    /// Waits for all that is under way.
    pub(crate) fn land(&mut self) {
        while !self.crew.under_way.is_empty() {
            self.land_one();
        }
    }

    /// Waits for the member that has been under way the longest.
    fn land_one(&mut self) {
        let Some(trip) = self.crew.under_way.pop_front() else { return };
        self.crew.under_way_bytes -= trip.bytes;
        let Done { known, mut problems } = match trip.way {
            Way::Ready(done) => *done,
            Way::Other(_hold) => {
                let done = self.crew.worker.as_ref().and_then(|worker| worker.done.recv().ok());
                done.unwrap_or_else(|| self.crew.failed())
            }
        };
        let mut node = known.node;
        if trip.is_image && !self.spend(known.symbols, known.facts_bytes) {
            self.budget.symbols = 0;
            node.executables = Vec::new();
            problems = vec!["too many symbols or facts".to_owned()];
        }
        for problem in problems {
            self.problem(&trip.path, &format!("malformed-{}", node.format), problem);
        }
        self.keep_bytes(found_bytes(&node));
        self.crew.landed.push((trip.place, node));
    }

    /// Waits for all members of a container that are under way, and writes what was found into them.
    pub(crate) fn land_into(&mut self, members: &mut [Node]) {
        self.land();
        for (place, landed) in std::mem::take(&mut self.crew.landed) {
            if let Some(member) = members.get_mut(place) {
                member.digest = landed.digest;
                member.executables = landed.executables;
                member.content = landed.content;
            }
        }
    }

    /// Begins with the members of an inner container; what has landed of the outer one is handed back when that goes on.
    pub(super) fn land_aside(&mut self) -> Vec<(usize, Node)> {
        self.land();
        std::mem::take(&mut self.crew.landed)
    }

    pub(super) fn land_back(&mut self, landed: Vec<(usize, Node)>) {
        self.crew.landed = landed;
    }
}

impl Crew {
    /// The other thread has panicked: so does this one.
    fn failed(&mut self) -> ! {
        let ended = self.worker.take().and_then(|worker| {
            drop((worker.jobs, worker.done));
            worker.thread.join().err()
        });
        std::panic::resume_unwind(
            ended.unwrap_or_else(|| Box::new("the thread that reads members has ended")),
        )
    }
}

//! Each case: its name, what it does, what of it has to be told.

use evidence::EventKind as Kind;

use super::super::expect::Expect;
use crate::tracing::is_ptrace;

/// How a case is run, always in a folder that is furnished for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// A branch of `evasions.c`.
    Program(&'static str),
    Shell(&'static str),
    Python(&'static str),
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) how: How,
    /// What has to be there outside the build: `bystander`, `shm`, `service`, `abstract`, `pipe`.
    pub(super) needs: &'static str,
    pub(super) shows: &'static [Expect],
}

impl Case {
    /// What has to be told by the recorder that is tested. Where it traces all processes itself, nobody else can; and
    /// it knows what the kernel said.
    pub(super) fn shows(&self) -> &'static [Expect] {
        let may_set = || std::fs::File::options().write(true).open("/proc/sys/kernel/core_pattern").is_ok();
        match self.name {
            name if is_ptrace() && TRACERS.contains(&name) => {
                &[UNREAD, Expect::How(Kind::Reach, "ptrace"), Expect::Went]
            }
            "kernel-setting" if is_ptrace() && !may_set() => {
                &[Expect::Failed(Kind::Write, "/proc/sys/kernel/core_pattern", 13)]
            }
            _ => self.shows,
        }
    }
}

/// Cases in which one process traces another.
const TRACERS: &[&str] = &["own-trace", "changed-at-entry", "changed-by-a-tracer"];

const fn c(name: &'static str, shows: &'static [Expect]) -> Case {
    Case { name, how: How::Program(name), needs: "", shows }
}

const fn with(needs: &'static str, name: &'static str, shows: &'static [Expect]) -> Case {
    Case { name, how: How::Program(name), needs, shows }
}

const fn sh(name: &'static str, script: &'static str, shows: &'static [Expect]) -> Case {
    Case { name, how: How::Shell(script), needs: "", shows }
}

const fn py(name: &'static str, script: &'static str, shows: &'static [Expect]) -> Case {
    Case { name, how: How::Python(script), needs: "", shows }
}

const READ: Expect = Expect::Content(Kind::Read, "in", "content");
const UNREAD: Expect = Expect::Not(Kind::Read, "in");

pub(super) const CASES: &[Case] = &[
    // Programs.
    c("program-in-memory", &[Expect::Target(Kind::Memory, "hidden"), Expect::Started("ran"), Expect::Whole]),
    c("program-by-descriptor", &[Expect::On(Kind::Exec, "tool"), Expect::Started("ran"), Expect::Whole]),
    c("program-through-proc", &[Expect::On(Kind::Exec, "tool"), Expect::Started("ran"), Expect::Whole]),
    c("program-removed", &[Expect::On(Kind::Exec, "tool"), Expect::Started("ran")]),
    c("start-that-fails", &[Expect::NotStarted("ran"), Expect::Went, Expect::Whole]),
    sh(
        "script-of-a-script",
        "printf '#!/bin/sh\\ncat in\\n' > one; printf '#!'$PWD'/one\\n' > two; chmod +x one two; exec ./two",
        &[
            Expect::On(Kind::Exec, "two"),
            Expect::On(Kind::Read, "one"),
            READ,
            Expect::Detail(Kind::Attribute, "one", "mode 0755"),
        ],
    ),
    sh(
        "preloaded-library",
        "LD_PRELOAD=$PWD/quiet.so TOKEN=secret /bin/true",
        &[Expect::On(Kind::Map, "quiet.so"), Expect::On(Kind::Read, "quiet.so"), Expect::Whole],
    ),
    sh(
        "program-by-its-loader",
        "$(ls /lib64/ld-linux* /lib/ld-linux-a* 2>&- | head -n 1) ./tool ran",
        &[Expect::On(Kind::Read, "tool"), Expect::On(Kind::Map, "tool"), Expect::Whole],
    ),
    c("library", &[Expect::On(Kind::Map, "quiet.so"), Expect::On(Kind::Read, "quiet.so"), Expect::Whole]),
    c("code-later", &[Expect::Content(Kind::Map, "in", "content"), Expect::Whole]),
    py(
        "socket-as-input",
        "import socket, subprocess\nl = socket.create_server(('127.0.0.1', 0))\nb = socket.create_connection(l.getsockname())\na, _ = l.accept()\nb.send(b'exit 0')\nb.close()\nsubprocess.run(['sh'], stdin=a)",
        &[Expect::How(Kind::Exec, "socket-input")],
    ),
    py(
        "local-socket-as-input",
        "import socket, subprocess\na, b = socket.socketpair()\nb.send(b'exit 0')\nb.close()\nsubprocess.run(['sh'], stdin=a)",
        &[Expect::How(Kind::Exec, "local-socket-input")],
    ),
    // Files.
    c("nameless-file", &[Expect::Content(Kind::Left, "made", "quiet"), Expect::Whole]),
    c("nameless-file-empty-path", &[Expect::Content(Kind::Left, "made", "quiet"), Expect::Whole]),
    c("reopen", &[READ, Expect::Whole]),
    c("reopen-for-writing", &[Expect::Content(Kind::Left, "in", "new"), Expect::Whole]),
    c(
        "restricted",
        &[Expect::Content(Kind::Read, "sub/in", "content"), Expect::On(Kind::Left, "sub/made"), UNREAD],
    ),
    c(
        "restricted-to-a-root",
        &[Expect::Content(Kind::Read, "sub/in", "content"), Expect::On(Kind::Left, "sub/made"), UNREAD],
    ),
    c("file-handle", &[Expect::Refused("open_by_handle_at"), UNREAD]),
    sh(
        "hard-link",
        "ln in alias; cat alias",
        &[Expect::Content(Kind::Read, "alias", "content"), Expect::Whole],
    ),
    sh(
        "chain-of-links",
        "ln -s in one; ln -s one two; ln -s ../two sub/three; cat sub/three",
        &[READ, Expect::Not(Kind::Read, "two"), Expect::Whole],
    ),
    sh(
        "replaced-after-reading",
        "cat in; mv in2 in; cat in",
        &[
            READ,
            Expect::Content(Kind::Read, "in", "other"),
            Expect::Content(Kind::Left, "in", "other"),
            Expect::Whole,
        ],
    ),
    sh("relative-after-cd", "cd sub; cat ../in; exec 5< .; cd ..", &[READ, Expect::Whole]),
    c("store-through-memory", &[Expect::Content(Kind::Left, "shared", "lastl"), Expect::Whole]),
    c(
        "copies-in-the-kernel",
        &[
            READ,
            Expect::Content(Kind::Left, "out0", "content"),
            Expect::Content(Kind::Left, "out1", "content"),
            Expect::Content(Kind::Left, "out2", "content"),
            Expect::Whole,
        ],
    ),
    sh(
        "folders-and-nodes",
        "mkdir a; mkdir -p a/b; mkfifo a/p; rmdir a/b; (echo x > a/p &); cat a/p",
        &[
            Expect::On(Kind::Mkdir, "a/b"),
            Expect::On(Kind::Unlink, "a/b"),
            Expect::On(Kind::Write, "a/p"),
            Expect::Whole,
        ],
    ),
    Case {
        name: "pipe-from-outside",
        how: How::Shell("exec 5<> outside.pipe"),
        needs: "pipe",
        shows: &[Expect::Gap("outside-pipe")],
    },
    c("ring", &[Expect::Refused("io_uring_setup"), Expect::Went, Expect::Whole]),
    c("32-bit-call", &[Expect::Refused("foreign-calls"), Expect::Went, UNREAD]),
    c("x32-call", &[Expect::Refused("foreign-calls"), Expect::Went, UNREAD]),
    // Processes and threads.
    c("closes-everything", &[READ, Expect::Went, Expect::Whole]),
    c("vfork-child", &[READ, Expect::Whole]),
    c("bare-clone", &[READ, Expect::Whole]),
    c("sibling", &[READ]),
    c("bare-exit", &[READ]),
    c("daemon", &[Expect::Gap("outlived-build")]),
    c("threads", &[Expect::On(Kind::Read, "t0"), Expect::On(Kind::Read, "t7"), Expect::Whole]),
    c(
        "thread-in-own-folder",
        &[Expect::On(Kind::Read, "sub/in"), UNREAD, Expect::On(Kind::Left, "sub/made"), Expect::Whole],
    ),
    c("other-rights-and-threads", &[READ, Expect::Gap("other-rights"), Expect::Went]),
    c("undumpable", &[Expect::Went, Expect::ReadOrGap("in")]),
    // Filters of its own.
    c("own-filter", &[READ, Expect::Went, Expect::Whole]),
    c("own-listener", &[READ, Expect::Went, Expect::Whole]),
    c("own-notifications", &[UNREAD, Expect::Whole]),
    c("own-errno", &[UNREAD, Expect::Went, Expect::Whole]),
    c("own-trap", &[UNREAD, Expect::Went]),
    c("own-kill", &[UNREAD, Expect::Went]),
    c("own-trace", &[READ, Expect::How(Kind::Reach, "ptrace")]),
    c("changed-at-entry", &[READ, Expect::How(Kind::Reach, "ptrace")]),
    c("changed-by-a-tracer", &[READ, Expect::How(Kind::Reach, "ptrace")]),
    // One process into another.
    sh(
        "own-names",
        "cat /etc/mtab /proc/net/unix /proc/mounts /proc/self/status > /dev/null; cd /proc; cat self/environ mounts > /dev/null",
        &[Expect::Went, Expect::Whole],
    ),
    sh("link-to-the-recorder", "ln -s /proc/$PPID/environ me; ! cat me", &[Expect::Went]),
    c("memory-of-a-child", &[Expect::How(Kind::Reach, "memory"), Expect::Whole]),
    c("memory-by-relative-path", &[Expect::How(Kind::Reach, "memory"), Expect::Whole]),
    c("write-into-a-child", &[Expect::How(Kind::Reach, "write"), Expect::Whole]),
    with(
        "bystander",
        "memory-of-a-bystander",
        &[Expect::How(Kind::Reach, "memory"), Expect::Gap("outside-process")],
    ),
    with("bystander", "secrets-of-a-bystander", &[Expect::How(Kind::Reach, "environment")]),
    with(
        "bystander",
        "trace-a-bystander",
        &[Expect::How(Kind::Reach, "ptrace"), Expect::Gap("outside-process")],
    ),
    with("bystander", "signal-to-a-bystander", &[Expect::How(Kind::Reach, "signal")]),
    with(
        "bystander",
        "descriptor-of-a-bystander",
        &[Expect::How(Kind::Reach, "descriptor"), Expect::Gap("outside-process")],
    ),
    c("kill-the-recorder-by-folder", &[Expect::Refused("recorder"), Expect::Went]),
    // Sockets and what is shared.
    with(
        "abstract",
        "abstract-service",
        &[Expect::Target(Kind::Connect, "unix:@"), Expect::Gap("outside-service")],
    ),
    with("service", "service", &[Expect::Target(Kind::Connect, "unix:/"), Expect::Gap("outside-service")]),
    Case {
        name: "taken-address",
        how: How::Program("taken-address"),
        needs: "service",
        shows: &[Expect::Gap("outside-service")],
    },
    Case {
        name: "taken-abstract-address",
        how: How::Program("taken-address"),
        needs: "abstract",
        shows: &[Expect::Gap("outside-service")],
    },
    c("passed-descriptor", &[READ, Expect::On(Kind::Pass, "in"), Expect::Whole]),
    c("fast-open", &[Expect::Target(Kind::Connect, "tcp:127.0.0.1:9")]),
    c("virtual-socket", &[Expect::Gap("unwatched-socket")]),
    c("sctp-socket", &[Expect::Gap("unwatched-socket")]),
    c("packet-filter", &[Expect::Gap("unwatched-socket")]),
    c("raw-socket", &[Expect::Gap("unwatched-socket")]),
    py(
        "server",
        "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()",
        &[Expect::Target(Kind::Listen, "tcp:127.0.0.1:"), Expect::Whole],
    ),
    Case {
        name: "memory-of-somebody-else",
        how: How::Python(
            "import ctypes, sys\nl = ctypes.CDLL(None); l.shmat.restype = ctypes.c_void_p\nassert l.shmat(int(sys.argv[1]), None, 0) != -1",
        ),
        needs: "shm",
        shows: &[Expect::Gap("outside-memory")],
    },
    sh(
        "memory-with-a-name",
        "n=/dev/shm/countersign-$$; cat in > $n; cat $n > out; rm $n",
        &[READ, Expect::Content(Kind::Left, "out", "content"), Expect::Whole],
    ),
    // The machine.
    c("snapshot", &[Expect::Refused("subvolume"), Expect::Went]),
    c("terminal-input", &[Expect::Refused("terminal-input"), Expect::Went]),
    c("kernel-setting", &[Expect::Gap("kernel-setting")]),
    c("unreadable-path", &[Expect::Went, Expect::Whole]),
    c("new-view-by-clone", &[Expect::How(Kind::Namespace, "clone"), Expect::Gap("other-root")]),
    sh(
        "new-view",
        "unshare -r -m true; true",
        &[Expect::How(Kind::Namespace, "unshare"), Expect::Gap("other-root")],
    ),
];

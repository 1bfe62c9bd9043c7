//! What is made different on purpose, each by itself.

use std::ffi::OsString;
use std::process::{Command, Stdio};

/// How far the clock is put ahead, where `faketime` is installed: another year, another month, another time of day.
const CLOCK: &str = "+34583000s";

/// One thing that is made different.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Condition {
    TimeZone,
    Locale,
    Home,
    Mask,
    FileOrder,
    FileTimes,
    Clock,
    Processors,
    HostName,
}

impl Condition {
    /// All that this machine has the means for.
    pub(super) fn available(clock: bool) -> Vec<Self> {
        let mut conditions =
            vec![Self::TimeZone, Self::Locale, Self::Home, Self::Mask, Self::FileOrder, Self::FileTimes];
        let more = [
            (Self::Clock, clock && works(&["faketime", "-f", CLOCK, "true"])),
            (Self::Processors, works(&["taskset", "-c", "0", "true"])),
            (Self::HostName, works(&["unshare", "--uts", "sh", "-c", "hostname rebuild.invalid"])),
        ];
        conditions.extend(more.into_iter().filter(|(_, works)| *works).map(|(condition, _)| condition));
        conditions
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TimeZone => "time zone",
            Self::Locale => "locale",
            Self::Home => "HOME, USER, LOGNAME",
            Self::Mask => "file-mode mask",
            Self::FileOrder => "file order",
            Self::FileTimes => "file times",
            Self::Clock => "clock",
            Self::Processors => "processors",
            Self::HostName => "host name",
        }
    }

    /// What it is made.
    pub(super) fn words(self) -> String {
        let value = match self {
            Self::TimeZone => "Pacific/Kiritimati",
            Self::Locale => "C.UTF-8",
            Self::Home => "rebuild",
            Self::Mask => "0077",
            Self::FileOrder => "the sources were written in reverse",
            Self::FileTimes => "the sources are of another time",
            Self::Clock => "400 days ahead",
            Self::Processors => "1",
            Self::HostName => "rebuild.invalid",
        };
        format!("{}: {value}", self.name())
    }

    /// What people do about a build that follows it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::TimeZone => "set TZ=UTC for the build",
            Self::Locale => "set LC_ALL=C.UTF-8 for the build; sort with LC_ALL=C",
            Self::Home => "set HOME for the build, or do not write it",
            Self::Mask => "set the modes yourself: `umask 022`, `install -m`, `tar --mode=go=rX,u+rw,a-s`",
            Self::FileOrder => {
                "sort what is listed: `tar --sort=name`, `$(sort $(wildcard …))`, `sorted(os.listdir())`"
            }
            Self::FileTimes => {
                "set the times of members: `tar --mtime`, `zip -X` behind `touch -d @$SOURCE_DATE_EPOCH`, SOURCE_DATE_EPOCH"
            }
            Self::Clock => "take times from SOURCE_DATE_EPOCH",
            Self::Processors => "make what is built in parallel independent of its order",
            Self::HostName => "do not write the host name, or set it for the build",
        }
    }
}

/// What is put before the command to bring these conditions about. What the build says goes to stderr, for stdout is the caller's answer.
pub(super) fn prefix(conditions: &[Condition]) -> Vec<OsString> {
    let mut variables: Vec<&str> = Vec::new();
    let mut programs: Vec<&str> = Vec::new();
    let mut script = String::new();
    for condition in conditions {
        match condition {
            Condition::TimeZone => variables.push("TZ=Pacific/Kiritimati"),
            Condition::Locale => variables.extend(["LC_ALL=C.UTF-8", "LANG=C.UTF-8"]),
            Condition::Home => {
                variables.extend(["HOME=/nonexistent/rebuild", "USER=rebuild", "LOGNAME=rebuild"]);
            }
            Condition::Mask => script += "umask 0077; ",
            // The sources are written so.
            Condition::FileOrder | Condition::FileTimes => {}
            Condition::Clock => programs.extend(["faketime", "-f", CLOCK]),
            Condition::Processors => programs.extend(["taskset", "-c", "0"]),
            Condition::HostName => {
                programs.extend(["unshare", "--uts"]);
                script += "hostname rebuild.invalid; ";
            }
        }
    }
    script += "exec \"$@\" 1>&2";
    let env = ["env"].into_iter().filter(|_| !variables.is_empty());
    let words = env.chain(variables.iter().copied()).chain(programs);
    words.chain(["sh", "-c", &script, "rebuild"]).map(OsString::from).collect()
}

fn works(words: &[&str]) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

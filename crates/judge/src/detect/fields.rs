//! The fields that rules may ask for: their words, what shape their values have, and which fact they need.

use super::facts::Need;

/// What can be asked of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Values of bytes; patterns apply.
    Text,
    /// True or false.
    Flag,
    /// A set of roles.
    Roles,
    /// A number; `gt`, `gte`, `lt`, `lte` apply.
    Number,
    /// The kind of event.
    Kind,
}

macro_rules! fields {
    ($($name:ident = $word:literal, $shape:ident, $need:expr, $about:literal;)*) => {
        /// One field of an event or of what is known around it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(super) enum Field {
            $(#[doc = $about] $name),*
        }

        impl Field {
            /// All fields with word, shape, need, and what they mean.
            pub(super) const ALL: &'static [(Self, &'static str, Shape, Option<Need>, &'static str)] =
                &[$((Self::$name, $word, Shape::$shape, $need, $about)),*];
        }
    };
}

fields! {
    Kind = "kind", Kind, None, "The kind of event: `exec`, `read`, `write`, …";
    Path = "path", Text, None, "The path of the event.";
    File = "file", Text, None, "The path that the event leads to: the target of a rename or link, else the path.";
    Name = "name", Text, None, "The last component of `file`.";
    Target = "target", Text, None, "The second path, or the address.";
    Digest = "digest", Text, None, "The digest, as `sha256:…`.";
    Detail = "detail", Text, None, "The detail of the event.";
    Format = "format", Text, None, "`elf`, `pe` or `macho`.";
    Arguments = "arguments", Text, None, "The arguments of an exec, each.";
    Command = "command", Text, None, "The command line of the process, joined by spaces.";
    Environment = "environment", Text, None, "The loading variables of an exec, each as `NAME=value`.";
    Program = "program", Text, None, "The executable that the process runs.";
    ProgramName = "program-name", Text, None, "The last component of `program`.";
    ProgramDigest = "program-digest", Text, None, "The digest of the executable.";
    Parent = "parent", Text, None, "The executable of the parent.";
    ParentName = "parent-name", Text, None, "The last component of `parent`.";
    ParentCommand = "parent-command", Text, None, "The command line of the parent.";
    Ancestors = "ancestors", Text, None, "The executables of all ancestors, each.";
    AncestorNames = "ancestor-names", Text, None, "Their last components, each.";
    AncestorCommands = "ancestor-commands", Text, None, "Their command lines, each.";
    InputNames = "input-names", Text, None, "The names of the programs whose output comes in through pipes.";
    InputCommands = "input-commands", Text, None, "Their command lines, each.";
    Host = "host", Text, None, "The host of a connection, request or question: a name or an address.";
    Domain = "domain", Text, None, "The last two labels of a host name.";
    Ip = "ip", Text, None, "The host, if it is an address; `cidr` applies.";
    Family = "family", Text, None, "`tcp`, `udp`, `unix`, `dns`, ….";
    Scope = "scope", Text, None, "`local`, `loopback`, `link-local`, `private`, `public`, or `named`.";
    HomePath = "home-path", Text, Some(Need::Homes), "`file` relative to a home folder.";
    ProjectPath = "project-path", Text, Some(Need::Project), "`file` relative to the project folder.";
    Area = "area", Text, None, "Where `file` lies: `project`, `home`, `temporary`, `shared-memory`, `system`, `local`, `settings`, `kernel`, or `other`.";
    Machine = "machine", Text, None, "What the machine is for: `developer`, `build`, or `sign`.";
    OtherProgram = "other-program", Text, None, "The executable of the other process concerned.";
    Role = "role", Roles, None, "What the program is for.";
    Roles = "roles", Roles, None, "What the program or any of its ancestors is for.";
    ParentRole = "parent-role", Roles, None, "What the parent is for.";
    InputRole = "input-role", Roles, None, "What the programs are for whose output comes in through pipes.";
    OutputRole = "output-role", Roles, None, "What the programs are for to which the output goes through pipes.";
    WrittenBy = "written-by", Roles, None, "What the program was for that wrote `file` earlier in this build.";
    Written = "written", Flag, None, "Whether a traced process wrote `file` earlier.";
    FromNetwork = "from-network", Flag, None, "Whether `file` was written by a process that had talked to another machine.";
    InputNetwork = "input-network", Flag, None, "Whether what comes in through pipes may have come from another machine.";
    TakesProgram = "takes-program", Flag, None, "Whether the process is a shell or interpreter that takes its program from standard input.";
    FeedsProgram = "feeds-program", Flag, None, "Whether the output goes through pipes into one that does.";
    Script = "script", Flag, None, "Whether `file` is the script that the process was started with.";
    OwnScript = "own-script", Flag, None, "Whether `file` is a script that this step of the build was started with.";
    Sibling = "sibling", Flag, None, "Whether `file` belongs to another package than the script of this step.";
    Tracked = "tracked", Flag, Some(Need::Tracked), "Whether version control tracks `file`.";
    TrackedChanged = "tracked-changed", Flag, Some(Need::Tracked), "Whether `file` was read with other bytes than committed.";
    Owned = "owned", Flag, Some(Need::Owned), "Whether an installed package owns `file`.";
    OwnedChanged = "owned-changed", Flag, Some(Need::Owned), "Whether `file` has other bytes than its package says.";
    AllowedHost = "allowed-host", Flag, Some(Need::Hosts), "Whether builds may talk to the host.";
    Lookalike = "lookalike", Flag, Some(Need::Hosts), "Whether the host is nearly, but not quite, an allowed one.";
    NetworkOver = "network-over", Flag, Some(Need::NetworkOver), "Whether everything had been fetched before.";
    OwnFolder = "own-folder", Flag, Some(Need::OwnFolders), "Whether `file` lies in a folder of the recorder.";
    OtherBelow = "other-below", Flag, None, "Whether the other process concerned is a descendant.";
    NamesHome = "names-home", Flag, Some(Need::Homes), "Whether an argument is a home folder itself, or `/`.";
    Errno = "errno", Number, None, "0, or why the call failed.";
    Port = "port", Number, None, "The port.";
    Size = "size", Number, None, "The size in bytes.";
    Status = "status", Number, None, "The exit status.";
    LabelLength = "label-length", Number, None, "The length of the longest label of the host name.";
}

impl Field {
    /// Finds a field by its word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    /// What can be asked of it.
    pub(super) fn shape(self) -> Shape {
        Self::ALL[self as usize].2
    }

    /// The fact without which it has no value.
    pub(super) fn need(self) -> Option<Need> {
        Self::ALL[self as usize].3
    }
}

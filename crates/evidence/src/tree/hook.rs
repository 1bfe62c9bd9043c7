//! What runs by itself, or as soon as somebody calls: where it stands, and what it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A command or a file that runs when a package is installed, or whenever its runtime or machine starts; written `place: command`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hook {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub command: String,
}

/// A text that is no hook, or names a place that is not known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no hook")]
pub struct NoHook(String);

macro_rules! places {
    ($($(#[$doc:meta])* $place:ident = $word:literal,)*) => {
        /// Where hooks stand.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Place {
            $($(#[$doc])* $place,)*
        }

        impl Place {
            /// All places.
            pub const ALL: &[Self] = &[$(Self::$place,)*];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$place => $word,)*
                }
            }
        }
    };
}

places! {
    /// Another package under the name of one that is asked for.
    Alias = "alias",
    /// The build script of a crate.
    CargoBuild = "cargo-build",
    /// A crate that runs inside the compiler.
    CargoMacro = "cargo-macro",
    /// A build script of a crate that is another file than the usual one.
    CargoScript = "cargo-script",
    /// Programs that `cargo` starts in place of its own, or beside them.
    CargoSettings = "cargo-settings",
    /// Scripts around the installation of a conda package.
    CondaInstall = "conda-install",
    /// A job of `cron`.
    Cron = "cron",
    /// Scripts of the maintainer of a Debian package.
    DebInstall = "deb-install",
    /// A program that a rule of devices runs.
    DeviceCommand = "device-command",
    /// A file of rules of devices.
    Device = "device",
    /// What an editor runs when a folder is opened.
    Editor = "editor",
    /// A function that becomes a program, or is found by its name.
    EntryPoint = "entry-point",
    /// What every program loads.
    EveryProgram = "every program",
    /// What runs at every start of the machine or of its network.
    EveryStart = "every start",
    /// The script that configures an extension of a gem.
    GemInstall = "gem-install",
    /// A usual question of `node-gyp` at installation: where headers are, which compiler there is.
    GypCommand = "gyp-command",
    /// A variable of a container's image by which every program loads something.
    ImageEnvironment = "image-environment",
    /// What a container's image starts.
    ImageStart = "image-start",
    /// As whom a container's image starts it.
    ImageUser = "image-user",
    /// A class that is an agent if somebody says so.
    JavaAgent = "java-agent",
    /// A processor that runs inside the compiler of Java.
    JavaBuild = "java-build",
    /// A class that is found as a service.
    JavaService = "java-service",
    /// What starts with a Java archive, or is loaded from an address.
    JavaStart = "java-start",
    /// What runs, or lets somebody in, at a login.
    Login = "login",
    /// A service of the machine.
    MachineStart = "machine start",
    /// What runs when a medium is put in.
    Medium = "medium",
    /// A custom action of an installer database.
    MsiInstall = "msi-install",
    /// A custom action that only sets a property.
    MsiProperty = "msi-property",
    /// A service that an installer database installs.
    MsiService = "msi-service",
    /// A shortcut to what is none of the product's programs.
    MsiShortcut = "msi-shortcut",
    /// A value of the registry that starts something.
    MsiStart = "msi-start",
    /// A script that `npm install` runs.
    NpmInstall = "npm-install",
    /// A script that runs when a package is published.
    NpmPublish = "npm-publish",
    /// A command of an NSIS script.
    NsisInstall = "nsis-install",
    /// A value of the registry that an NSIS script writes and that starts something.
    NsisStart = "nsis-start",
    /// Targets and properties that a build imports.
    NugetBuild = "nuget-build",
    /// A command in them.
    NugetCommand = "nuget-command",
    /// A script of a NuGet package.
    NugetInstall = "nuget-install",
    /// What a package manager runs, or where it looks.
    PackageManager = "package manager",
    /// An entry point that tools load whenever they start.
    PlugIn = "plug-in",
    /// What runs when a source distribution of Python is built or asked for its name.
    PythonBuild = "python-build",
    /// A module with the name of one of Python's library.
    PythonLibrary = "python-library",
    /// A folder outside of the package from which Python loads modules.
    PythonPath = "python-path",
    /// What runs whenever Python starts.
    PythonStart = "python-start",
    /// What gives rights or a way in.
    Rights = "rights",
    /// Scripts of an RPM package.
    RpmInstall = "rpm-install",
    /// What starts with somebody's session.
    SessionStart = "session start",
    /// A line of settings that starts a shell, calls somebody, or leads to where everybody can write.
    Settings = "settings",
    /// What every shell runs at its start.
    ShellStart = "shell start",
    /// What a package asks for from elsewhere than its registry.
    Source = "source",
    /// A command of a unit of `systemd`.
    UnitCommand = "unit-command",
    /// A program that everybody calls by its bare name.
    UsualProgram = "usual-program",
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.word(), self.command)
    }
}

impl FromStr for Hook {
    type Err = NoHook;

    fn from_str(text: &str) -> Result<Self, NoHook> {
        let no = || NoHook(text.to_owned());
        let (word, command) = text.split_once(": ").ok_or_else(no)?;
        let place = Place::ALL.iter().find(|place| place.word() == word).ok_or_else(no)?;
        Ok(Self { place: *place, command: command.to_owned() })
    }
}

impl From<Hook> for String {
    fn from(hook: Hook) -> Self {
        hook.to_string()
    }
}

impl TryFrom<String> for Hook {
    type Error = NoHook;

    fn try_from(text: String) -> Result<Self, NoHook> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_read_as_it_is_written() {
        for place in Place::ALL {
            let hook = Hook { place: *place, command: "a: b".into() };
            assert_eq!(hook.to_string().parse(), Ok(hook));
        }
        for text in ["", "cron", "cron:x", "nowhere: x"] {
            assert_eq!(text.parse::<Hook>(), Err(NoHook(text.into())));
        }
    }
}

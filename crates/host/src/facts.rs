//! What machine this is.

/// Facts about the machine that go into every record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// `x86_64`, `aarch64`, ….
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
}

/// The machine's name, as the kernel has it.
pub fn facts_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Asks the kernel.
pub fn facts() -> Facts {
    let name = rustix::system::uname();
    Facts {
        architecture: name.machine().to_string_lossy().into_owned(),
        kernel: name.release().to_string_lossy().into_owned(),
    }
}

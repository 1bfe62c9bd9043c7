//! What a program is for, told from its name and arguments.
//!
//! A name can lie; that is no loss here. A rule that looks for something bad in a compiler also sees what calls
//! itself a compiler, and the digest of every program is in the record.

use evidence::BytePath;

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Roles(u32);

macro_rules! roles {
    ($($name:ident = $bit:literal, $word:literal, [$($program:literal),*];)*) => {
        impl Roles {
            $(#[doc = $word] pub(super) const $name: Self = Self(1 << $bit);)*
            const WORDS: &'static [(&'static str, Self, &'static [&'static str])] =
                &[$(($word, Self::$name, &[$($program),*])),*];
        }
    };
}

roles! {
    SHELL = 0, "shell", ["sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "busybox", "pwsh"];
    COMPILER = 1, "compiler", ["gcc", "g++", "cc", "c++", "cc1", "cc1plus", "cpp", "as", "nasm", "yasm", "clang", "clang++",
        "rustc", "gfortran", "f951", "gnat1", "compile", "asm", "cl", "lto1", "lto-wrapper", "swiftc", "javac", "csc", "gccgo"];
    LINKER = 2, "linker", ["ld", "ld.bfd", "ld.gold", "gold", "ld.lld", "lld", "rust-lld", "mold", "collect2", "wild", "link"];
    ARCHIVER = 3, "archiver", ["ar", "ranlib", "llvm-ar", "llvm-ranlib", "gcc-ar", "gcc-ranlib"];
    PACKAGE_MANAGER = 4, "package-manager", ["npm", "npx", "yarn", "yarnpkg", "pnpm", "bun", "pip", "pip3", "pipx", "uv", "poetry",
        "cargo", "gem", "bundle", "bundler", "composer", "conda", "mamba", "rustup", "npm-cli", "npx-cli", "corepack", "go"];
    LIFECYCLE = 5, "lifecycle-script", [];
    INTERPRETER = 6, "interpreter", ["python", "python2", "python3", "node", "nodejs", "deno", "perl", "ruby", "php", "lua", "bun",
        "java", "pypy3", "osascript", "tclsh"];
    TEST = 7, "test", ["pytest", "py.test", "jest", "mocha", "vitest", "ctest", "tox", "nox", "prove", "cargo-nextest", "ava"];
    PACKAGER = 8, "packager", ["dpkg-deb", "rpmbuild", "makensis", "wixl", "candle", "light", "wix", "msibuild", "genisoimage",
        "xorriso", "mksquashfs", "appimagetool", "zip", "7z", "7za", "jar", "fpm", "iscc", "tar", "bsdtar"];
    SIGNER = 9, "signer", ["signtool", "osslsigncode", "cosign", "codesign", "jarsigner", "apksigner", "minisign", "rpmsign",
        "debsign", "gpg", "gpg2", "signify", "sbsign", "relic", "jsign"];
    NETWORK_TOOL = 10, "network-tool", ["curl", "wget", "nc", "ncat", "netcat", "socat", "ftp", "tftp", "aria2c", "http", "xh",
        "telnet"];
    ENCODER = 11, "encoder", ["base64", "base32", "xz", "unxz", "xzcat", "gzip", "gunzip", "zcat", "bzip2", "bunzip2", "bzcat",
        "zstd", "unzstd", "zstdcat", "lzma", "unlzma", "lz4", "openssl", "xxd", "uudecode", "basenc"];
    VCS = 12, "version-control", ["git", "git-lfs", "git-remote-https", "hg", "svn", "jj", "bzr", "fossil"];
    BUILD_TOOL = 13, "build-tool", ["make", "gmake", "ninja", "samu", "cmake", "meson", "scons", "bazel", "gradle", "mvn", "ant",
        "cargo", "go", "msbuild", "dotnet", "just", "buck2"];
    SYSTEM_PACKAGES = 14, "system-package-manager", ["apt", "apt-get", "dpkg", "rpm", "dnf", "yum", "apk", "pacman", "zypper",
        "brew", "nix", "snap", "microdnf"];
    PUBLISHER = 15, "publisher", ["twine", "gh", "vsce", "ovsx", "goreleaser", "skopeo", "crane", "oras"];
}

impl Roles {
    /// Returns the set for a word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, ..)| *known == word).map(|(_, roles, _)| *roles)
    }

    /// Tells whether the sets share a role.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the roles of either.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells the roles of a program started with these arguments.
    pub(super) fn of(path: &[u8], arguments: &[BytePath]) -> Self {
        let mut roles = Self::named(base(path));
        // Old systems and containers call the program by another name than that of its file (busybox, cc).
        if let Some(first) = arguments.first().filter(|first| base(first.as_bytes()) != base(path)) {
            roles = roles.with(Self::named(base(first.as_bytes())));
        }
        if roles.meets(Self::INTERPRETER.with(Self::SHELL)) {
            roles = roles.with(Self::of_script(arguments));
        }
        if roles.meets(Self::PACKAGE_MANAGER)
            && arguments.iter().skip(1).take(4).any(|argument| argument.as_bytes() == b"publish")
        {
            roles = roles.with(Self::PUBLISHER);
        }
        if roles.meets(Self::PACKAGE_MANAGER.with(Self::BUILD_TOOL))
            && arguments.iter().skip(1).take(2).any(|argument| argument.as_bytes() == b"test")
        {
            roles = roles.with(Self::TEST);
        }
        roles
    }

    /// `node /usr/lib/node_modules/npm/bin/npm-cli.js`, `python -m pip`.
    fn of_script(arguments: &[BytePath]) -> Self {
        let mut rest = arguments.iter().skip(1).map(BytePath::as_bytes);
        let name = loop {
            match rest.next() {
                Some(b"-m") => break rest.next(),
                Some(b"-c" | b"-e") | None => break None,
                Some(option) if option.starts_with(b"-") => {}
                Some(script) => break Some(script),
            }
        };
        name.map_or(Self::default(), |name| {
            let name = base(name);
            let end = name.iter().position(|byte| *byte == b'.').unwrap_or(name.len());
            Self::named(&name[..end])
        })
    }

    fn named(name: &[u8]) -> Self {
        let mut roles = Self::default();
        for (_, role, programs) in Self::WORDS {
            if programs.iter().any(|program| program.as_bytes() == name) {
                roles = roles.with(*role);
            }
        }
        if roles != Self::default() {
            return roles;
        }
        // `python3.11`, `gcc-13`, then `x86_64-linux-gnu-gcc`.
        let plain = without_version(name);
        if plain != name {
            return Self::named(plain);
        }
        match name.iter().rposition(|byte| *byte == b'-') {
            Some(at) if name[..at].contains(&b'-') => {
                let tool = Self::named(&name[at + 1..]);
                let crossing = Self::COMPILER.with(Self::LINKER).with(Self::ARCHIVER);
                if tool.meets(crossing) { tool } else { Self::default() }
            }
            _ => Self::default(),
        }
    }

    /// Tells whether a program is code of a dependency that its package manager runs while installing.
    ///
    /// `npm run x` and `npx` run what the project itself asks for and do not count.
    pub(super) fn is_lifecycle(self, path: &[u8], arguments: &[BytePath], parent: &Parent<'_>) -> bool {
        if base(path).starts_with(b"build-script-") || base(path) == b"extconf.rb" {
            return true;
        }
        if !parent.roles.meets(Self::PACKAGE_MANAGER)
            || self.meets(Self::PACKAGE_MANAGER.with(Self::VCS).with(Self::COMPILER))
            || parent.name == b"rustup"
        {
            return false;
        }
        let says = |words: &[&[u8]]| {
            arguments.iter().any(|argument| words.iter().any(|word| find(argument.as_bytes(), word)))
        };
        match parent.manager() {
            Manager::Node => {
                let own = [
                    &b" run "[..],
                    b" run-script ",
                    b" exec ",
                    b" start",
                    b" test",
                    b" x ",
                    b"npx",
                    b" dlx ",
                    b" publish",
                ];
                self.meets(Self::SHELL.with(Self::INTERPRETER))
                    && !own.iter().any(|word| find(parent.command, word))
            }
            Manager::Python => {
                self.meets(Self::INTERPRETER)
                    && says(&[
                        b"setup.py",
                        b"_in_process",
                        b"setuptools",
                        b"build_wheel",
                        b"egg_info",
                        b"pep517",
                    ])
            }
            Manager::Ruby => says(&[b"extconf.rb", b"Rakefile"]),
            Manager::Other => false,
        }
    }
}

/// What is known of the process that started another.
pub(super) struct Parent<'a> {
    pub(super) name: &'a [u8],
    pub(super) command: &'a [u8],
    pub(super) roles: Roles,
}

enum Manager {
    Node,
    Python,
    Ruby,
    Other,
}

impl Parent<'_> {
    fn manager(&self) -> Manager {
        let says = |word: &[u8]| self.name == word || find(self.command, word);
        if [&b"npm"[..], b"yarn", b"pnpm", b"bun", b"npx"].iter().any(|word| says(word)) {
            Manager::Node
        } else if [&b"pip"[..], b"uv", b"poetry", b"conda"].iter().any(|word| says(word)) {
            Manager::Python
        } else if [&b"gem"[..], b"bundle"].iter().any(|word| says(word)) {
            Manager::Ruby
        } else {
            Manager::Other
        }
    }
}

/// The last component.
pub(super) fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn find(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn without_version(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| !(byte.is_ascii_digit() || *byte == b'.')).map_or(0, |at| at + 1);
    if end == 0 {
        return name;
    }
    name[..end].strip_suffix(b"-").filter(|_| end < name.len()).unwrap_or(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Roles {
        let arguments: Vec<BytePath> = command.split(' ').map(BytePath::from).collect();
        Roles::of(arguments[0].as_bytes(), &arguments)
    }

    #[test]
    fn names_tell_roles() {
        for (command, role) in [
            ("/usr/bin/gcc-13", Roles::COMPILER),
            ("/usr/bin/x86_64-linux-gnu-gcc-13", Roles::COMPILER),
            ("/usr/bin/python3.11", Roles::INTERPRETER),
            ("python3 -m pip install x", Roles::PACKAGE_MANAGER),
            ("node /usr/lib/node_modules/npm/bin/npm-cli.js ci", Roles::PACKAGE_MANAGER),
            ("npm publish", Roles::PUBLISHER),
            ("cargo test", Roles::TEST),
            ("clang++-17", Roles::COMPILER),
        ] {
            assert!(of(command).meets(role), "{command}");
        }
        for command in ["/bin/true", "x-y-sh", "foo-gcc-wrapper", "123"] {
            assert_eq!(of(command), Roles::default(), "{command}");
        }
    }

    #[test]
    fn scripts_of_dependencies_are_told_from_own_ones() {
        let child = |parent: &str, command: &str| {
            let arguments: Vec<BytePath> = command.split(' ').map(BytePath::from).collect();
            let roles = of(parent);
            let name = base(parent.split(' ').next().unwrap().as_bytes()).to_vec();
            let parent = Parent { name: &name, command: parent.as_bytes(), roles };
            of(command).is_lifecycle(arguments[0].as_bytes(), &arguments, &parent)
        };
        assert!(child("npm install", "sh -c node-gyp"));
        assert!(child("pip install x", "python3 setup.py egg_info"));
        assert!(child("cargo build", "/t/debug/build/x-1/build-script-build"));
        assert!(!child("npm run build", "sh -c tsc"));
        assert!(!child("npm install", "git clone x"));
        assert!(!child("cargo build", "rustc x"));
        assert!(!child("make all", "sh -c x"));
    }
}

//! What runs when a package is installed, or whenever its runtime or machine starts.

mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use evidence::BytePath;
use evidence::tree::{Content, Hook, Place};

use super::{asked, base, bound};

/// Larger manifests are no manifests.
const MANIFEST_MAX: usize = 1 << 20;

/// Scripts that `npm install` runs ("npm scripts", life cycle scripts), and those that run on publishing.
const NPM_INSTALL: &[&str] = &["preinstall", "install", "postinstall"];
const NPM_PUBLISH: &[&str] = &["prepare", "prepublish", "prepack"];
/// Scripts of a Debian control archive (Debian Policy, chapter 6).
const MAINTAINER: &[&[u8]] = &[b"preinst", b"postinst", b"prerm", b"postrm", b"config"];
/// Scripts that NuGet runs or imports.
const NUGET: &[&[u8]] = &[b"tools/install.ps1", b"tools/init.ps1", b"tools/uninstall.ps1"];
/// Folders whose files the machine runs by itself.
const STARTS: &[(&str, Place)] = &[
    ("etc/cron.", Place::Cron),
    ("etc/profile.d/", Place::ShellStart),
    ("etc/xdg/autostart/", Place::SessionStart),
    ("etc/init.d/", Place::MachineStart),
    ("systemd/system/", Place::MachineStart),
    ("systemd/system-generators/", Place::EveryStart),
    ("etc/update-motd.d/", Place::Login),
    ("systemd/user/", Place::SessionStart),
    ("Library/LaunchDaemons/", Place::MachineStart),
    ("Library/LaunchAgents/", Place::SessionStart),
    ("etc/ld.so.preload", Place::EveryProgram),
    ("etc/ld.so.conf.d/", Place::EveryProgram),
    ("etc/environment.d/", Place::EveryProgram),
    ("polkit-1/rules.d/", Place::Rights),
    ("polkit-1/localauthority/", Place::Rights),
    ("modules-load.d/", Place::MachineStart),
    ("etc/modprobe.d/", Place::MachineStart),
    ("etc/pam.d/", Place::Login),
    ("etc/bash_completion.d/", Place::ShellStart),
    ("etc/NetworkManager/dispatcher.d/", Place::EveryStart),
    ("etc/sudoers.d/", Place::Rights),
    ("etc/apt/apt.conf.d/", Place::PackageManager),
    (".ssh/authorized_keys", Place::Login),
    ("etc/udev/rules.d/", Place::Device),
    ("udev/rules.d/", Place::Device),
    ("/security/pam_", Place::Login),
];
/// Modules of Python's library that packages load without saying so ("The Python Standard Library"): a file of such a
/// name where a wheel is installed may come first, or takes the place of one that a later Python has.
const LIBRARY: &[&[u8]] = &[
    b"abc",
    b"argparse",
    b"ast",
    b"asyncio",
    b"base64",
    b"bisect",
    b"builtins",
    b"calendar",
    b"codecs",
    b"collections",
    b"configparser",
    b"contextlib",
    b"copy",
    b"csv",
    b"ctypes",
    b"datetime",
    b"decimal",
    b"email",
    b"enum",
    b"functools",
    b"getpass",
    b"glob",
    b"gzip",
    b"hashlib",
    b"heapq",
    b"hmac",
    b"html",
    b"http",
    b"importlib",
    b"inspect",
    b"io",
    b"itertools",
    b"json",
    b"locale",
    b"logging",
    b"math",
    b"multiprocessing",
    b"operator",
    b"os",
    b"pathlib",
    b"pickle",
    b"platform",
    b"random",
    b"re",
    b"secrets",
    b"shutil",
    b"signal",
    b"site",
    b"socket",
    b"sqlite3",
    b"ssl",
    b"string",
    b"struct",
    b"subprocess",
    b"sys",
    b"tempfile",
    b"threading",
    b"time",
    b"token",
    b"tokenize",
    b"traceback",
    b"types",
    b"typing",
    b"unittest",
    b"urllib",
    b"uuid",
    b"warnings",
    b"weakref",
    b"xml",
    b"zipfile",
    b"zlib",
];
/// Programs that everybody calls by their bare names: one of a package that is first on the path takes their place.
const PROGRAMS: &[&str] = &[
    "apt",
    "bash",
    "cargo",
    "cat",
    "chmod",
    "cp",
    "curl",
    "docker",
    "env",
    "gcc",
    "git",
    "go",
    "gpg",
    "grep",
    "java",
    "kubectl",
    "ls",
    "make",
    "mv",
    "node",
    "npm",
    "npx",
    "perl",
    "pip",
    "pip3",
    "ps",
    "python",
    "python3",
    "rm",
    "scp",
    "sed",
    "sh",
    "ssh",
    "su",
    "sudo",
    "systemctl",
    "tar",
    "unzip",
    "wget",
    "yarn",
];

/// Groups of entry points that tools load whenever they start, for every package that is installed.
const AUTOMATIC_GROUPS: &[&str] = &[
    "pytest11",
    "setuptools.finalize_distribution_options",
    "distutils.setup_keywords",
    "egg_info.writers",
    "sitecustomize",
    "opentelemetry_configurator",
    "jupyter_serverproxy_servers",
];

/// Collects hooks.
pub(super) fn read(name: &BytePath, bytes: &[u8], content: &mut Content) {
    let path = name.as_bytes();
    let base = base(name);
    match base {
        b"package.json" => npm(bytes, content),
        b"npm-shrinkwrap.json" => {
            let lock = bytes.get(..bytes.len().min(16 * MANIFEST_MAX)).map(serde_json::from_slice);
            if let Some(Ok(lock)) = lock {
                asked::shrinkwrap(&lock, content);
            }
        }
        b"METADATA" | b"PKG-INFO" => asked::python(&manifest(bytes), content),
        b"Cargo.toml" => asked::cargo(&manifest(bytes), content),
        _ => {}
    }
    bound(&mut content.requirements);
    let hooks = &mut content.hooks;
    match base {
        b"MANIFEST.MF" => java(bytes, hooks),
        b"config.toml" | b"config"
            if path.ends_with(b".cargo/config.toml") || path.ends_with(b".cargo/config") =>
        {
            cargo_settings(bytes, hooks);
        }
        b"binding.gyp" => gyp(bytes, hooks),
        b"setup.py" => setup(bytes, hooks),
        b"pyproject.toml" if manifest(bytes).lines().any(|line| line.trim().starts_with("backend-path")) => {
            add(hooks, Place::PythonBuild, "a build backend of its own");
        }
        b"tasks.json" if path.ends_with(b".vscode/tasks.json") && manifest(bytes).contains("folderOpen") => {
            add(hooks, Place::Editor, "tasks.json runs when the folder is opened");
        }
        b"javax.annotation.processing.Processor" => {
            for class in manifest(bytes).lines().map(str::trim).filter(|line| !line.is_empty()).take(64) {
                add(hooks, Place::JavaBuild, class);
            }
        }
        _ if path.starts_with(b"META-INF/services/") => {
            for class in manifest(bytes).lines().map(str::trim).take(64) {
                if !class.is_empty() && !class.starts_with('#') {
                    add(hooks, Place::JavaService, &format!("{}: {class}", text(base)));
                }
            }
        }
        b"sitecustomize.py" | b"usercustomize.py" => add(hooks, Place::PythonStart, &text(base)),
        b"entry_points.txt" => entry_points(bytes, hooks),
        b"build.rs" if path.split(|byte| *byte == b'/').count() <= 2 => {
            add(hooks, Place::CargoBuild, "build.rs")
        }
        b"extconf.rb" => add(hooks, Place::GemInstall, &text(path)),
        b"post-link.sh" | b"pre-link.sh" | b"post-link.bat" => add(hooks, Place::CondaInstall, &text(base)),
        b"autorun.inf" => add(hooks, Place::Medium, "autorun.inf"),
        b"#script" => {
            rows(bytes, &["EW_SHELLEXEC ", "EW_EXECUTE "], Place::NsisInstall, hooks);
            for line in text(bytes)
                .lines()
                .filter(|line| line.starts_with("EW_WRITEREG ") && starts_with_system(line))
            {
                add(hooks, Place::NsisStart, line);
            }
        }
        b"Shortcut" if path.ends_with(b"#table/Shortcut") => {
            let text = text(bytes);
            let runs = |line: &&str| SHORTCUTS.iter().any(|word| line.to_ascii_lowercase().contains(word));
            for line in text.lines().filter(runs).take(64) {
                add(hooks, Place::MsiShortcut, &line.replace('\t', " "));
            }
        }
        b"CustomAction" if path.ends_with(b"#table/CustomAction") => {
            // The first line names the columns.
            let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            for line in text(&bytes[first..]).lines().map(str::trim).filter(|line| !line.is_empty()).take(64)
            {
                // Types 35 and 51 only set a property (Windows Installer, "Custom Action Type 51").
                let kind = line.split('\t').nth(1).and_then(|kind| kind.trim().parse::<u32>().ok());
                let sets = kind.is_some_and(|kind| matches!(kind & 0x3f, 35 | 51));
                add(
                    hooks,
                    if sets { Place::MsiProperty } else { Place::MsiInstall },
                    &line.replace('\t', " "),
                );
            }
        }
        b"ServiceInstall" if path.ends_with(b"#table/ServiceInstall") => {
            let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            rows(&bytes[first..], &[""], Place::MsiService, hooks);
        }
        b"Registry" if path.ends_with(b"#table/Registry") => {
            for line in text(bytes).lines().filter(|line| starts_with_system(line)).take(64) {
                add(hooks, Place::MsiStart, &line.replace('\t', " "));
            }
        }
        b".yarnrc.yml" | b".yarnrc" => yarn(bytes, hooks),
        _ if base.ends_with(b".pth") => python_path(base, bytes, hooks),
        _ if MAINTAINER.contains(&path.strip_prefix(b"./").unwrap_or(path)) && is_script(bytes) => {
            add(hooks, Place::DebInstall, &text(base));
            system::maintainer(bytes, hooks);
        }
        _ if NUGET.contains(&path) => add(hooks, Place::NugetInstall, &text(path)),
        _ if path.starts_with(b"build") && (base.ends_with(b".targets") || base.ends_with(b".props")) => {
            add(hooks, Place::NugetBuild, &text(path));
            let content = manifest(bytes);
            for command in content.split("<Exec ").skip(1).take(64) {
                add(hooks, Place::NugetCommand, command.split('>').next().unwrap_or_default());
            }
        }
        _ => {}
    }
    if path.starts_with(b"./etc/") || path.starts_with(b"etc/") {
        system::settings(path, bytes, hooks);
    }
    if base.ends_with(b".service") && path.windows(8).any(|part| part == b"systemd/") {
        system::unit(bytes, hooks);
    }
    if path.windows(13).any(|part| part == b"udev/rules.d/") {
        system::devices(bytes, hooks);
    }
    if base.len() >= 64 || base.ends_with(b".json") {
        system::image(bytes, hooks);
    }
    // Scripts of an RPM package have names that its header gives.
    if path.starts_with(b"#script/") {
        add(hooks, Place::RpmInstall, &text(base));
        system::maintainer(bytes, hooks);
    }
    if is_library(path) {
        add(hooks, Place::PythonLibrary, &text(path));
    }
    let script =
        path.rsplitn(2, |byte| *byte == b'/').nth(1).is_some_and(|folder| folder.ends_with(b".data/scripts"));
    if script && PROGRAMS.iter().any(|program| program.as_bytes() == base) {
        add(hooks, Place::UsualProgram, &text(base));
    }
    if !bytes.is_empty() {
        let whole = String::from_utf8_lossy(path);
        for (folder, place) in STARTS.iter().filter(|(folder, _)| whole.contains(folder)) {
            let inside = whole.split_once(folder).map_or("", |(_, rest)| rest);
            // A file by itself, or what lies in a folder.
            if !inside.is_empty() || !folder.ends_with('/') {
                add(hooks, *place, &whole);
            }
        }
    }
    bound(hooks);
}

pub(super) fn add(hooks: &mut BTreeSet<Hook>, place: Place, command: &str) {
    hooks.insert(Hook { place, command: super::short(command) });
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A module of a wheel that is called like one of the library: `random.py`, `random/__init__.py`, in its root.
fn is_library(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    let (mut first, mut second) = (parts.next().unwrap_or_default(), parts.next());
    if first.ends_with(b".data") && matches!(second, Some(b"purelib" | b"platlib")) {
        (first, second) = (parts.next().unwrap_or_default(), parts.next());
    }
    match second {
        None => first.strip_suffix(b".py").is_some_and(|name| LIBRARY.contains(&name)),
        Some(b"__init__.py") => LIBRARY.contains(&first),
        Some(_) => false,
    }
}

/// Programs that `cargo` starts in place of its own, or beside them ("Configuration", The Cargo Book).
fn cargo_settings(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    const KEYS: &[&str] = &[
        "rustc",
        "rustc-wrapper",
        "rustc-workspace-wrapper",
        "rustdoc",
        "linker",
        "runner",
        "rustflags",
        "credential-provider",
        "replace-with",
    ];
    for line in manifest(bytes).lines().map(str::trim).take(4096) {
        let key = line.split('=').next().unwrap_or_default().trim();
        if line.contains('=') && KEYS.contains(&key.rsplit('.').next().unwrap_or_default()) {
            add(hooks, Place::CargoSettings, line);
        }
    }
}

/// Yarn runs the program that the file of its settings names ("yarnPath", "yarn-path").
fn yarn(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let content = manifest(bytes);
    for line in content
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("yarnPath:") || line.starts_with("yarn-path"))
        .take(4)
    {
        add(hooks, Place::PackageManager, line);
    }
}

/// What a shortcut leads to that is none of a product's programs: interpreters of the system, and addresses.
const SHORTCUTS: &[&str] =
    &["mshta", "cmd.exe", "powershell", "wscript", "cscript", "rundll32", "regsvr32", "://", "javascript:"];

/// Whether a row or line names where Windows keeps what runs at the start, however it writes a backslash.
fn starts_with_system(line: &str) -> bool {
    line.replace("\\x5c", "").replace('\\', "").contains("CurrentVersionRun")
}

fn is_script(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#!") || bytes.starts_with(b"\x7fELF")
}

/// Lines of the text of an installer that run something: commands of an NSIS script, rows of an MSI's custom actions.
fn rows(bytes: &[u8], begins: &[&str], place: Place, hooks: &mut BTreeSet<Hook>) {
    for line in String::from_utf8_lossy(bytes).lines().map(str::trim) {
        if !line.is_empty() && begins.iter().any(|begin| line.starts_with(begin)) {
            add(hooks, place, &line.replace('\t', " "));
        }
    }
}

fn npm(bytes: &[u8], content: &mut Content) {
    if bytes.len() > MANIFEST_MAX {
        return;
    }
    let Ok(manifest) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    asked::npm(&manifest, content);
    let Content { hooks, entry_files, .. } = content;
    let mut begins_with =
        |name: String, file: &str| entry_files.insert(name, super::short(file.trim_start_matches("./")));
    let script = |name: &str| manifest.get("scripts")?.get(name)?.as_str();
    for (names, place) in [(NPM_INSTALL, Place::NpmInstall), (NPM_PUBLISH, Place::NpmPublish)] {
        for name in names {
            if let Some(command) = script(name) {
                add(hooks, place, &format!("{name}: {command}"));
            }
        }
    }
    let name = manifest.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
    for key in ["main", "module", "browser"] {
        if let Some(file) = manifest.get(key).and_then(serde_json::Value::as_str) {
            begins_with(key.to_owned(), file);
        }
    }
    let programs = manifest.get("bin").and_then(serde_json::Value::as_object).into_iter().flatten();
    for (program, file) in programs.filter_map(|(program, file)| Some((program, file.as_str()?))).take(16) {
        begins_with(super::short(&format!("bin {program}")), file);
    }
    match manifest.get("bin") {
        Some(serde_json::Value::Object(programs)) => {
            for program in programs.keys().filter(|program| PROGRAMS.contains(&program.as_str())) {
                add(hooks, Place::UsualProgram, program);
            }
        }
        Some(serde_json::Value::String(_)) if PROGRAMS.contains(&name) => {
            add(hooks, Place::UsualProgram, name)
        }
        _ => {}
    }
}

/// The begin of a manifest as text.
fn manifest(bytes: &[u8]) -> String {
    text(bytes.get(..bytes.len().min(MANIFEST_MAX)).unwrap_or_default())
}

/// What honest files ask for so: where headers are, and which compiler there is.
const GYP_USUAL: &[&str] = &[
    "require(",
    "pkg-config",
    "--version",
    "node-gyp-build",
    "uname",
    "xcrun",
    "xcode-select",
    "brew ",
    "cc -v",
    "clang",
];

/// `node-gyp` runs when the package is installed, and what its file has in `<!( … )` before anything is built ("GYP Input
/// Format Reference", command expansions). Honest packages ask compilers for their version so.
fn gyp(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    add(hooks, Place::NpmInstall, "node-gyp rebuild");
    let content = manifest(bytes);
    for begin in ["<!(", "<!@("] {
        for command in content.split(begin).skip(1).take(64) {
            let command = command.split(')').next().unwrap_or_default();
            let is_usual = GYP_USUAL.iter().any(|usual| command.contains(usual));
            add(hooks, if is_usual { Place::GypCommand } else { Place::NpmInstall }, command);
        }
    }
}

/// Attributes of a manifest that start an agent with the program, or load classes from an address (JAR File Specification).
fn java(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    for line in manifest(bytes).lines().take(4096) {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name {
            "Launcher-Agent-Class" => add(hooks, Place::JavaStart, line),
            "Class-Path" if value.contains("://") => add(hooks, Place::JavaStart, line),
            "Premain-Class" | "Agent-Class" => add(hooks, Place::JavaAgent, line),
            _ => {}
        }
    }
}

/// Commands of `setup.py` that replace what runs when a source distribution is installed or asked for its name.
fn setup(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let content = manifest(bytes);
    for command in ["install", "develop", "egg_info"] {
        let modules = ["setuptools", "distutils"].map(|of| format!("from {of}.command.{command} import"));
        if modules.iter().any(|module| content.contains(module.as_str())) && content.contains("cmdclass") {
            add(hooks, Place::PythonBuild, &format!("setup.py has its own `{command}`"));
        }
    }
}

/// Lines of a `.pth` file that begin with `import` are run whenever Python starts (`site`, Python documentation).
fn python_path(base: &[u8], bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let lines = || bytes.split(|byte| *byte == b'\n').take(4096);
    // Those of namespaces are named by the Python that built them.
    let base = if base.ends_with(b"-nspkg.pth") { &b"nspkg.pth"[..] } else { base };
    for line in lines().filter(|line| line.starts_with(b"import ") || line.starts_with(b"import\t")).take(64)
    {
        add(hooks, Place::PythonStart, &format!("{}: {}", text(base), text(line)));
    }
    // Others are folders to load modules from: of the package, unless they lead out of it.
    for line in lines().filter(|line| line.starts_with(b"/") || line.starts_with(b"..")).take(64) {
        add(hooks, Place::PythonPath, &format!("{}: {}", text(base), text(line)));
    }
}

/// Entry points of a Python distribution ("Entry points specification").
fn entry_points(bytes: &[u8], hooks: &mut BTreeSet<Hook>) {
    let list = String::from_utf8_lossy(bytes.get(..bytes.len().min(MANIFEST_MAX)).unwrap_or_default());
    let mut group = "";
    for line in list.lines().map(str::trim).take(4096) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => group = name,
            None if line.contains('=') => {
                // These are loaded by whoever is there, not asked for by name.
                let place = if AUTOMATIC_GROUPS.contains(&group) { Place::PlugIn } else { Place::EntryPoint };
                add(hooks, place, &format!("{group}: {line}"));
                let name = line.split('=').next().unwrap_or_default().trim();
                if group == "console_scripts" && PROGRAMS.contains(&name) {
                    add(hooks, Place::UsualProgram, name);
                }
            }
            None => {}
        }
    }
}
